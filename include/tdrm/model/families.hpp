// Families of decoders, by transformers' model_type: what each computes and how its tensors are called. A row says it
// all; the rest of the house asks for features, never for names.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

namespace tdrm::model {

enum class Family {
    llama,
    mistral,
    qwen2,
    glm4,
    qwen3,
    smollm3,
    phi3,
    granite,
    olmo2,
    olmo3,
    ministral,
    ministral3,
    gemma3
};

/// What is normed of queries and keys before they turn: nothing, each head, or all heads of a token at once.
enum class QkNorm { none, head, token };
/// Of the gate in the feed-forward block: x sigmoid(x), or the tanh form of GELU.
enum class Activation { silu, gelu_tanh };
/// Which layers look back on `sliding_window` tokens only: none (the key is ignored, as transformers does), all, those
/// from max_window_layers on if use_sliding_window, those without rotation if use_sliding_window, or those that
/// layer_types lists (if it is missing, all but each `global_every`th).
enum class WindowRule { none, all, later, unrotated, listed };
/// Projections with a bias: none, q, k, v always, q, k, v on attention_bias, or these and the output on it.
enum class BiasRule { none, qkv, qkv_on_key, all_on_key };

/// Names of a layer's norms behind model.layers.N.; "" is a norm that isn't there.
struct NormNames {
    std::string_view before_attention, after_attention, before_ffn, after_ffn;
};
inline constexpr NormNames kNormsBefore{"input_layernorm", "", "post_attention_layernorm", ""};
inline constexpr NormNames kNormsAfter{"", "post_attention_layernorm", "", "post_feedforward_layernorm"};

/// One row of the table. All families have RMSNorm, rotary positions, grouped-query attention and a gated feed-forward
/// block.
struct FamilyRow {
    Family family;
    std::string_view model_type;                    ///< in config.json
    std::string_view class_name;                    ///< transformers' class is this and ForCausalLM
    std::string_view classifier_name = class_name;  ///< and this and ForSequenceClassification
    NormNames norms = kNormsBefore;
    BiasRule biases = BiasRule::none;
    WindowRule windows = WindowRule::none;
    QkNorm qk_norm = QkNorm::none;
    Activation activation = Activation::silu;
    bool fused_qkv = false;           ///< one tensor self_attn.qkv_proj
    bool fused_gate_up = false;       ///< one tensor mlp.gate_up_proj
    bool interleaved_rotary = false;  ///< pairs are (2i, 2i + 1), not (i, i + half)
    bool norms_add_one = false;       ///< norms multiply by 1 + weight
    bool multipliers = false;         ///< config.json has multipliers of embedding, residual, attention and logits
    bool scaled_embedding = false;    ///< the embedding is multiplied by sqrt(width)
    bool layer_ropes = false;         ///< windowed layers turn by a base of their own, unscaled
    bool unrotated_layers = false;    ///< config.json lists layers without rotation
    double partial_rotary = 0;        ///< partial_rotary_factor if the key is missing; 0: the family has no such key
    // What transformers takes where config.json lacks the key.
    bool tied = false;
    double norm_eps = 1e-6;
    double rope_theta = 10000;
    double local_rope_theta = 0;  ///< with layer_ropes; 0: as in the other layers
    int head_dim = 0;             ///< 0: width / heads
    int window = 4096;
    int global_every = 0;  ///< 0: every layer is windowed
};

/// The families, in the order of the enumeration.
inline constexpr std::array kFamilies{
    FamilyRow{.family = Family::llama, .model_type = "llama", .class_name = "Llama", .biases = BiasRule::all_on_key},
    FamilyRow{.family = Family::mistral, .model_type = "mistral", .class_name = "Mistral", .windows = WindowRule::all},
    FamilyRow{.family = Family::qwen2,
              .model_type = "qwen2",
              .class_name = "Qwen2",
              .biases = BiasRule::qkv,
              .windows = WindowRule::later},
    FamilyRow{
        .family = Family::glm4,
        .model_type = "glm4",
        .class_name = "Glm4",
        .norms = {"input_layernorm", "post_self_attn_layernorm", "post_attention_layernorm", "post_mlp_layernorm"},
        .biases = BiasRule::qkv_on_key,
        .fused_gate_up = true,
        .interleaved_rotary = true,
        .partial_rotary = 0.5,
        .norm_eps = 1.5625e-07},
    FamilyRow{.family = Family::qwen3,
              .model_type = "qwen3",
              .class_name = "Qwen3",
              .biases = BiasRule::all_on_key,
              .windows = WindowRule::later,
              .qk_norm = QkNorm::head,
              .head_dim = 128},
    FamilyRow{.family = Family::smollm3,
              .model_type = "smollm3",
              .class_name = "SmolLM3",
              .biases = BiasRule::all_on_key,
              .windows = WindowRule::unrotated,
              .unrotated_layers = true,
              .tied = true,
              .rope_theta = 2000000,
              .window = 0},
    FamilyRow{.family = Family::phi3,
              .model_type = "phi3",
              .class_name = "Phi3",
              .windows = WindowRule::all,
              .fused_qkv = true,
              .fused_gate_up = true,
              .partial_rotary = 1,
              .norm_eps = 1e-5,
              .window = 0},
    FamilyRow{.family = Family::granite,
              .model_type = "granite",
              .class_name = "Granite",
              .biases = BiasRule::all_on_key,
              .multipliers = true},
    FamilyRow{.family = Family::olmo2,
              .model_type = "olmo2",
              .class_name = "Olmo2",
              .norms = kNormsAfter,
              .biases = BiasRule::all_on_key,
              .qk_norm = QkNorm::token,
              .norm_eps = 1e-5},
    FamilyRow{.family = Family::olmo3,
              .model_type = "olmo3",
              .class_name = "Olmo3",
              .norms = kNormsAfter,
              .biases = BiasRule::all_on_key,
              .windows = WindowRule::listed,
              .qk_norm = QkNorm::token,
              .layer_ropes = true,
              .norm_eps = 1e-5,
              .rope_theta = 500000,
              .global_every = 4},
    FamilyRow{.family = Family::ministral,
              .model_type = "ministral",
              .class_name = "Ministral",
              .windows = WindowRule::listed},
    FamilyRow{.family = Family::ministral3,
              .model_type = "ministral3",
              .class_name = "Ministral3",
              .windows = WindowRule::all,
              .norm_eps = 1e-5,
              .head_dim = 128,
              .window = 0},
    FamilyRow{.family = Family::gemma3,
              .model_type = "gemma3_text",
              .class_name = "Gemma3",
              .classifier_name = "Gemma3Text",
              .norms = {"input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
                        "post_feedforward_layernorm"},
              .biases = BiasRule::all_on_key,
              .windows = WindowRule::listed,
              .qk_norm = QkNorm::head,
              .activation = Activation::gelu_tanh,
              .norms_add_one = true,
              .scaled_embedding = true,
              .layer_ropes = true,
              .tied = true,
              .rope_theta = 1000000,
              .local_rope_theta = 10000,
              .head_dim = 256,
              .global_every = 6},
};

[[nodiscard]] constexpr const FamilyRow& row_of(Family family) { return kFamilies[static_cast<std::size_t>(family)]; }

[[nodiscard]] constexpr auto enum_names(Family) {
    std::array<std::pair<Family, std::string_view>, kFamilies.size()> names;
    for (std::size_t i = 0; i < names.size(); ++i) names[i] = {kFamilies[i].family, kFamilies[i].model_type};
    return names;
}

}  // namespace tdrm::model
