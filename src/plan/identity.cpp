#include <algorithm>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/plan/plan.hpp"

namespace tdrm::plan {
namespace {

using Leaves = std::vector<std::pair<std::string, std::string>>;

void collect(const Yaml& node, const std::string& path, Leaves& leaves) {
    if (!node.is_map() || node.entries.empty()) {
        leaves.emplace_back(path, to_line(node));
        return;
    }
    for (const auto& [key, value] : node.entries) collect(value, path.empty() ? key : path + "." + key, leaves);
}

Leaves leaves_of(const std::string& text) {
    Leaves leaves;
    const Yaml document = parse_yaml(text, "identity");
    if (!document.is_null()) collect(document, "", leaves);
    return leaves;
}

const std::string* find(const Leaves& leaves, const std::string& path) {
    const auto found = std::find_if(leaves.begin(), leaves.end(), [&](const auto& leaf) { return leaf.first == path; });
    return found == leaves.end() ? nullptr : &found->second;
}

}  // namespace

std::string identity_text(std::string_view kind, const std::string& options, std::string_view task, std::int64_t seed,
                          const std::vector<std::pair<std::string, std::string>>& inputs) {
    Yaml document = Yaml::map();
    document.at("kind") = Yaml::text(std::string(kind));
    document.at("task") = Yaml::text(std::string(task));
    document.at("seed") = Yaml::plain(std::to_string(seed));
    document.at("options") = parse_yaml(options, "options");
    Yaml& named = document.at("inputs") = Yaml::map();
    for (const auto& [key, hash] : inputs) named.at(key) = Yaml::text(hash);
    return to_text(document);
}

std::string stage_identity(std::string_view kind, const std::string& options, std::string_view task, std::int64_t seed,
                           const std::vector<std::pair<std::string, std::string>>& inputs) {
    return hash_hex(identity_text(kind, options, task, seed, inputs));
}

std::vector<std::string> differing_keys(const std::string& old_text, const std::string& new_text) {
    const Leaves before = leaves_of(old_text), after = leaves_of(new_text);
    std::vector<std::string> result;
    for (const auto& [path, value] : after) {
        const std::string* old = find(before, path);
        if (!old || *old != value) result.push_back(cat(path, ": ", old ? *old : "(none)", " -> ", value));
    }
    for (const auto& [path, value] : before) {
        if (!find(after, path)) result.push_back(cat(path, ": ", value, " -> (none)"));
    }
    return result;
}

}  // namespace tdrm::plan
