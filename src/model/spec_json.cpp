// A spec as JSON, by its fields.
#include <nlohmann/json.hpp>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/base/options.hpp"
#include "tdrm/model/spec.hpp"

namespace tdrm::model {
namespace {

using nlohmann::json;

/// What a commit keeps of a spec.
struct Kept {
    ModelSpec spec;
    void fields(Fields& f) { spec.all_fields(f); }
};

json to_json(const Yaml& node) {
    if (node.is_map()) {
        json map = json::object();
        for (const auto& [key, value] : node.entries) map[key] = to_json(value);
        return map;
    }
    if (node.is_list()) {
        json list = json::array();
        for (const Yaml& item : node.items) list.push_back(to_json(item));
        return list;
    }
    if (node.is_null()) return nullptr;
    const json plain = parse_json_or_discard(node.scalar);
    return !node.quoted && (plain.is_number() || plain.is_boolean()) ? plain : json(node.scalar);
}

Yaml to_yaml(const json& value) {
    if (value.is_object()) {
        Yaml map = Yaml::map();
        for (const auto& [key, item] : value.items()) map.at(key) = to_yaml(item);
        return map;
    }
    if (value.is_array()) {
        Yaml list = Yaml::list();
        for (const json& item : value) list.items.push_back(to_yaml(item));
        return list;
    }
    if (value.is_null()) return {};
    return value.is_string() ? Yaml::text(value.get<std::string>()) : Yaml::plain(value.dump());
}

/// Commits of earlier versions: the stretch was four numbers of llama3, and a missing one has its default.
json today(json spec) {
    const auto scaling = spec.find("rope_scaling");
    if (scaling == spec.end() || !scaling->is_array()) return spec;
    const json old = *scaling;
    *scaling = {{"kind", old.at(0) == 1 ? "default" : "llama3"},
                {"factor", old.at(0)},
                {"low_freq_factor", old.at(1)},
                {"high_freq_factor", old.at(2)},
                {"original_positions", old.at(3)}};
    return spec;
}

}  // namespace

json json_of_spec(const ModelSpec& spec) { return to_json(tdrm::to_yaml(Kept{spec})); }

ModelSpec spec_of_json(const json& spec) {
    if (!spec.is_object()) throw DataError("the sizes of its model aren't a map.");
    Kept kept;
    Problems problems;
    parse(to_yaml(today(spec)), kept, problems);
    if (!problems.empty())
        throw DataError(cat("its model can't be read: ", problems[0].path, " ", problems[0].message));
    return kept.spec.resolved();
}

}  // namespace tdrm::model
