#include "lt_product.hpp"

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <string>

namespace tdrm::gpu {

void check(cublasStatus_t status, const char* what) {
    if (status != CUBLAS_STATUS_SUCCESS)
        throw std::runtime_error(std::string(what) + ": " + cublasLtGetStatusString(status));
}

namespace {

/// Decoding few or many sequences, and passes.
int row_bucket(int rows) {
    constexpr int buckets[] = {32, 256, 2048};
    const int* bucket = std::find_if(std::begin(buckets), std::end(buckets), [&](int most) { return rows <= most; });
    return bucket == std::end(buckets) ? 16384 : *bucket;
}

}  // namespace

Gemm representative(const Gemm& gemm) {
    Gemm asked = gemm;
    int& rows = gemm.product == Product::tn ? asked.k : asked.m;  // gradients of weights add up rows
    rows = row_bucket(rows);
    return asked;
}

bool keeps_sums_whole(const cublasLtMatmulAlgo_t& algorithm) {
    const auto asked = [&](cublasLtMatmulAlgoConfigAttributes_t attribute) {
        std::uint32_t value = 0;
        std::size_t written = 0;
        check(cublasLtMatmulAlgoConfigGetAttribute(&algorithm, attribute, &value, sizeof value, &written),
              "looking at an algorithm");
        return value;
    };
    return asked(CUBLASLT_ALGO_CONFIG_SPLITK_NUM) <= 1 &&
           asked(CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME) == CUBLASLT_REDUCTION_SCHEME_NONE;
}

namespace {

cublasLtMatrixLayout_t layout(cudaDataType type, int rows, int columns, int pitch) {
    cublasLtMatrixLayout_t made = nullptr;
    check(cublasLtMatrixLayoutCreate(&made, type, static_cast<std::uint64_t>(rows), static_cast<std::uint64_t>(columns),
                                     pitch),
          "describing a matrix");
    return made;
}

}  // namespace

LtProduct::LtProduct(const Gemm& g) {
    check(cublasLtMatmulDescCreate(&operation_, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describing a product");
    const bool b_across = g.product == Product::nt, a_across = g.product == Product::tn;
    const cublasOperation_t op_a = b_across ? CUBLAS_OP_T : CUBLAS_OP_N, op_b = a_across ? CUBLAS_OP_T : CUBLAS_OP_N;
    check(cublasLtMatmulDescSetAttribute(operation_, CUBLASLT_MATMUL_DESC_TRANSA, &op_a, sizeof op_a), "transposing");
    check(cublasLtMatmulDescSetAttribute(operation_, CUBLASLT_MATMUL_DESC_TRANSB, &op_b, sizeof op_b), "transposing");
    // Row-major M x N is column-major N x M.
    a_ = b_across ? layout(CUDA_R_16BF, g.k, g.n, g.b_pitch) : layout(CUDA_R_16BF, g.n, g.k, g.b_pitch);
    b_ = a_across ? layout(CUDA_R_16BF, g.m, g.k, g.a_pitch) : layout(CUDA_R_16BF, g.k, g.m, g.a_pitch);
    c_ = layout(g.c_float != nullptr ? CUDA_R_32F : CUDA_R_16BF, g.n, g.m, g.c_pitch);
}

LtProduct::~LtProduct() {
    cublasLtMatrixLayoutDestroy(c_);
    cublasLtMatrixLayoutDestroy(b_);
    cublasLtMatrixLayoutDestroy(a_);
    cublasLtMatmulDescDestroy(operation_);
}

LtPreference::LtPreference(std::size_t workspace_bytes) {
    check(cublasLtMatmulPreferenceCreate(&preference_), "making a preference");
    const auto workspace = static_cast<std::uint64_t>(workspace_bytes);
    check(cublasLtMatmulPreferenceSetAttribute(preference_, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                               sizeof workspace),
          "bounding the workspace");
    const std::uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_NONE;
    check(cublasLtMatmulPreferenceSetAttribute(preference_, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes,
                                               sizeof schemes),
          "keeping sums whole");
    // Tensors begin in the middle of buffers, at multiples of eight numbers; the library would assume 256 bytes.
    const std::uint32_t alignment = kOperandAlignment;
    for (const auto attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
        check(cublasLtMatmulPreferenceSetAttribute(preference_, attribute, &alignment, sizeof alignment),
              "saying how operands are aligned");
}

LtPreference::~LtPreference() { cublasLtMatmulPreferenceDestroy(preference_); }

}  // namespace tdrm::gpu
