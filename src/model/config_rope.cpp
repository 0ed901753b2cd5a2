// Rotary positions in config.json. transformers 5 has rope_parameters; before, rope_theta stood alone and rope_scaling
// held the rest. Where both are, transformers 5 takes rope_scaling, and so do we.
#include <algorithm>
#include <array>
#include <cmath>

#include "config_reader.hpp"
#include "tdrm/base/log.hpp"
#include "tdrm/base/words.hpp"

namespace tdrm::model {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr std::array kKnownKeys{"rope_type",
                                "type",
                                "rope_theta",
                                "factor",
                                "partial_rotary_factor",
                                "low_freq_factor",
                                "high_freq_factor",
                                "original_max_position_embeddings",
                                "max_position_embeddings",
                                "attention_factor",
                                "beta_fast",
                                "beta_slow",
                                "mscale",
                                "mscale_all_dim",
                                "truncate",
                                "short_factor",
                                "long_factor",
                                "finetuned"};

RopeKind kind_of(const ConfigReader& read, const json& rope, Family family) {
    const char* key = rope.contains("rope_type") ? "rope_type" : "type";
    const json type = ConfigReader::has(rope, key) ? rope[key] : json("default");
    // Phi-3's first names of the same thing.
    if (family == Family::phi3 && (type == "su" || type == "yarn")) return RopeKind::longrope;
    for (const auto& [kind, name] : enum_names(RopeKind{}))
        if (type == name) return kind;
    read.refuse(key, type, "isn't supported");
}

/// What a longrope divides its frequencies by.
std::vector<double> divisors(const ConfigReader& read, const json& rope, const char* key, int pairs) {
    if (!ConfigReader::has(rope, key)) read.refuse(key, nullptr, "is missing");
    const json& list = rope[key];
    const auto positive = [](const json& x) { return x.is_number() && x.get<double>() > 0; };
    if (!list.is_array() || std::ssize(list) != pairs || !std::ranges::all_of(list, positive))
        read.refuse(key, list, cat("isn't a list of ", pairs, " positive numbers, one for each rotary pair"));
    return list.get<std::vector<double>>();
}

/// How much queries and keys grow, so that attention stays as sharp on long sequences.
double yarn_magnitude(double factor, double scale = 1) {
    return factor <= 1 ? 1.0 : 0.1 * scale * std::log(factor) + 1.0;
}

double longrope_magnitude(double factor, int original) {
    return factor <= 1 ? 1.0 : std::sqrt(1 + std::log(factor) / std::log(static_cast<double>(original)));
}

double factor_of(const ConfigReader& read, const json& rope, const ModelSpec& spec, int original) {
    return read.number(rope, "factor", static_cast<double>(spec.max_positions) / original);
}

RopeScaling scaling_of(const ConfigReader& read, const json& rope, const ModelSpec& spec) {
    RopeScaling s;
    s.kind = kind_of(read, rope, spec.family);
    if (s.kind == RopeKind::plain) return s;
    const int phi3 = spec.family == Family::phi3 ? 4096 : 0;  // transformers' value where the key is missing
    s.original_positions = read.size_in(rope, "original_max_position_embeddings", phi3 > 0 ? phi3 : spec.max_positions);
    s.original_positions = read.size("original_max_position_embeddings", s.original_positions);
    switch (s.kind) {
        case RopeKind::plain:
            break;
        case RopeKind::linear:
        case RopeKind::dynamic:
            if (!ConfigReader::has(rope, "factor")) read.refuse("factor", nullptr, "is missing");
            s.factor = read.number(rope, "factor", 1);
            s.original_positions = spec.max_positions;
            break;
        case RopeKind::llama3:
            s.factor = read.number(rope, "factor", 8);
            s.low_freq_factor = read.number(rope, "low_freq_factor", 1);
            s.high_freq_factor = read.number(rope, "high_freq_factor", 4);
            if (s.high_freq_factor <= s.low_freq_factor)
                read.refuse("high_freq_factor", s.high_freq_factor, "isn't above low_freq_factor");
            break;
        case RopeKind::yarn: {
            s.factor = factor_of(read, rope, spec, s.original_positions);
            s.beta_fast = read.number(rope, "beta_fast", 32);
            s.beta_slow = read.number(rope, "beta_slow", 1);
            s.truncate = read.flag_in(rope, "truncate", true);
            const bool two = ConfigReader::has(rope, "mscale") && ConfigReader::has(rope, "mscale_all_dim");
            const double usual = two ? yarn_magnitude(s.factor, read.number(rope, "mscale", 1)) /
                                           yarn_magnitude(s.factor, read.number(rope, "mscale_all_dim", 1))
                                     : yarn_magnitude(s.factor);
            s.magnitude = read.number(rope, "attention_factor", usual);
            break;
        }
        case RopeKind::longrope:
            s.short_factors = divisors(read, rope, "short_factor", spec.rotary_dim / 2);
            s.long_factors = divisors(read, rope, "long_factor", spec.rotary_dim / 2);
            s.magnitude = read.number(
                rope, "attention_factor",
                longrope_magnitude(factor_of(read, rope, spec, s.original_positions), s.original_positions));
            break;
    }
    return s;
}

void check_keys(const ConfigReader& read, const json& rope, Family family) {
    for (const auto& [key, value] : rope.items()) {
        const bool known = std::ranges::find(kKnownKeys, key) != kKnownKeys.end() ||
                           (key == "llama_4_scaling_beta" && family == Family::ministral3);
        if (!known && !value.is_null()) read.refuse("rope_parameters." + key, value, "isn't supported");
    }
}

/// The map under a key; an empty one if there is none.
json map_at(const ConfigReader& read, const json& in, const char* key) {
    if (!ConfigReader::has(in, key)) return json::object();
    if (!in[key].is_object()) read.refuse(key, in[key], "isn't a map");
    return in[key];
}

/// The one map that counts for all layers.
json rope_of_config(const ConfigReader& read) {
    json now = map_at(read, read.config(), "rope_parameters");
    json before = map_at(read, read.config(), "rope_scaling");
    if (before.empty()) return now;
    for (const auto& [key, value] : before.items())
        if (log::rank() == 0 && ConfigReader::has(now, key.c_str()) && now[key] != value)
            log::warn(cat(read.origin(), ": rope_scaling says ", key, " ", value.dump(), ", rope_parameters ",
                          now[key].dump(), " (transformers takes rope_scaling, and so does tdrm)."));
    return before;
}

/// Windowed layers turn by a base of their own: two maps, or keys of transformers 4.
json ropes_of_layers(const ConfigReader& read, const FamilyRow& row, ModelSpec& spec) {
    const json both = map_at(read, read.config(), "rope_parameters");
    for (const auto& [key, value] : both.items())
        if (key != "full_attention" && key != "sliding_attention")
            read.refuse("rope_parameters." + key, value, "isn't full_attention or sliding_attention");
    json full = map_at(read, both, "full_attention");
    full.update(map_at(read, read.config(), "rope_scaling"));
    const json local = map_at(read, both, "sliding_attention");
    check_keys(read, local, spec.family);
    if (kind_of(read, local, spec.family) != RopeKind::plain)
        read.refuse("sliding_attention", local, "isn't supported, only the default rope_type");
    const double theta = read.number(read.config(), "rope_theta", row.rope_theta);
    const double otherwise = row.local_rope_theta > 0 ? row.local_rope_theta : theta;
    spec.local_rope_theta =
        read.number(local, "rope_theta", read.number(read.config(), "rope_local_base_freq", otherwise));
    return full;
}

}  // namespace

void read_rope(const ConfigReader& read, ModelSpec& spec) {
    const FamilyRow& row = spec.features();
    const json rope = row.layer_ropes ? ropes_of_layers(read, row, spec) : rope_of_config(read);
    check_keys(read, rope, spec.family);
    const json& config = read.config();
    spec.rope_theta = read.number(rope, "rope_theta", read.number(config, "rope_theta", row.rope_theta));
    const double usual = row.partial_rotary > 0 ? row.partial_rotary : 1;
    const double part = read.number(rope, "partial_rotary_factor", read.number(config, "partial_rotary_factor", usual));
    if (row.partial_rotary == 0 && part != 1)
        read.refuse("partial_rotary_factor", part, cat("isn't part of the family ", row.model_type));
    spec.rotary_dim = static_cast<int>(spec.head_dim * std::min(part, 1.0));
    spec.rope_scaling = scaling_of(read, rope, spec);
    if (spec.family == Family::ministral3) {
        if (spec.rope_scaling.kind == RopeKind::plain)
            spec.rope_scaling.original_positions =
                read.size_in(rope, "original_max_position_embeddings", spec.max_positions);
        spec.query_growth = ConfigReader::has(rope, "llama_4_scaling_beta") && rope["llama_4_scaling_beta"] == 0
                                ? 0
                                : read.number(rope, "llama_4_scaling_beta", 0);
    }
}

void write_rope(const ModelSpec& spec, ordered_json& config) {
    const RopeScaling& s = spec.rope_scaling;
    const FamilyRow& row = spec.features();
    ordered_json rope{{"rope_type", word_of(s.kind)}};
    const bool original_outside = spec.family == Family::phi3;
    if (s.kind == RopeKind::linear || s.kind == RopeKind::dynamic || s.kind == RopeKind::llama3 ||
        s.kind == RopeKind::yarn)
        rope["factor"] = s.factor;
    if (s.kind == RopeKind::llama3) {
        rope["low_freq_factor"] = s.low_freq_factor;
        rope["high_freq_factor"] = s.high_freq_factor;
    }
    if (s.kind == RopeKind::yarn) {
        rope["beta_fast"] = s.beta_fast;
        rope["beta_slow"] = s.beta_slow;
        rope["attention_factor"] = s.magnitude;
        if (!s.truncate) rope["truncate"] = false;
    }
    if (s.kind == RopeKind::longrope) {
        rope["short_factor"] = s.short_factors;
        rope["long_factor"] = s.long_factors;
        const double factor = static_cast<double>(spec.max_positions) / s.original_positions;
        if (!original_outside || s.magnitude != longrope_magnitude(factor, s.original_positions))
            rope["attention_factor"] = s.magnitude;
    }
    const bool original =
        s.kind == RopeKind::llama3 || s.kind == RopeKind::yarn || s.kind == RopeKind::longrope || spec.query_growth > 0;
    if (original && original_outside) config["original_max_position_embeddings"] = s.original_positions;
    if (original && !original_outside) rope["original_max_position_embeddings"] = s.original_positions;
    if (spec.query_growth > 0) rope["llama_4_scaling_beta"] = spec.query_growth;
    const double part = static_cast<double>(spec.rotary_dim) / spec.head_dim;
    config["rope_theta"] = spec.rope_theta;
    config["rope_scaling"] = s.kind != RopeKind::plain ? rope : ordered_json();
    rope["rope_theta"] = spec.rope_theta;
    if (row.partial_rotary > 0) config["partial_rotary_factor"] = rope["partial_rotary_factor"] = part;
    if (!row.layer_ropes) {
        config["rope_parameters"] = rope;
        return;
    }
    if (row.local_rope_theta > 0) config["rope_local_base_freq"] = spec.local_rope_theta;
    config["rope_parameters"] = {
        {"full_attention", rope},
        {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", spec.local_rope_theta}}}};
}

}  // namespace tdrm::model
