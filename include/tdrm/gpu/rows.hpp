// Operations of a device that treat each row by itself. Matrices are row-major and dense; a row is one token. Letters
// as in docs/NOTATION.md. Widths of bf16 rows are multiples of 8. What is stored is bf16, what is computed fp32.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tdrm/gpu/types.hpp"

namespace tdrm::gpu {

/// y_r = scale x_{index_r}: embedding, and the rows that a head reads.
struct GatherRows {
    bf16* y;
    const bf16* x;
    const std::int32_t* index;
    int rows, width;
    float scale = 1;
};

/// Lists of rows to add up: list l holds rows[first[l]] .. rows[first[l + 1] - 1] and belongs to row target[l].
struct RowLists {
    const std::int32_t* target;
    const std::int32_t* first;
    const std::int32_t* rows;
    int lists;
};
/// y_target = sum of the list's rows of x, in order; other rows stay. The gradient of GatherRows.
struct ScatterRows {
    bf16* y;
    const bf16* x;
    RowLists lists;
    int width;
};
/// gradient_target += scale times the sum of the list's rows of dx, in order.
struct EmbedBackward {
    float* gradient;
    const bf16* dx;
    RowLists lists;
    int width;
    float scale = 1;
};

/// Where rows lie: `pieces` of them side by side, `pitch` numbers from such a line to the next. Heads of q | k | v are
/// normed piece by piece.
struct RowGrid {
    int pieces = 1;
    int pitch = 0;  ///< 0: nothing lies between lines

    [[nodiscard]] constexpr std::size_t at(int row, int width) const {
        const int line = row / pieces, piece = row % pieces;
        return static_cast<std::size_t>(line) * static_cast<std::size_t>(pitch > 0 ? pitch : pieces * width) +
               static_cast<std::size_t>(piece) * static_cast<std::size_t>(width);
    }
};

/// y = residual + x rstd (add + w) with rstd = 1 / sqrt(mean(x^2) + eps); residual and rstd_T may be null, y may be
/// residual, which lies as y does.
struct RmsNorm {
    bf16* y;
    float* rstd;
    const bf16* x;
    const bf16* w;
    const bf16* residual;
    int rows, width;
    float eps;
    float add = 0;
    RowGrid y_grid = {}, x_grid = {};
};

/// Rows that one partial sum over rows covers.
inline constexpr int kPartialRows = 64;
[[nodiscard]] constexpr int partials_of(int rows) { return (rows + kPartialRows - 1) / kPartialRows; }

/// dx = residual + gradient through the norm; residual may be null or dx, and dy may be dx. partials_PD: sums of
/// dy x rstd over kPartialRows rows each, for AddPartials.
struct RmsNormBackward {
    bf16* dx;
    float* partials;
    const bf16* residual;
    const bf16* dy;
    const bf16* x;
    const float* rstd;
    const bf16* w;
    int rows, width;
    float add = 0;
    RowGrid dy_grid = {}, x_grid = {};  ///< dx and residual lie as dy does
};
/// partials_PD: sums of x over kPartialRows rows each.
struct ColumnSums {
    float* partials;
    const bf16* x;
    int rows, width;
};
/// out_D += scale times the partial sums, in order.
struct AddPartials {
    float* out;
    const float* partials;
    int count, width;
    float scale = 1;
};

/// y += scale bias in each row; then max(y, 0) if `relu`.
struct AddBias {
    bf16* y;
    const bf16* bias;
    int rows, width;
    bool relu = false;
    float scale = 1;
    RowGrid grid = {};
};

/// How queries and keys turn: cosine and sine of each pair, `pairs` numbers an angle, of which a token has one; a
/// position's or, where frequencies depend on the length of sequences, that of a position in sequences so long. Pairs
/// are (i, i + pairs), or (2i, 2i + 1) if interleaved; what a head has beyond them stays.
struct Rotary {
    const float* cosine;
    const float* sine;
    int pairs;
    bool interleaved;
    const std::int32_t* angles;     ///< of each token
    const float* growth = nullptr;  ///< what queries are multiplied with at each angle; null: nothing
};
/// Rows of N query, K key and K value heads of width H.
struct HeadShape {
    int heads, kv_heads, head_dim;
    [[nodiscard]] constexpr int all() const { return heads + 2 * kv_heads; }
    [[nodiscard]] constexpr int stride() const { return all() * head_dim; }
};

/// Tokens of a page of the key/value cache.
inline constexpr int kPageTokens = 16;
/// Adds bias (null: none) to rows q | k | v, and turns q and k. Where there are pages, keys and
/// values go there too: pages are [K][16][H], and row r has place page x 16 + slot.
struct TurnHeads {
    bf16* qkv;
    const bf16* bias;
    Rotary rotary;
    HeadShape shape;
    int rows;
    bf16* key_pages;
    bf16* value_pages;
    const std::int32_t* places;
};

/// h_TF = f(gate) up, with gate and up side by side in gate_up_T2F; f is silu, or the tanh form of GELU.
struct Gate {
    bf16* h;
    const bf16* gate_up;
    int rows, inner;
    bool gelu = false;
};
/// Replaces gate_up by its gradient, given dh_TF.
struct GateBackward {
    bf16* gate_up;
    const bf16* dh;
    int rows, inner;
    bool gelu = false;
};

}  // namespace tdrm::gpu
