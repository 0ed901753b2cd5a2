// What a model is: its sizes, its parameters by Hugging Face name, and how it is held in memory.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tdrm {
class Fields;
}

namespace tdrm::model {

/// Formats of stored numbers. The engine computes in f32.
enum class Dtype { f32, bf16, f16 };
/// Their names in options, in transformers' config.json and in safetensors files.
struct DtypeNames {
    Dtype dtype;
    std::string_view option, config, safetensors;
};
inline constexpr std::array kDtypes{DtypeNames{Dtype::f32, "fp32", "float32", "F32"},
                                    DtypeNames{Dtype::bf16, "bf16", "bfloat16", "BF16"},
                                    DtypeNames{Dtype::f16, "fp16", "float16", "F16"}};
[[nodiscard]] constexpr const DtypeNames& names_of(Dtype dtype) { return kDtypes[static_cast<std::size_t>(dtype)]; }

/// What is read off the last hidden state.
enum class Head { language, value };

/// Families of decoders, by transformers' model_type. All have RMSNorm, rotary positions, grouped-query attention and
/// SwiGLU; glm4 (GLM-4-0414) also norms what a block adds to the residual stream, turns neighbouring pairs
/// (2i, 2i + 1) instead of (i, i + H/2), and keeps gate and up in one tensor.
enum class Family { llama, mistral, qwen2, glm4 };
[[nodiscard]] constexpr auto enum_names(Family) {
    return std::array<std::pair<Family, std::string_view>, 4>{
        {{Family::llama, "llama"}, {Family::mistral, "mistral"}, {Family::qwen2, "qwen2"}, {Family::glm4, "glm4"}}};
}

/// Llama 3's stretch of the slow rotary frequencies (rope_type llama3). A factor of 1 is none.
struct RopeScaling {
    double factor = 1;            ///< slow frequencies are divided by it
    double low_freq_factor = 1;   ///< wavelengths above original_positions / low_freq_factor are slow
    double high_freq_factor = 4;  ///< wavelengths below original_positions / high_freq_factor stay
    int original_positions = 8192;
    bool operator==(const RopeScaling&) const = default;
};

/// Shape of a value head. Those that tdrm trains are one row without bias; the others come with models of others.
struct ValueHead {
    std::string name = "score";  ///< its tensors are name.weight and name.bias
    int labels = 1;              ///< rows of the last matrix; how several become one logit: head_logit (read_out.hpp)
    bool bias = false;           ///< of a head of one matrix
    bool hidden = false;         ///< name.0 (D x D, bias), ReLU, name.2 (labels x D, bias)
    std::vector<double> bins;    ///< value in [0, 1] of each of several labels; empty: the folder doesn't say
    double mean = 0, std = 1;    ///< one label: the logit is (z - mean) / std
    bool operator==(const ValueHead&) const = default;
};

/// A decoder.
struct ModelSpec {
    int vocab = 0;              ///< V, set by the task or tokenizer
    int layers = 4;             ///< L
    int width = 128;            ///< D
    int heads = 4;              ///< N query heads
    int kv_heads = 0;           ///< K key/value heads; 0 = heads
    int head_dim = 0;           ///< H; 0 = width / heads
    int ffn = 0;                ///< F inner width of SwiGLU; 0 = 8/3 width rounded up to 64
    double rope_theta = 10000;  ///< base of the rotary frequencies
    double norm_eps = 1e-5;     ///< epsilon of RMSNorm
    bool tied = false;          ///< the language head is the embedding
    Head head = Head::language;
    ValueHead value_head;  ///< if head is `value`
    Family family = Family::llama;
    bool qkv_bias = false;     ///< of the q, k and v projections
    bool output_bias = false;  ///< of the attention's output projection
    int rotary_dim = 0;        ///< leading part of a head that turns; 0 = head_dim
    RopeScaling rope_scaling;
    int max_positions = 0;  ///< that the model was made for; 0 = not known. Not a bound of the engine.
    int window = 0;         ///< tokens that attention looks back on; 0 = all. Longer sequences are refused.

    /// The options that a user writes under `model:` (sizes; `vocab` and `head` follow from the stage).
    void fields(Fields& f);

    /// Replaces zeros by their defaults and checks that the sizes fit together.
    /// @throws ConfigError naming every size that doesn't fit
    [[nodiscard]] ModelSpec resolved() const;

    [[nodiscard]] int query_width() const { return heads * head_dim; }
    [[nodiscard]] int kv_width() const { return kv_heads * head_dim; }
    [[nodiscard]] int qkv_width() const { return query_width() + 2 * kv_width(); }
    /// Parameters of the matrices that every token is multiplied with; a head's, which reads some rows only, aside.
    [[nodiscard]] double product_parameters() const {
        return static_cast<double>(layers) * width * (qkv_width() + query_width() + 3.0 * ffn);
    }
    /// Blocks norm what they add to the residual stream.
    [[nodiscard]] bool sandwich_norms() const { return family == Family::glm4; }
    /// Rotary pairs are neighbours.
    [[nodiscard]] bool interleaved_rotary() const { return family == Family::glm4; }
    /// Angle per position of each rotary pair, rotary_dim / 2 numbers.
    [[nodiscard]] std::vector<double> rotary_frequencies() const;
    bool operator==(const ModelSpec&) const = default;
};

/// A named parameter as a range of the flat buffer.
struct TensorInfo {
    std::string name;                 ///< as in Hugging Face checkpoints
    std::vector<std::int64_t> shape;  ///< row-major
    std::int64_t offset = 0;          ///< first element in the flat buffer

    [[nodiscard]] std::int64_t size() const;
    /// Norm weights and biases get no weight decay and aren't random at the start.
    [[nodiscard]] bool is_vector() const { return shape.size() == 1; }
};

/// Offsets of one decoder layer in the flat buffer, -1 for what it hasn't got. q, k, v lie behind one another, and so
/// do their biases, and gate and up, so that each is one matrix product.
struct LayerLayout {
    std::int64_t input_norm, qkv, qkv_bias, output, output_bias, post_norm, gate_up, down;
    std::int64_t attention_norm, ffn_norm;  ///< of what the blocks add to the residual stream
};

/// All parameters of a model, in the order of the flat buffer.
struct Layout {
    explicit Layout(const ModelSpec& spec);

    std::vector<TensorInfo> tensors;
    std::vector<LayerLayout> layers;
    std::int64_t embedding = 0, final_norm = 0, head = 0;  ///< `head`: language head (the embedding if tied) or score
    std::int64_t head_bias = -1, head_hidden = -1, head_hidden_bias = -1;  ///< of a value head; -1: none
    std::int64_t size = 0;                                                 ///< elements in all
};

}  // namespace tdrm::model
