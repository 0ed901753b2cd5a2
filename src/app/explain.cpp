#include <algorithm>
#include <cstdio>
#include <map>

#include "tdrm/app/verbs.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/spelling.hpp"
#include "tdrm/stage/stage.hpp"
#include "tdrm/stage/task_options.hpp"

namespace tdrm::app {

namespace {

using Keys = std::vector<std::string>;

/// The parts of a run file that have options, each with its keys.
std::vector<std::pair<std::string, Keys>> parts() {
    std::vector<std::pair<std::string, Keys>> result{{"run", option_keys(stage::RunOptions{})}};
    for (const auto& kind : stage::task_kinds()) result.emplace_back(kind, stage::task_keys(kind));
    for (const auto& [name, kind] : stage::stage_kinds()) result.emplace_back(name, kind.keys());
    return result;
}

std::string overview() {
    std::string text =
        cat("A run file has three parts. tdrm explain PART[.KEY] tells more.\n\n  run         folder, seed, sums\n"
            "  task        ",
            join(stage::task_kinds()),
            " (tdrm explain text)\n"
            "  stages      a map of names to stages; `do:` is one of\n\n");
    for (const auto& [name, kind] : stage::stage_kinds()) {
        const std::string space(name.size() < 11 ? 11 - name.size() : 0, ' ');
        text += cat("  ", name, space, " ", kind.summary, "\n");
    }
    return text +
           "\nAll stages also have: like (copy another stage's options), each (one stage per combination), seed.";
}

/// What `task` means depends on its kind: the kinds, or a key as the kinds that have it explain it.
std::string explain_tasks(const std::string& key) {
    std::map<std::string, Keys> kinds_of;  // by explanation
    for (const auto& kind : stage::task_kinds())
        if (const Keys keys = stage::task_keys(kind); std::ranges::count(keys, key) != 0)
            kinds_of[stage::explain_task(kind, key)].push_back(kind);
    std::string text;
    for (const auto& [explanation, kinds] : kinds_of)
        text += cat(text.empty() ? "" : "\n\n", "In ", join(kinds), ":\n\n", explanation);
    if (!text.empty()) return text;
    const std::string kinds = join(stage::task_kinds());
    if (key.empty()) return cat("task.kind is one of ", kinds, ". tdrm explain KIND[.KEY] tells more of each.");
    throw ConfigError(cat("no task has a key \"", key, "\". Kinds are ", kinds, ": tdrm explain KIND lists keys."));
}

}  // namespace

Keys explain_keys() {
    Keys result;
    for (const auto& [part, keys] : parts()) {
        result.push_back(part);
        for (const auto& key : keys) result.push_back(part + "." + key);
    }
    return result;
}

std::string explanation(const std::string& key) {
    const auto dot = key.find('.');
    std::string head = key.substr(0, dot);
    std::string rest = dot == std::string::npos ? "" : key.substr(dot + 1);
    if (head == "stages") {  // stages.NAME.key says no more than KIND.key
        throw ConfigError("say the kind of the stage instead of its name, e.g. tdrm explain rl.advantage.lambda.");
    }
    if (head.empty()) return overview();
    if (head == "run") return explain(stage::RunOptions{}, rest);
    if (head == "task") return explain_tasks(rest);
    if (std::ranges::count(stage::task_kinds(), head) != 0) return stage::explain_task(head, rest);
    if (const auto kind = stage::stage_kinds().find(head); kind != stage::stage_kinds().end()) {
        const std::string title = rest.empty() ? cat(head, ": ", kind->second.summary, "\n\n") : "";
        return title + kind->second.explain(rest);
    }
    Keys names;
    for (const auto& [name, unused] : parts()) names.push_back(name);
    names.insert(names.begin() + 1, "task");
    throw ConfigError(cat("there is nothing to explain under \"", head, "\". ", did_you_mean(head, names)));
}

int explain_key(const std::string& key) {
    std::printf("%s\n", explanation(key).c_str());
    return 0;
}

}  // namespace tdrm::app
