// The decoder on a token forest: forward, backward, and the heads. Local; nothing here communicates.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "tdrm/model/bf16_products.hpp"
#include "tdrm/model/buffer.hpp"
#include "tdrm/model/forest.hpp"
#include "tdrm/model/kv_cache.hpp"
#include "tdrm/model/layout.hpp"
#include "tdrm/model/ops.hpp"
#include "tdrm/model/rotary.hpp"
#include "tdrm/model/weights.hpp"

namespace tdrm::model {

/// A model: its spec and its parameters, one flat fp32 array. Of a model for passes the matrices of the layers lie in
/// packed form alone, from when all their weights have come; with bf16 products they are then rounded.
class Model {
public:
    /// Parameters are zero. @param spec as resolved() @param products bf16 where ops::bf16_unit() isn't none
    explicit Model(const ModelSpec& spec, Products products = Products::fp32, Use use = Use::training);

    [[nodiscard]] const ModelSpec& spec() const { return spec_; }
    [[nodiscard]] const Layout& layout() const { return layout_; }
    [[nodiscard]] std::int64_t num_parameters() const { return layout_.size; }
    [[nodiscard]] Use use() const { return use_; }
    [[nodiscard]] Products products() const { return products_; }

    void write(std::int64_t first, std::span<const float> values);
    void read(std::int64_t first, std::span<float> out) const;
    /// Writes what it gets into the parameters.
    [[nodiscard]] WeightSink sink();

    /// All parameters of a model for training, to be written at once: what was packed is packed again when next used.
    [[nodiscard]] std::span<float> values();
    [[nodiscard]] std::span<const float> values() const;
    /// Parameters that aren't a matrix of a layer; of a model for training any.
    [[nodiscard]] const float* at(std::int64_t offset) const { return values_.data() + offset; }

    // Products with the matrix W of shape (outputs, inputs) at an offset, rows of X and Y being tokens.
    /// Y = beta Y + X W^T. beta is 0 or 1. A row's bits depend on that row alone.
    void multiply(float* y, const float* x, std::int64_t offset, int outputs, int inputs, int rows,
                  float beta = 0) const;
    /// dX = dY W.
    void multiply_back(float* dx, const float* dy, std::int64_t offset, int outputs, int inputs, int rows) const;
    /// Adds dY^T X to the gradient of W.
    void add_gradient(float* gradient, const float* dy, const float* x, std::int64_t offset, int outputs, int inputs,
                      int rows) const;

private:
    /// A matrix in packed form, packed when first asked for since the last change of the parameters.
    struct Packed {
        std::uint64_t version = 0;
        ops::PackedMatrix matrix;
        ops::Bf16Matrix rounded;
    };
    /// A matrix of a layer of a model for passes.
    struct Held {
        int outputs = 0, inputs = 0;
        std::int64_t written = 0;  ///< numbers that have come since it was last packed
        bool packed = false;       ///< and nowhere else

        [[nodiscard]] std::int64_t size() const { return std::int64_t{outputs} * inputs; }
    };
    enum class Turned { no, yes };
    const Packed& packed(std::int64_t offset, int outputs, int inputs, Turned turned) const;
    void pack(Packed& packed, std::int64_t offset, int outputs, int inputs, Turned turned) const;
    void row(std::int64_t offset, int row, std::span<float> to) const;
    /// Calls body(offset, held, first, end) for each such matrix that shares the range [first, end) with n parameters
    /// from `from` on.
    template <class Body>
    void for_held(std::int64_t from, std::size_t n, Body&& body) const;
    void hold_packed(std::int64_t offset, Held& held) const;
    void unpack(std::int64_t offset, Held& held);

    Products products_;
    Use use_;
    ModelSpec spec_;
    Layout layout_;
    mutable Floats values_;
    std::uint64_t version_ = 1;
    mutable std::map<std::pair<std::int64_t, Turned>, Packed> packed_;  ///< by offset; turned for multiply_back in bf16
    mutable std::map<std::int64_t, Held> held_;                         ///< by offset; empty for training
};

/// What the forward pass of one layer leaves behind for the backward pass.
struct LayerActivations {
    Floats input;       ///< x_TD before attention
    Floats input_rstd;  ///< rstd_T of the first norm
    Floats heads;       ///< q | k before their norms, if they have some
    Floats heads_rstd;  ///< of those norms
    Floats qkv;         ///< rotated q | k | v
    Floats lse;         ///< lse_TN
    Floats mixed;       ///< attention output_T(NH)
    Floats attended;    ///< what attention adds to x, before a norm behind it or a scale
    Floats attended_rstd;
    Floats middle;  ///< x_TD after attention
    Floats middle_rstd;
    Floats gate_up;  ///< T(2F)
    Floats fed;      ///< what the feed-forward block adds to x, likewise
    Floats fed_rstd;
};

/// Rows of a cached pass that are consecutive tokens of one segment.
struct CachedTile {
    struct Seen {
        std::size_t first_run = 0, num_runs = 0;
    };
    int first, rows;
    Seen all, window;  ///< what they see in layers without and with a window
};

/// Memory of forward and backward passes; reused, never shared by two threads.
struct Workspace {
    std::vector<LayerActivations> layers;
    Floats x, normed, inner;         ///< residual stream, normed input, output of the gate
    Floats top_rstd, top_rows, top;  ///< of the rows that a head reads
    Floats dx, d_block, d_scaled, d_normed, d_inner, d_qkv, d_heads, d_mixed, d_rows, d_top;
    Floats logits, coefficient, logp, entropy;
    ops::AttentionScratch attention;
    std::vector<std::int32_t> positions, slot;  ///< of the rows of a cached pass
    std::vector<std::int32_t> lengths;          ///< of the rows' trees, where rotary frequencies depend on them
    std::vector<CachedTile> tiles;
    std::vector<ops::KeyRun> runs;  ///< of all tiles
};

/// Memory of a model that computes: parameters, and the matrices in packed form (docs/adr/0013).
struct ModelBytes {
    double parameters, packed;
};
[[nodiscard]] ModelBytes model_bytes(const ModelSpec& spec, Products products, Use use);
/// Memory of a workspace after passes of at most `tokens` tokens, of which a head read `rows`, with a backward pass or
/// without. Attention's scratch isn't in it.
[[nodiscard]] double workspace_bytes(const ModelSpec& spec, double tokens, double rows, bool for_backward);
/// Memory of the logits that the losses and log-probs of a language head hold at a time.
[[nodiscard]] double head_bytes(const ModelSpec& spec, double rows);

/// Runs a model. Cheap to construct; several may share one model's parameters.
class Transformer {
public:
    explicit Transformer(const Model& model);

    /// Normed last hidden states of the given tokens (indices into the flat run).
    /// @return hidden_RD, in `work`, valid until the next call
    /// @param for_backward keep every layer's activations (otherwise one layer's memory is reused)
    const float* forward(const Forest& forest, std::span<const std::int32_t> rows, Workspace& work, bool for_backward);

    /// Adds the gradient of all parameters below the head, given the gradient of what `forward` returned.
    /// @param gradient flat, as Model::values
    void backward(const Forest& forest, std::span<const std::int32_t> rows, const float* d_hidden, float* gradient,
                  Workspace& work);

    /// Appends tokens[i] to the cached segment segments[i] for all i and computes them in one pass: decoding (one token
    /// for each of many segments), prefill (many tokens for one), or both at once. A row's bits depend on what it sees
    /// alone.
    /// @throws DataError if a tree grows beyond the length up to which its rotary frequencies hold (longrope, dynamic)
    /// @return normed hidden_RD of the given rows (indices into `tokens`), valid until the next call
    const float* extend(KvCache& cache, std::span<const std::int32_t> tokens, std::span<const std::int32_t> segments,
                        std::span<const std::int32_t> rows, Workspace& work);

    [[nodiscard]] const Model& model() const { return *model_; }

private:
    /// Of the rows of a forest. @return their lengths, for Rotary
    std::span<const std::int32_t> lengths(const Forest& forest, Workspace& work) const;
    /// Of the rows of a cached pass.
    std::span<const std::int32_t> lengths(KvCache& cache, std::span<const std::int32_t> segments,
                                          Workspace& work) const;
    const float* run(std::span<const std::int32_t> tokens, std::span<const std::int32_t> rows, const Pass& pass);

    const Model* model_;
    const ops::AttentionKernels* kernels_;
    Rotary rotary_;
};

/// logits_RV of the language head.
void token_logits(const Model& model, const float* hidden_RD, int rows, float* logits);

/// log softmax(logits / temperature)[target] of each row, and the entropy, without ever holding more than a chunk of
/// logits. @param hidden_RD as returned by forward
void token_logprobs(const Model& model, const float* hidden_RD, std::span<const std::int32_t> targets,
                    float temperature, float* logp, float* entropy, Workspace& work);

/// Derivative of a loss with respect to one row's log-prob, given that log-prob and the entropy.
using TokenLoss = std::function<float(int row, float logp, float entropy)>;
/// As token_logprobs, and in the same pass the gradient: calls `loss` for each row in order, adds the head's gradient
/// to `gradient` and writes d_hidden_RD.
void token_loss(const Model& model, const float* hidden_RD, std::span<const std::int32_t> targets, float temperature,
                const TokenLoss& loss, float* d_hidden_RD, float* gradient, Workspace& work);

}  // namespace tdrm::model
