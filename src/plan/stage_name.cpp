#include "stage_name.hpp"

#include <algorithm>
#include <cctype>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/spelling.hpp"

namespace tdrm::plan {
namespace {

constexpr std::size_t kMaxNameLength = 200;  // file systems end at 255

/// Only "*" is special; brackets stand for themselves.
bool glob(std::string_view pattern, std::string_view text) {
    std::size_t p = 0, t = 0, star = std::string_view::npos, after_star = 0;
    while (t < text.size()) {
        if (p < pattern.size() && pattern[p] == '*') {
            star = p++;
            after_star = t;
        } else if (p < pattern.size() && pattern[p] == text[t]) {
            ++p, ++t;
        } else if (star != std::string_view::npos) {
            p = star + 1;
            t = ++after_star;
        } else {
            return false;
        }
    }
    while (p < pattern.size() && pattern[p] == '*') ++p;
    return p == pattern.size();
}

/// "lambda" and "target.lambda" are the same key, however much of it is written.
bool same_key(std::string_view a, std::string_view b) {
    if (a.size() < b.size()) std::swap(a, b);
    return a == b || (a.ends_with(b) && a[a.size() - b.size() - 1] == '.');
}

std::vector<std::string> split_outside(std::string_view text, char separator) {
    std::vector<std::string> parts;
    for (std::size_t at = find_outside(text, separator); at != std::string_view::npos;
         at = find_outside(text, separator)) {
        parts.emplace_back(text.substr(0, at));
        text.remove_prefix(at + 1);
    }
    parts.emplace_back(text);
    return parts;
}

bool all_of(std::string_view text, std::string_view extra) {
    return std::all_of(text.begin(), text.end(), [&](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) || extra.find(c) != std::string_view::npos;
    });
}

std::string lower(std::string_view text) {  // some file systems take both cases for one
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return result;
}

/// Why a name would meet something else in the folder of the run, or "".
std::string reserved_fault(std::string_view name) {
    if (name == "report") return "\"report\" is the folder of the report. Take another name.";
    for (const std::string_view ending : {".tmp", ".old"})
        if (name.ends_with(ending))
            return cat("a name that ends in \"", ending,
                       "\" is one of folders that a start removes. Take another name.");
    for (const std::string_view ending : {".yaml", ".yml", ".json", ".jsonl", ".h5", ".html", ".log", ".txt", ".csv"})
        if (name.ends_with(ending))
            return cat("a name that ends in \"", ending,
                       "\" is one of files in the run's folder (config.yaml, history.jsonl, performance.json). Take "
                       "another name.");
    return "";
}

}  // namespace

std::size_t find_outside(std::string_view text, char wanted) {
    int depth = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (depth == 0 && text[i] == wanted) return i;
        depth += text[i] == '[' ? 1 : text[i] == ']' ? -1 : 0;
    }
    return std::string_view::npos;
}

std::size_t rfind_outside(std::string_view text, char wanted) {
    int depth = 0;
    for (std::size_t i = text.size(); i-- > 0;) {
        if (depth == 0 && text[i] == wanted) return i;
        depth += text[i] == ']' ? 1 : text[i] == '[' ? -1 : 0;
    }
    return std::string_view::npos;
}

StageName StageName::parse(std::string_view text) {
    const std::size_t open = text.find('[');
    if (open == std::string_view::npos || !text.ends_with(']')) return {std::string(text), {}};
    StageName name{std::string(text.substr(0, open)), {}};
    for (const auto& part : split_outside(text.substr(open + 1, text.size() - open - 2), ',')) {
        const std::size_t equals = find_outside(part, '=');
        if (equals == std::string::npos) {
            name.parameters.emplace_back("", part);
        } else {
            name.parameters.emplace_back(part.substr(0, equals), canonical_scalar(part.substr(equals + 1)));
        }
    }
    return name;
}

std::string StageName::text() const {
    std::string inside;
    for (const auto& [key, value] : parameters)
        inside += (inside.empty() ? "" : ",") + (key.empty() ? "" : key + "=") + value;
    return parameters.empty() ? base : base + "[" + inside + "]";
}

bool matches(std::string_view pattern, std::string_view name) {
    if (glob(pattern, name)) return true;
    const StageName wanted = StageName::parse(pattern), given = StageName::parse(name);
    if (!glob(wanted.base, given.base)) return false;
    return std::all_of(wanted.parameters.begin(), wanted.parameters.end(), [&](const auto& want) {
        return std::any_of(given.parameters.begin(), given.parameters.end(), [&](const auto& have) {
            if (want.first.empty()) return want.second == "*";
            return same_key(want.first, have.first) && glob(want.second, have.second);
        });
    });
}

std::string name_fault(std::string_view name) {
    if (name.size() > kMaxNameLength) {
        return cat("the name is longer than ", kMaxNameLength,
                   " characters (it names a folder). Shorten it, or vary less.");
    }
    if (std::string fault = reserved_fault(lower(name)); !fault.empty()) return fault;
    const StageName parts = StageName::parse(name);
    bool good =
        !parts.base.empty() && std::isalpha(static_cast<unsigned char>(parts.base[0])) && all_of(parts.base, "_-.");
    for (const auto& [key, value] : parts.parameters) {
        good = good && !key.empty() && all_of(key, "_.") && !value.empty() && all_of(value, "_-+.@=,[]");
    }
    if (good) return "";
    return "this can't name a stage (a name is a folder and a word in references: letters, digits, \"_\", \"-\", "
           "\".\"; "
           "a letter first). Take another.";
}

std::string suggest_stage(std::string_view pattern, const std::vector<std::string>& names) {
    constexpr std::size_t kMost = 500;  // each is compared letter by letter, for each problem anew
    if (names.size() > kMost) return cat("There are ", names.size(), " stages.");
    std::vector<std::string> candidates;
    for (const auto& name : names) {
        std::string candidate = pattern.find('[') == std::string_view::npos ? StageName::parse(name).base : name;
        if (candidates.empty() || candidates.back() != candidate) candidates.push_back(std::move(candidate));
    }
    return candidates.empty() ? "There are no stages." : did_you_mean(pattern, candidates);
}

}  // namespace tdrm::plan
