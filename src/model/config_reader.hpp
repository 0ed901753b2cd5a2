// What reading config.json has in common: keys with their kinds, and messages that name key and value.
#pragma once

#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "tdrm/base/errors.hpp"
#include "tdrm/model/spec.hpp"

namespace tdrm::model {

/// Reads keys of one config and says which of them can't be used. Null counts as missing.
class ConfigReader {
public:
    using json = nlohmann::json;
    ConfigReader(const json& config, std::string origin) : config_(config), origin_(std::move(origin)) {}

    [[noreturn]] void refuse(const std::string& key, const json& value, const std::string& why) const {
        std::string known;
        for (const FamilyRow& row : kFamilies) known += cat(known.empty() ? "" : ", ", row.model_type);
        throw DataError(cat(origin_, ": ", key, " ",
                            value.dump(-1, ' ', false, json::error_handler_t::replace).substr(0, 200), " ", why,
                            ". Use a model that tdrm knows (", known, "; see docs/models.md)."));
    }
    [[nodiscard]] const json& config() const { return config_; }
    [[nodiscard]] const std::string& origin() const { return origin_; }
    [[nodiscard]] static bool has(const json& in, const char* key) { return in.contains(key) && !in[key].is_null(); }
    [[nodiscard]] bool has(const char* key) const { return has(config_, key); }

    [[nodiscard]] int size(const char* key, int otherwise = 0) const { return size_in(config_, key, otherwise); }
    [[nodiscard]] int size_in(const json& in, const char* key, int otherwise = 0) const {
        if (!has(in, key) && otherwise > 0) return otherwise;
        if (!has(in, key))
            throw DataError(cat(origin_, " lacks ", key,
                                " (the model's numbers follow from it). Use the config.json of the model's folder."));
        const json& value = in[key];
        if (!value.is_number_integer() || value < 1 || value > std::numeric_limits<std::int32_t>::max())
            refuse(key, value, "isn't a positive integer");
        return value.get<int>();
    }
    [[nodiscard]] double number(const json& in, const char* key, double otherwise) const {
        if (!has(in, key)) return otherwise;
        if (!in[key].is_number() || !(in[key].get<double>() > 0)) refuse(key, in[key], "isn't a positive number");
        return in[key].get<double>();
    }
    [[nodiscard]] bool flag(const char* key, bool otherwise) const { return flag_in(config_, key, otherwise); }
    [[nodiscard]] bool flag_in(const json& in, const char* key, bool otherwise) const {
        if (!has(in, key)) return otherwise;
        if (!in[key].is_boolean()) refuse(key, in[key], "is neither true nor false");
        return in[key].get<bool>();
    }

private:
    const json& config_;
    std::string origin_;
};

/// Rotary positions: theta, scaling, the part of a head that turns. Needs the family, head_dim and max_positions.
void read_rope(const ConfigReader& read, ModelSpec& spec);
/// Its inverse: rope_parameters as transformers 5 has it, and what transformers 4 wants.
void write_rope(const ModelSpec& spec, nlohmann::ordered_json& config);

}  // namespace tdrm::model
