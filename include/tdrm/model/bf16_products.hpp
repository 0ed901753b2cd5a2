// Products whose operands are rounded to bf16 (to nearest, ties to even) and whose sums are fp32, by the processor's
// tiles (AMX) or dot products (AVX512-BF16). A row's bits depend on that row alone, for any number of rows. Local and
// single-threaded.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "tdrm/model/buffer.hpp"

namespace tdrm::model::ops {

/// What multiplies bf16 numbers here.
enum class Bf16Unit { none, dot_products, tiles };
/// The best that the processor has and the system allows. Asks the system for tiles the first time.
[[nodiscard]] Bf16Unit bf16_unit();
[[nodiscard]] std::string_view name_of(Bf16Unit unit);

/// A matrix B_PQ of bf16 numbers for products Y = X B^T: P outputs, sums over Q.
class Bf16Matrix {
public:
    /// From B_PQ, row-major.
    void pack(const float* b, int outputs, int sums);
    /// From its transpose, b_QP row-major.
    void pack_transposed(const float* b, int sums, int outputs);
    /// The rounded numbers of row `output`.
    void row(int output, std::span<float> to) const;

    /// Pairs of numbers that lie behind one another in Q, [P / 16][Q / 2][16], zero behind P and Q (Q up to whole
    /// tiles).
    [[nodiscard]] const std::uint32_t* data() const { return data_.data(); }
    [[nodiscard]] int outputs() const { return outputs_; }
    /// Pairs of a panel's sums: a multiple of 16.
    [[nodiscard]] int pairs() const { return pairs_; }
    [[nodiscard]] int sums() const { return sums_; }
    [[nodiscard]] static double bytes(int outputs, int sums);

private:
    void resize(int outputs, int sums);
    Buffer<std::uint32_t> data_;  ///< lines of 64 bytes: a row of a tile is one
    int outputs_ = 0, sums_ = 0, pairs_ = 0;
};

/// Y_MP = beta Y + X_MQ B_PQ^T. beta is 0 or 1. @param unit not none, at most bf16_unit()
void multiply_bf16(float* y, const float* x, const Bf16Matrix& b, int m, float beta, Bf16Unit unit);
/// W_NK += Y_MN^T X_MK. (gradient with respect to the weight)
void multiply_transposed_bf16(float* w, const float* y, const float* x, int m, int n, int k, Bf16Unit unit);

}  // namespace tdrm::model::ops
