// What the engine of processors does to numbers. All matrices are fp32, row-major and dense; a row is one token.
// Letters as in docs/NOTATION.md: T tokens, D model width, F inner width, N query heads, K key/value heads, H head
// width, V vocabulary. Everything is local and single-threaded; each row's result depends on that row alone (and on
// what it attends to), bit for bit, except in gemm_nn and gemm_tn.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tdrm/model/buffer.hpp"
#include "tdrm/model/families.hpp"
#include "tdrm/model/forest.hpp"

namespace tdrm::model {

/// How matrices are multiplied: all operands fp32, or rounded to bf16 with fp32 sums, in attention, too. All else is
/// fp32 in any case.
enum class Products { fp32, bf16 };
[[nodiscard]] constexpr auto enum_names(Products) {
    return std::array<std::pair<Products, std::string_view>, 2>{{{Products::fp32, "fp32"}, {Products::bf16, "bf16"}}};
}

}  // namespace tdrm::model

namespace tdrm::model::ops {

/// Weights W_NK in the order in which gemm_nt reads them.
class PackedMatrix {
public:
    void pack(const float* w, int rows, int columns);
    /// W[row], the same bits as were packed.
    void row(int row, std::span<float> to) const;
    [[nodiscard]] const float* data() const { return data_.data(); }
    [[nodiscard]] int rows() const { return rows_; }        ///< N
    [[nodiscard]] int columns() const { return columns_; }  ///< K
    /// Memory of a matrix of this size.
    [[nodiscard]] static double bytes(int rows, int columns);

private:
    Floats data_;  ///< [N / panel][K][panel], zero behind N; a panel is as wide as the kernel's tile
    int rows_ = 0, columns_ = 0;
};

/// Y_MN = beta Y + X_MK W_NK^T. beta is 0 or 1.
void gemm_nt(float* y, const float* x, const PackedMatrix& w, int m, float beta = 0);
/// X_MK = beta X + Y_MN W_NK. beta is 0 or 1, as below. (gradient with respect to the input)
void gemm_nn(float* x, const float* y, const float* w, int m, int n, int k, float beta = 0);
/// W_NK = beta W + Y_MN^T X_MK. (gradient with respect to the weight)
void gemm_tn(float* w, const float* y, const float* x, int m, int n, int k, float beta = 1);

/// Loads what gemm_nn and gemm_tn compute with (they would do it themselves), so that a faulty installation is found
/// before there is work to lose. They use one thread: results don't depend on how libtorch would split its products.
/// @throws MissingError if the module or libtorch can't be loaded
void load_products();
/// Of the libtorch that the program was built with; loads nothing.
[[nodiscard]] std::string torch_version();

/// x_TD = embedding_VD[token]
void embed(float* x, const float* embedding, std::span<const std::int32_t> tokens, int width);
/// embedding_grad[token] += dx
void embed_backward(float* embedding_grad, const float* dx, std::span<const std::int32_t> tokens, int width);

/// y = x * rstd * (w + add) with rstd = 1 / sqrt(mean(x^2) + eps); rstd_T may be null, y may be x.
void rms_norm(float* y, float* rstd, const float* x, const float* w, int rows, int width, float eps, float add = 0);
/// y = x * rstd * (w + add) from a stored rstd.
void rms_norm_again(float* y, const float* x, const float* rstd, const float* w, int rows, int width, float add = 0);
/// dx += gradient through the norm; dw += sum over rows of dy * x * rstd.
void rms_norm_backward(float* dx, float* dw, const float* dy, const float* x, const float* rstd, const float* w,
                       int rows, int width, float add = 0);

/// y += x, element by element.
void add(float* y, const float* x, std::size_t n);
/// y *= factor.
void scale(float* y, float factor, std::size_t n);
/// Adds a bias to each row.
void add_bias(float* y, const float* bias, int rows, int width);
/// db += sum over rows of dy.
void add_bias_backward(float* db, const float* dy, int rows, int width);

/// h_TF = activation(gate) * up, with gate and up side by side in gate_up_T2F.
void gate(float* h, const float* gate_up, int rows, int inner, Activation activation);
/// Replaces gate_up by its gradient, given dh_TF.
void gate_backward(float* gate_up, const float* dh, int rows, int inner, Activation activation);

/// Rotary tables: magnitude times cos and sin of position * frequency for positions 0..num_positions-1, one each a
/// pair.
class RotaryTable {
public:
    /// @param interleaved pairs are (2i, 2i + 1), otherwise (i, i + number of pairs)
    explicit RotaryTable(std::vector<double> frequencies, bool interleaved = false, float magnitude = 1)
        : frequencies_(std::move(frequencies)), interleaved_(interleaved), magnitude_(magnitude) {}
    void grow(int num_positions);
    [[nodiscard]] int num_pairs() const { return static_cast<int>(frequencies_.size()); }
    [[nodiscard]] bool interleaved() const { return interleaved_; }
    [[nodiscard]] const float* cosine(int position) const { return cos_.data() + row(position); }
    [[nodiscard]] const float* sine(int position) const { return sin_.data() + row(position); }

private:
    [[nodiscard]] std::size_t row(int position) const {
        return static_cast<std::size_t>(position) * frequencies_.size();
    }
    std::vector<double> frequencies_;
    bool interleaved_;
    float magnitude_;
    int num_positions_ = 0;
    Floats cos_, sin_;
};
/// Turns the pairs of the first `num_heads` heads of each row by its position; what a head has beyond its pairs stays.
/// `direction` -1 is the transposed map (the backward pass). Rows are `stride` floats apart.
void rotate(float* x, const RotaryTable& table, std::span<const std::int32_t> positions, int num_heads, int head_dim,
            int stride, int direction = 1);

/// Sizes of an attention.
struct AttentionShape {
    int heads, kv_heads, head_dim;
    float scale = 0;  ///< of the scores; 0: 1 / sqrt(head_dim)
    int window = 0;   ///< a token sees itself and window - 1 before it; 0: all before it

    [[nodiscard]] float score_scale() const {
        return scale > 0 ? scale : 1.0F / std::sqrt(static_cast<float>(head_dim));
    }
    /// Position of the first key that a token sees.
    [[nodiscard]] int first_seen(int position) const { return window > 0 ? position - window + 1 : kAllSeen; }
    static constexpr int kAllSeen = -(1 << 30);
    [[nodiscard]] int stride() const { return (heads + 2 * kv_heads) * head_dim; }  ///< of a row q | k | v
};
/// Query rows that are computed together.
constexpr int kAttentionRows = 8;
/// Keys are packed in groups of this many, [H / 4][4 keys][4].
constexpr int kKeyGroup = 4;
/// Keys and values of one segment as a tile of query rows sees them. With products in bf16 a float is a cell of two
/// numbers.
struct KeyRun {
    const float* keys;    ///< groups or blocks of keys, from the first on
    const float* values;  ///< one row a key, or blocks
    int count;            ///< keys that the tile's last row sees, from the first one on
    int seen;  ///< keys that its first row sees; each further row sees one more, up to count. At most 0: none.
    /// Of these the first that its first row doesn't see, for they lie before its window; each further row one more.
    int hidden = AttentionShape::kAllSeen;

    /// Puts the window's beginning in place: `hidden` keys, which are left out of the run as far as whole vectors of
    /// scores go, so that a key's place in its vector stays. @param group, value floats of four keys, and of one value
    /// @return whether any key is left
    bool hide(int keys_hidden, std::ptrdiff_t group, std::ptrdiff_t value);
};
/// Scratch memory of the attention kernels. Words are pairs of bf16 numbers.
struct Bf16Scratch {
    Buffer<std::uint32_t> left_words, weights;
    Floats left, mixed, turned_rows, key_gradients;
    std::vector<const std::uint32_t*> key_blocks, value_blocks;
};
struct AttentionScratch {
    Bf16Scratch bf16;
    Floats groups, scores, gradients;
    Buffer<std::int32_t> first_block;
    std::vector<VisibleRange> ranges;
    std::vector<KeyRun> runs;
};

/// out_T(NH) = attention over the forest; lse_TN = log-sum-exp of each row's scores.
/// qkv rows hold rotated q | k | v.
void attention(float* out, float* lse, const float* qkv, const Forest& forest, const AttentionShape& shape,
               AttentionScratch& scratch);
/// dqkv (overwritten) from dout, the forward's out and lse.
void attention_backward(float* dqkv, const float* dout, const float* out, const float* lse, const float* qkv,
                        const Forest& forest, const AttentionShape& shape, AttentionScratch& scratch);

/// One page of a key/value cache holds this many tokens.
constexpr int kPageTokens = 16;
/// Writes k and v of one row into slot `index` of a page. Key pages are groups
/// [4][K][H / 4][4][4], value pages [16][K][H]: what is used of a page is its beginning.
void write_page(float* key_page, float* value_page, const float* qkv_row, int index, const AttentionShape& shape);
/// Brings a page's tokens up to `index` into the processor's cache, to be read and written soon.
void fetch_page(const float* key_page, const float* value_page, int index, const AttentionShape& shape);
/// out(NH) = attention of consecutive tokens of one segment, at most a tile of rows, each page a run. Their pages lie
/// `offset` floats behind those of the runs (another layer).
void cached_attention(float* out, const float* qkv, int rows, std::span<const KeyRun> runs, std::ptrdiff_t offset,
                      const AttentionShape& shape, AttentionScratch& scratch);

/// How attention is computed with one form of products.
struct AttentionKernels {
    int tile_rows;                                             ///< of a cached pass, that are computed together
    std::ptrdiff_t (*page_cells)(int kv_heads, int head_dim);  ///< 32 bits each, of keys and of values
    decltype(&attention) forward;
    decltype(&attention_backward) backward;
    decltype(&write_page) write;
    decltype(&fetch_page) fetch;
    decltype(&cached_attention) cached;
};
[[nodiscard]] const AttentionKernels& attention_kernels(Products products);

/// Per row: log softmax(logits / temperature) at `target`, and the entropy of that distribution in nats.
void log_softmax(float* logp, float* entropy, const float* logits, std::span<const std::int32_t> targets, int vocab,
                 float temperature);
/// One row's softmax before it is divided by its sum.
struct TokenWeights {
    float top, mass, log_mass, inverse;
    /// log softmax(logits / temperature) of a token with this logit: the same bits as from log_softmax.
    [[nodiscard]] float logp(float logit) const { return (logit - top) * inverse - log_mass; }
};
/// weights_V = exp((logits_V - max) / temperature); `mass` is their sum.
TokenWeights token_weights(float* weights, const float* logits, int vocab, float temperature);
/// Replaces logits by coefficient * d logp[target] / d logits = coefficient / temperature * (onehot - softmax).
void log_softmax_backward(float* logits, const float* logp, const float* coefficient,
                          std::span<const std::int32_t> targets, int vocab, float temperature);

}  // namespace tdrm::model::ops
