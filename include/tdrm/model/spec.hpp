// What a model is: its sizes, its parameters by Hugging Face name, and how it is held in memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tdrm {
class Fields;
}

namespace tdrm::model {

/// Number formats. Compute, master weights and gradients are chosen separately (Precision).
enum class Dtype { f32, bf16, f16 };

/// Formats of one model. Today the engine computes in f32 only; the other members say what is stored.
struct Precision {
    Dtype compute = Dtype::f32;   ///< activations and matrix products
    Dtype master = Dtype::f32;    ///< weights that the optimiser changes
    Dtype gradient = Dtype::f32;  ///< gradients before the global sum
};

/// What a stage does with a model.
enum class Use { train, frozen, ema };
/// Where a model lives while it isn't computing.
enum class Residency { device, paged };

/// What is read off the last hidden state.
enum class Head { language, value };

/// A decoder of Llama type: RMSNorm, rotary positions, grouped-query attention, SwiGLU.
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

    /// The options that a user writes under `model:` (sizes; `vocab` and `head` follow from the stage).
    void fields(Fields& f);

    /// Replaces zeros by their defaults and checks that the sizes fit together.
    /// @throws ConfigError naming every size that doesn't fit
    [[nodiscard]] ModelSpec resolved() const;

    [[nodiscard]] int query_width() const { return heads * head_dim; }
    [[nodiscard]] int kv_width() const { return kv_heads * head_dim; }
    [[nodiscard]] int qkv_width() const { return query_width() + 2 * kv_width(); }
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

/// Offsets of one decoder layer in the flat buffer. q, k, v lie behind one another, and so do gate and up, so that
/// each is one matrix product.
struct LayerLayout {
    std::int64_t input_norm, qkv, output, post_norm, gate_up, down;
};

/// All parameters of a model, in the order of the flat buffer.
struct Layout {
    explicit Layout(const ModelSpec& spec);

    std::vector<TensorInfo> tensors;
    std::vector<LayerLayout> layers;
    std::int64_t embedding = 0, final_norm = 0, head = 0;  ///< `head`: language head (the embedding if tied) or score
    std::int64_t size = 0;                                 ///< elements in all
};

}  // namespace tdrm::model
