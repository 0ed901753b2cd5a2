// A product as cuBLASLt takes it. Descriptors need no GPU, so that tests can read them back.
#pragma once

#include <cublasLt.h>

#include <cstdint>

#include "tdrm/gpu/gemm.hpp"

namespace tdrm::gpu {

/// @throws std::runtime_error naming what failed
void check(cublasStatus_t status, const char* what);

/// Descriptors of a gpu::Gemm. The library's matrices are column-major, so it is asked for C^T = op(B) op(A): what it
/// calls a is our B, and its m is our N.
class LtProduct {
public:
    explicit LtProduct(const Gemm& gemm);
    ~LtProduct();
    LtProduct(const LtProduct&) = delete;
    LtProduct& operator=(const LtProduct&) = delete;

    [[nodiscard]] cublasLtMatmulDesc_t operation() const { return operation_; }
    [[nodiscard]] cublasLtMatrixLayout_t a() const { return a_; }
    [[nodiscard]] cublasLtMatrixLayout_t b() const { return b_; }
    [[nodiscard]] cublasLtMatrixLayout_t c() const { return c_; }

private:
    cublasLtMatmulDesc_t operation_ = nullptr;
    cublasLtMatrixLayout_t a_ = nullptr, b_ = nullptr, c_ = nullptr;
};

/// The product whose algorithm another one takes: whatever the number of rows that it computes or adds up, but for a
/// few stretches of them, so that neither company nor an earlier product decides on bits.
[[nodiscard]] Gemm representative(const Gemm& gemm);

/// Whether an algorithm adds up each result in one piece, so that the others' shapes don't show in its bits.
[[nodiscard]] bool keeps_sums_whole(const cublasLtMatmulAlgo_t& algorithm);

/// Bytes at whose multiples the operands of a product begin, and their rows.
inline constexpr std::uint32_t kOperandAlignment = 16;

/// What an algorithm may do: no sums split over K, which would make a row's bits depend on how many rows there are.
class LtPreference {
public:
    explicit LtPreference(std::size_t workspace_bytes);
    ~LtPreference();
    LtPreference(const LtPreference&) = delete;
    LtPreference& operator=(const LtPreference&) = delete;
    [[nodiscard]] cublasLtMatmulPreference_t get() const { return preference_; }

private:
    cublasLtMatmulPreference_t preference_ = nullptr;
};

}  // namespace tdrm::gpu
