#include <algorithm>

#include "manual.hpp"
#include "tdrm/app/verbs.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/spelling.hpp"
#include "tdrm/stage/task_options.hpp"

namespace tdrm::app {
namespace {

using Words = std::vector<std::string>;

// What isn't a verb, an option or a key is a file: readline completes it (-o default).
constexpr const char* kFunctions = R"(
# Keys that begin with the word, level by level: rl offers rl.policy, ..., not yet rl.advantage.kind.
_tdrm_keys() {  # WORD KEY...
  local word=$1 key rest
  shift
  for key in "$@"; do
    [[ $key == "$word"* ]] || continue
    rest=${key#"$word"}
    rest=${rest#.}
    [[ $rest == *.* ]] || printf '%s\n' "$key"
  done
}

_tdrm() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb= i
  for ((i = 1; i < COMP_CWORD; ++i)); do
    if [[ ${COMP_WORDS[i]} != -* ]]; then verb=${COMP_WORDS[i]}; break; fi
  done
  COMPREPLY=()
  if [[ -z $verb ]]; then
    mapfile -t COMPREPLY < <(compgen -W "${!_tdrm_options[*]} --help --version" -- "$word")
  elif [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "${_tdrm_options[$verb]}" -- "$word")
  elif [[ $verb == explain ]]; then
    mapfile -t COMPREPLY < <(_tdrm_keys "$word" "${_tdrm_explain[@]}")
  elif [[ $before == --set ]]; then
    mapfile -t COMPREPLY < <(_tdrm_keys "$word" "${_tdrm_set[@]}")
    compopt -o nospace 2>/dev/null || true  # not while bash completes: a test
  fi
}
complete -o default -F _tdrm tdrm
)";

std::string options_of(const CLI::App& verb) {
    Words words;
    for (const CLI::Option* option : verb.get_options()) {
        for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
    }
    return join(words, " ");
}

/// Paths in a run file that don't depend on the names of its stages.
Words settable(const Words& keys) {
    Words result;
    for (const std::string& key : keys) {
        const auto dot = key.find('.');
        const std::string part = key.substr(0, dot);
        if (dot == std::string::npos) continue;
        if (part == "run") result.push_back(key);
        if (const Words tasks = stage::task_kinds(); std::ranges::count(tasks, part) != 0)
            result.push_back("task" + key.substr(dot));
    }
    std::ranges::sort(result);
    result.erase(std::unique(result.begin(), result.end()), result.end());
    return result;
}

}  // namespace

std::string bash_completion(const CLI::App& app) {
    std::string text = "# bash completion of tdrm, written by: tdrm completion bash\ndeclare -gA _tdrm_options=(";
    for (const CLI::App* verb : shown_verbs(app))
        text += cat("\n  [", verb->get_name(), "]=\"", options_of(*verb), "\"");
    const Words keys = explain_keys();
    text += cat("\n)\n_tdrm_explain=(", join(keys, "\n  "), ")\n_tdrm_set=(", join(settable(keys), "\n  "), ")\n");
    return text + kFunctions;
}

}  // namespace tdrm::app
