// config.json of Hugging Face folders, read.
#include <algorithm>
#include <array>
#include <cmath>

#include "config_reader.hpp"
#include "tdrm/model/pretrained.hpp"

namespace tdrm::model {
namespace {

using nlohmann::json;

/// Models of text and pictures whose text part is read: model_type, and that of text_config where it says none.
constexpr std::array<std::pair<std::string_view, std::string_view>, 2> kWrapped{
    {{"mistral3", "mistral"}, {"gemma3", "gemma3_text"}}};

/// Why a model_type that people have isn't supported.
std::string reason(const std::string& type) {
    constexpr std::array kExperts{"moe",  "mixtral", "deepseek", "gpt_oss", "llama4",
                                  "dbrx", "jamba",   "kimi",     "mistral4"};
    for (const char* part : kExperts)
        if (type.find(part) != std::string::npos) return "isn't supported (a mixture of experts)";
    if (type.starts_with("qwen3_5") || type.starts_with("qwen3_next"))
        return "isn't supported (most of its layers are linear attention)";
    return "isn't supported";
}

Family family_of(const ConfigReader& read) {
    const json& config = read.config();
    if (!config.contains("model_type")) read.refuse("model_type", nullptr, "isn't there");
    const json& type = config["model_type"];
    for (const FamilyRow& row : kFamilies)
        if (type == row.model_type) return row.family;
    read.refuse("model_type", type, type.is_string() ? reason(type.get<std::string>()) : "isn't supported");
}

/// A key that changes the numbers, and the value at which it doesn't.
struct Feature {
    const char* key;
    json neutral;
};

/// What would change the numbers in ways that tdrm doesn't compute for this family.
void refuse_unsupported(const ConfigReader& read, const FamilyRow& row) {
    const json& config = read.config();
    const bool gelu = row.activation == Activation::gelu_tanh;
    for (const char* key : {"hidden_act", "hidden_activation"})
        if (read.has(key) && config[key] != (gelu ? "gelu_pytorch_tanh" : "silu") && (gelu || config[key] != "swish"))
            if (!gelu || key == std::string_view("hidden_activation") || !read.has("hidden_activation"))
                read.refuse(key, config[key],
                            gelu ? "isn't supported, only gelu_pytorch_tanh" : "isn't supported, only silu");
    if (read.flag("mlp_bias", false)) read.refuse("mlp_bias", true, "isn't supported");
    for (const char* key : {"num_experts", "num_local_experts", "n_routed_experts"})
        if (read.has(key) && config[key] != 0) read.refuse(key, config[key], "isn't supported (a mixture of experts)");
    std::vector<Feature> features{{"attn_logit_softcapping", nullptr},
                                  {"final_logit_softcapping", nullptr},
                                  {"use_bidirectional_attention", false},
                                  {"clip_qkv", nullptr},
                                  {"alibi", false},
                                  {"quantization_config", nullptr}};
    if (!row.multipliers)
        features.insert(features.end(), {{"embedding_multiplier", 1},
                                         {"residual_multiplier", 1},
                                         {"attention_multiplier", nullptr},
                                         {"logits_scaling", 1}});
    if (row.qk_norm == QkNorm::none) features.insert(features.end(), {{"use_qk_norm", false}, {"qk_layernorm", false}});
    if (!row.scaled_embedding) features.push_back({"query_pre_attn_scalar", nullptr});
    for (const Feature& feature : features)
        if (read.has(feature.key) && config[feature.key] != feature.neutral)
            read.refuse(feature.key, config[feature.key], cat("isn't supported for ", row.model_type));
}

void read_biases(const ConfigReader& read, ModelSpec& spec) {
    const BiasRule rule = spec.features().biases;
    const bool asked = read.flag("attention_bias", false);
    spec.qkv_bias = rule == BiasRule::qkv || (asked && rule != BiasRule::none);
    spec.output_bias = asked && rule == BiasRule::all_on_key;
}

void read_unrotated(const ConfigReader& read, ModelSpec& spec) {
    const bool listed = read.has("no_rope_layers");
    const json list = listed ? read.config()["no_rope_layers"] : json();
    const auto is_flag = [](const json& x) { return x == json(0) || x == json(1); };
    if (listed && (!list.is_array() || std::ssize(list) < spec.layers || !std::ranges::all_of(list, is_flag)))
        read.refuse("no_rope_layers", list, cat("isn't a list of 0 and 1 for ", spec.layers, " layers"));
    if (listed && !spec.features().unrotated_layers && std::ranges::find(list, json(0)) != list.end())
        read.refuse("no_rope_layers", list, "isn't part of the family");
    if (!spec.features().unrotated_layers) return;
    const int every = listed ? 0 : read.size("no_rope_layer_interval", 4);
    for (int l = 0; l < spec.layers; ++l)
        if (listed ? list[static_cast<std::size_t>(l)] == 0 : (l + 1) % every == 0) spec.unrotated_layers.push_back(l);
}

/// Tokens that windowed layers see; 0 if config.json says that there is no window.
int read_window(const ConfigReader& read, const FamilyRow& row) {
    const bool asked = read.flag("use_sliding_window", false);
    if ((row.windows == WindowRule::later || row.windows == WindowRule::unrotated) && !asked) return 0;
    if (read.config().contains("sliding_window") ? !read.has("sliding_window") : row.window == 0) return 0;
    return read.size("sliding_window", row.window);
}

/// Whether layer l is windowed where config.json doesn't list layer_types.
bool windowed(const ConfigReader& read, const ModelSpec& spec, int l) {
    const FamilyRow& row = spec.features();
    switch (row.windows) {
        case WindowRule::later: {
            const bool from_first = read.has("max_window_layers") && read.config()["max_window_layers"] == 0;
            return from_first || l >= read.size("max_window_layers", 28);
        }
        case WindowRule::unrotated:
            return !spec.rotates(l);
        case WindowRule::listed: {
            const int every = row.global_every > 0 ? read.size("sliding_window_pattern", row.global_every) : 0;
            return every == 0 || (l + 1) % every != 0;
        }
        default:
            return true;
    }
}

void read_windows(const ConfigReader& read, ModelSpec& spec) {
    const FamilyRow& row = spec.features();
    const json types = read.has("layer_types") ? read.config()["layer_types"] : json();
    if (!types.is_null() && (!types.is_array() || std::ssize(types) < spec.layers))
        if (!types.is_array() || row.windows == WindowRule::listed)
            read.refuse("layer_types", types, cat("isn't a list for ", spec.layers, " layers"));
    const bool lists = row.windows != WindowRule::none && row.windows != WindowRule::all;
    const int window = row.windows == WindowRule::none ? 0 : read_window(read, row);
    for (const json& type : types) {
        if (type == "full_attention" || (type == "sliding_attention" && lists && window > 0)) continue;
        read.refuse("layer_types", type,
                    lists && type == "sliding_attention" ? "needs a sliding_window" : "isn't supported here");
    }
    std::vector<int> global;
    for (int l = 0; l < spec.layers && window > 0; ++l) {
        const bool listed = lists && static_cast<int>(types.size()) > l;
        if (listed ? types[static_cast<std::size_t>(l)] == "full_attention" : !windowed(read, spec, l))
            global.push_back(l);
    }
    if (window == 0 || static_cast<int>(global.size()) == spec.layers) return;
    spec.window = window;
    spec.global_layers = global;
}

void read_scales(const ConfigReader& read, ModelSpec& spec) {
    const json& config = read.config();
    if (spec.features().multipliers) {
        spec.embedding_scale = read.number(config, "embedding_multiplier", 1);
        spec.residual_scale = read.number(config, "residual_multiplier", 1);
        spec.attention_scale = read.number(config, "attention_multiplier", 1);
        spec.logit_divisor = read.number(config, "logits_scaling", 1);
    }
    if (spec.features().scaled_embedding) {
        spec.embedding_scale = std::sqrt(static_cast<double>(spec.width));
        spec.attention_scale = 1 / std::sqrt(read.number(config, "query_pre_attn_scalar", 256));
    }
}

/// The part of a config that describes the decoder of texts.
json text_config(const json& config, const std::string& origin) {
    if (!config.is_object())
        throw DataError(cat(origin, " is no JSON object. Use the config.json of the model's folder."));
    for (const auto& [outer, inner] : kWrapped) {
        if (!config.contains("model_type") || config["model_type"] != outer) continue;
        const ConfigReader read(config, origin);
        if (!read.has("text_config") || !config["text_config"].is_object())
            read.refuse("text_config", nullptr, "is missing");
        json text = config["text_config"];
        if (!ConfigReader::has(text, "model_type")) text["model_type"] = inner;
        // The outer key counts; transformers takes true where it is missing.
        text["tie_word_embeddings"] =
            ConfigReader::has(config, "tie_word_embeddings") ? config["tie_word_embeddings"] : json(true);
        if (ConfigReader::has(config, "quantization_config"))
            text["quantization_config"] = config["quantization_config"];
        return text;
    }
    return config;
}

}  // namespace

ModelSpec spec_of_config(const json& whole, const std::string& origin) {
    const json config = text_config(whole, origin);
    const ConfigReader read(config, origin);
    ModelSpec spec;
    spec.family = family_of(read);
    const FamilyRow& row = spec.features();
    refuse_unsupported(read, row);
    spec.vocab = read.size("vocab_size");
    spec.layers = read.size("num_hidden_layers");
    spec.width = read.size("hidden_size");
    spec.heads = read.size("num_attention_heads");
    spec.kv_heads = read.size("num_key_value_heads", spec.heads);
    spec.head_dim = read.size("head_dim", row.head_dim > 0 ? row.head_dim : std::max(1, spec.width / spec.heads));
    spec.ffn = read.size("intermediate_size");
    spec.norm_eps = read.number(config, "rms_norm_eps", row.norm_eps);
    spec.max_positions = read.size("max_position_embeddings", 2048);
    spec.tied = read.flag("tie_word_embeddings", row.tied);
    constexpr double kWidest = 1 << 24;  // of any matrix: sizes then never overflow
    for (const double width :
         {1.0 * spec.vocab, 1.0 * spec.width, 1.0 * spec.ffn, 1.0 * (spec.heads + 2.0 * spec.kv_heads) * spec.head_dim})
        if (width > kWidest)
            throw DataError(
                cat(origin, " asks for a matrix of ", width, " rows (more than any model has). Correct its sizes."));
    constexpr int kDeepest = 1 << 16;
    if (spec.layers > kDeepest)
        throw DataError(cat(origin, " asks for ", spec.layers,
                            " layers (more than any model has; config and weights "
                            "don't belong together). Correct its sizes."));
    read_biases(read, spec);
    read_unrotated(read, spec);
    read_windows(read, spec);
    read_scales(read, spec);
    read_rope(read, spec);
    try {
        return spec.resolved();
    } catch (const ConfigError& error) {
        throw DataError(cat(origin, ": ", error.what()));
    }
}

}  // namespace tdrm::model
