// config.json of Hugging Face folders.
#include <algorithm>
#include <array>
#include <limits>

#include "tdrm/base/errors.hpp"
#include "tdrm/model/pretrained.hpp"

namespace tdrm::model {
namespace {

using nlohmann::json;

/// Reads keys of one config and says which of them can't be used.
class ConfigReader {
public:
    ConfigReader(const json& config, const std::string& origin) : config_(config), origin_(origin) {}

    [[noreturn]] void refuse(const std::string& key, const json& value, const std::string& why) const {
        throw DataError(cat(origin_, ": ", key, " ",
                            value.dump(-1, ' ', false, json::error_handler_t::replace).substr(0, 200), " ", why,
                            ". Use a model that tdrm knows (llama, mistral, qwen2, glm4; see docs/models.md)."));
    }
    [[nodiscard]] bool has(const json& in, const char* key) const { return in.contains(key) && !in[key].is_null(); }

    [[nodiscard]] int size(const char* key, int otherwise = 0) const { return size_in(config_, key, otherwise); }
    [[nodiscard]] int size_in(const json& in, const char* key, int otherwise = 0) const {
        if (!has(in, key) && otherwise > 0) return otherwise;
        if (!has(in, key))
            throw DataError(cat(origin_, " lacks ", key, " (the model's sizes follow from it). Fetch the file again."));
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
    [[nodiscard]] bool flag(const char* key, bool otherwise) const {
        if (!has(config_, key)) return otherwise;
        if (!config_[key].is_boolean()) refuse(key, config_[key], "is neither true nor false");
        return config_[key].get<bool>();
    }

private:
    const json& config_;
    const std::string& origin_;
};

Family family_of(const json& config, const ConfigReader& read) {
    if (!config.contains("model_type")) read.refuse("model_type", nullptr, "isn't there");
    const json& type = config["model_type"];
    for (const auto& [family, name] : enum_names(Family{}))
        if (type == name) return family;
    read.refuse("model_type", type, "isn't supported");
}

/// What would change the numbers in ways that tdrm doesn't compute.
void refuse_unsupported(const json& config, const ConfigReader& read) {
    if (read.has(config, "hidden_act") && config["hidden_act"] != "silu")
        read.refuse("hidden_act", config["hidden_act"], "isn't supported, only silu");
    if (read.flag("mlp_bias", false)) read.refuse("mlp_bias", true, "isn't supported");
    if (read.flag("use_sliding_window", false)) read.refuse("use_sliding_window", true, "isn't supported");
    if (read.has(config, "layer_types") && config["layer_types"].is_array())
        for (const json& type : config["layer_types"])
            if (type != "full_attention") read.refuse("layer_types", type, "isn't supported, only full_attention");
    if (read.has(config, "quantization_config"))
        read.refuse("quantization_config", config["quantization_config"], "isn't supported");
}

/// transformers 5 has rope_parameters; before, rope_theta stood alone and rope_scaling held the rest.
void read_rope(const json& config, const ConfigReader& read, ModelSpec& spec, double partial) {
    const json& scaling = read.has(config, "rope_parameters") ? config["rope_parameters"]
                          : read.has(config, "rope_scaling")  ? config["rope_scaling"]
                                                              : config;
    if (!scaling.is_object()) read.refuse("rope_scaling", scaling, "isn't a map");
    spec.rope_theta = read.number(scaling, "rope_theta", read.number(config, "rope_theta", 10000));
    partial = read.number(scaling, "partial_rotary_factor", read.number(config, "partial_rotary_factor", partial));
    spec.rotary_dim = static_cast<int>(spec.head_dim * std::min(partial, 1.0));
    if (&scaling == &config) return;
    const char* key = scaling.contains("rope_type") ? "rope_type" : "type";
    const json type = read.has(scaling, key) ? scaling[key] : json("default");
    if (type == "default") return;
    if (type != "llama3") read.refuse(key, type, "isn't supported, only default and llama3");
    spec.rope_scaling.factor = read.number(scaling, "factor", 8);
    spec.rope_scaling.low_freq_factor = read.number(scaling, "low_freq_factor", 1);
    spec.rope_scaling.high_freq_factor = read.number(scaling, "high_freq_factor", 4);
    spec.rope_scaling.original_positions = read.size_in(scaling, "original_max_position_embeddings", 8192);
    if (spec.rope_scaling.high_freq_factor <= spec.rope_scaling.low_freq_factor)
        read.refuse("high_freq_factor", scaling["high_freq_factor"], "isn't above low_freq_factor");
}

std::string class_name(const ModelSpec& spec) {
    constexpr std::array kNames{"Llama", "Mistral", "Qwen2", "Glm4"};
    return cat(kNames[static_cast<std::size_t>(spec.family)],
               spec.head == Head::value ? "ForSequenceClassification" : "ForCausalLM");
}

}  // namespace

ModelSpec spec_of_config(const json& config, const std::string& origin) {
    const ConfigReader read(config, origin);
    if (!config.is_object()) throw DataError(cat(origin, " is no JSON object. Fetch the file again."));
    ModelSpec spec;
    spec.family = family_of(config, read);
    refuse_unsupported(config, read);
    spec.vocab = read.size("vocab_size");
    spec.layers = read.size("num_hidden_layers");
    spec.width = read.size("hidden_size");
    spec.heads = read.size("num_attention_heads");
    spec.kv_heads = read.size("num_key_value_heads", spec.heads);
    spec.head_dim = read.size("head_dim", std::max(1, spec.width / spec.heads));
    spec.ffn = read.size("intermediate_size");
    spec.norm_eps = read.number(config, "rms_norm_eps", spec.family == Family::glm4 ? 1.5625e-07 : 1e-6);
    spec.max_positions = read.size("max_position_embeddings", 2048);
    spec.tied = read.flag("tie_word_embeddings", false);
    const bool bias = read.flag("attention_bias", false);
    spec.qkv_bias = bias || spec.family == Family::qwen2;
    spec.output_bias = bias && spec.family == Family::llama;
    constexpr int kMistralWindow = 4096;  // transformers' value where the key is missing; null is none
    if (spec.family == Family::mistral && !(config.contains("sliding_window") && config["sliding_window"].is_null()))
        spec.window = read.size("sliding_window", kMistralWindow);
    constexpr double kWidest = 1 << 24;  // of any matrix: sizes then never overflow
    for (const double width :
         {1.0 * spec.vocab, 1.0 * spec.width, 1.0 * spec.ffn, 1.0 * (spec.heads + 2.0 * spec.kv_heads) * spec.head_dim})
        if (width > kWidest)
            throw DataError(
                cat(origin, " asks for a matrix of ", width, " rows (more than any model has). Fetch the file again."));
    read_rope(config, read, spec, spec.family == Family::glm4 ? 0.5 : 1.0);
    try {
        return spec.resolved();
    } catch (const ConfigError& error) {
        throw DataError(cat(origin, ": ", error.what()));
    }
}

nlohmann::ordered_json config_of_spec(const ModelSpec& s, Dtype dtype) {
    const auto type = names_of(dtype).config;
    const double partial = static_cast<double>(s.rotary_dim) / s.head_dim;
    nlohmann::ordered_json rope{{"rope_type", "default"}};
    if (s.rope_scaling.factor != 1)
        rope = {{"rope_type", "llama3"},
                {"factor", s.rope_scaling.factor},
                {"low_freq_factor", s.rope_scaling.low_freq_factor},
                {"high_freq_factor", s.rope_scaling.high_freq_factor},
                {"original_max_position_embeddings", s.rope_scaling.original_positions}};
    nlohmann::ordered_json config{{"architectures", {class_name(s)}},
                                  {"model_type", enum_names(s.family)[static_cast<std::size_t>(s.family)].second},
                                  {"vocab_size", s.vocab},
                                  {"hidden_size", s.width},
                                  {"intermediate_size", s.ffn},
                                  {"num_hidden_layers", s.layers},
                                  {"num_attention_heads", s.heads},
                                  {"num_key_value_heads", s.kv_heads},
                                  {"head_dim", s.head_dim},
                                  {"hidden_act", "silu"},
                                  {"rms_norm_eps", s.norm_eps},
                                  {"max_position_embeddings", s.max_positions > 0 ? s.max_positions : 32768},
                                  {"tie_word_embeddings", s.tied && s.head == Head::language},
                                  {"rope_theta", s.rope_theta},
                                  {"rope_scaling", s.rope_scaling.factor != 1 ? rope : nlohmann::ordered_json()},
                                  {"torch_dtype", type},
                                  {"dtype", type}};
    if (s.family == Family::llama || s.family == Family::glm4) config["attention_bias"] = s.qkv_bias;
    if (s.family == Family::mistral)
        config["sliding_window"] = s.window > 0 ? nlohmann::ordered_json(s.window) : nlohmann::ordered_json();
    if (s.family == Family::glm4) config["partial_rotary_factor"] = partial;
    if (s.head == Head::value) {
        config["id2label"] = {{"0", "LABEL_0"}};
        config["label2id"] = {{"LABEL_0", 0}};
        config["num_labels"] = 1;
    }
    rope["rope_theta"] = s.rope_theta;
    if (s.family == Family::glm4) rope["partial_rotary_factor"] = partial;
    config["rope_parameters"] = rope;
    return config;
}

}  // namespace tdrm::model
