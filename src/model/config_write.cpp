// config.json of Hugging Face folders, written.
#include <cmath>

#include "config_reader.hpp"
#include "tdrm/model/pretrained.hpp"

namespace tdrm::model {
namespace {

using nlohmann::ordered_json;

std::string class_name(const ModelSpec& spec) {
    const FamilyRow& row = spec.features();
    return spec.head == Head::value ? cat(row.classifier_name, "ForSequenceClassification")
                                    : cat(row.class_name, "ForCausalLM");
}

void write_windows(const ModelSpec& s, ordered_json& config) {
    const FamilyRow& row = s.features();
    if (row.windows == WindowRule::none) return;
    config["sliding_window"] = s.window > 0 ? ordered_json(s.window) : ordered_json();
    if (row.windows == WindowRule::all) return;
    if (row.windows != WindowRule::listed) config["use_sliding_window"] = s.window > 0;
    std::vector<std::string> types;
    for (int l = 0; l < s.layers; ++l) types.emplace_back(s.window_of(l) > 0 ? "sliding_attention" : "full_attention");
    if (row.windows == WindowRule::listed || s.window > 0) config["layer_types"] = types;
}

void write_features(const ModelSpec& s, ordered_json& config) {
    const FamilyRow& row = s.features();
    if (row.biases == BiasRule::all_on_key || row.biases == BiasRule::qkv_on_key) config["attention_bias"] = s.qkv_bias;
    if (row.unrotated_layers) {
        std::vector<int> rotates;
        for (int l = 0; l < s.layers; ++l) rotates.push_back(s.rotates(l) ? 1 : 0);
        config["no_rope_layers"] = rotates;
    }
    if (row.multipliers) {
        config["embedding_multiplier"] = s.embedding_scale;
        config["residual_multiplier"] = s.residual_scale;
        config["attention_multiplier"] = s.attention_scale;
        config["logits_scaling"] = s.logit_divisor;
    }
    if (row.scaled_embedding) config["query_pre_attn_scalar"] = std::llround(std::pow(s.attention_scale, -2.0));
}

}  // namespace

ordered_json config_of_spec(const ModelSpec& s, Dtype dtype) {
    const auto type = names_of(dtype).config;
    const FamilyRow& row = s.features();
    const bool gelu = row.activation == Activation::gelu_tanh;
    ordered_json config{{"architectures", {class_name(s)}},
                        {"model_type", row.model_type},
                        {"vocab_size", s.vocab},
                        {"hidden_size", s.width},
                        {"intermediate_size", s.ffn},
                        {"num_hidden_layers", s.layers},
                        {"num_attention_heads", s.heads},
                        {"num_key_value_heads", s.kv_heads},
                        {"head_dim", s.head_dim},
                        {gelu ? "hidden_activation" : "hidden_act", gelu ? "gelu_pytorch_tanh" : "silu"},
                        {"rms_norm_eps", s.norm_eps},
                        {"max_position_embeddings", s.max_positions > 0 ? s.max_positions : 32768},
                        {"tie_word_embeddings", s.tied && s.head == Head::language},
                        {"torch_dtype", type},
                        {"dtype", type}};
    write_features(s, config);
    write_windows(s, config);
    if (s.head == Head::value) {
        config["id2label"] = {{"0", "LABEL_0"}};
        config["label2id"] = {{"LABEL_0", 0}};
        config["num_labels"] = 1;
    }
    write_rope(s, config);
    return config;
}

}  // namespace tdrm::model
