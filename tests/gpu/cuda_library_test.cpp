// The library that has GPUs, as far as that goes without one.
#include <gtest/gtest.h>

#include <tuple>

#include "../../src/gpu/cuda/lt_product.hpp"
#include "tdrm/base/bfloat16.hpp"
#include "tdrm/base/random.hpp"
#include "tdrm/gpu/plugin.hpp"

namespace tdrm::gpu {
namespace {

float to_float(bf16 x) { return tdrm::to_float(BFloat16{x.bits}); }

std::vector<bf16> random_numbers(std::string_view of, std::size_t n) {
    const Random random(random_key(1, of));
    std::vector<bf16> numbers;
    for (std::size_t i = 0; i < n; ++i)
        numbers.push_back({to_bfloat16(static_cast<float>(random.uniform(i) - 0.5)).bits});
    return numbers;
}

template <class T>
T read(cublasLtMatmulDesc_t of, cublasLtMatmulDescAttributes_t what) {
    T value{};
    std::size_t written = 0;
    check(cublasLtMatmulDescGetAttribute(of, what, &value, sizeof value, &written), "reading");
    return value;
}
template <class T>
T read(cublasLtMatrixLayout_t of, cublasLtMatrixLayoutAttribute_t what) {
    T value{};
    std::size_t written = 0;
    check(cublasLtMatrixLayoutGetAttribute(of, what, &value, sizeof value, &written), "reading");
    return value;
}

/// A column-major matrix as descriptors have it.
struct Described {
    cudaDataType type;
    std::uint64_t rows, columns;
    std::int64_t pitch;
    explicit Described(cublasLtMatrixLayout_t of)
        : type(static_cast<cudaDataType>(read<std::uint32_t>(of, CUBLASLT_MATRIX_LAYOUT_TYPE))),
          rows(read<std::uint64_t>(of, CUBLASLT_MATRIX_LAYOUT_ROWS)),
          columns(read<std::uint64_t>(of, CUBLASLT_MATRIX_LAYOUT_COLS)),
          pitch(read<std::int64_t>(of, CUBLASLT_MATRIX_LAYOUT_LD)) {}
    [[nodiscard]] std::size_t at(std::uint64_t row, std::uint64_t column) const {
        EXPECT_LT(row, rows);
        EXPECT_LT(column, columns);
        return static_cast<std::size_t>(column) * static_cast<std::size_t>(pitch) + static_cast<std::size_t>(row);
    }
};

/// What the library's documentation says it does with the descriptors: C = op(A) op(B), column-major.
std::vector<float> by_descriptors(const Gemm& g, std::size_t numbers) {
    const LtProduct product(g);
    const Described a(product.a()), b(product.b()), c(product.c());
    EXPECT_EQ(a.type, CUDA_R_16BF);
    EXPECT_EQ(b.type, CUDA_R_16BF);
    EXPECT_EQ(c.type, g.c_float != nullptr ? CUDA_R_32F : CUDA_R_16BF);
    const bool across_a =
        read<std::int32_t>(product.operation(), CUBLASLT_MATMUL_DESC_TRANSA) == static_cast<std::int32_t>(CUBLAS_OP_T);
    const bool across_b =
        read<std::int32_t>(product.operation(), CUBLASLT_MATMUL_DESC_TRANSB) == static_cast<std::int32_t>(CUBLAS_OP_T);
    EXPECT_EQ(read<std::int32_t>(product.operation(), CUBLASLT_MATMUL_DESC_COMPUTE_TYPE), CUBLAS_COMPUTE_32F);
    const std::uint64_t inner = across_a ? a.rows : a.columns;
    EXPECT_EQ(inner, across_b ? b.columns : b.rows);
    std::vector<float> result(numbers, 0);
    for (std::uint64_t i = 0; i < c.rows; ++i)
        for (std::uint64_t j = 0; j < c.columns; ++j) {
            float sum = 0;
            for (std::uint64_t l = 0; l < inner; ++l)
                sum += to_float(g.b[across_a ? a.at(l, i) : a.at(i, l)]) *  // its a is our b
                       to_float(g.a[across_b ? b.at(j, l) : b.at(l, j)]);
            result[c.at(i, j)] = sum;
        }
    return result;
}

TEST(CudaLibrary, DescriptorsSayTheProductThatTheReferenceExecutes) {
    const int m = 5, n = 9, k = 16;
    const auto a = random_numbers("a", 400), b = random_numbers("b", 400);
    for (const Product product : {Product::nt, Product::nn, Product::tn})
        for (const bool wide : {false, true}) {
            std::vector<float> result(m * 13, 0);
            std::vector<bf16> narrow(result.size());
            const int a_pitch = product == Product::tn ? 8 : 17, b_pitch = product == Product::nt ? 19 : 11;
            const Gemm gemm{product,
                            m,
                            n,
                            k,
                            a.data(),
                            a_pitch,
                            b.data(),
                            b_pitch,
                            wide ? nullptr : narrow.data(),
                            wide ? result.data() : nullptr,
                            13,
                            0};
            const auto expected = by_descriptors(gemm, result.size());
            reference_product(gemm);
            for (std::size_t i = 0; i < result.size(); ++i)
                EXPECT_NEAR(wide ? result[i] : to_float(narrow[i]), expected[i], wide ? 1e-5 : 1e-2);
        }
}

TEST(CudaLibrary, PreferencesForbidSplitSums) {
    const LtPreference preference(1 << 20);
    std::uint32_t schemes = 99;
    std::size_t written = 0;
    check(cublasLtMatmulPreferenceGetAttribute(preference.get(), CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes,
                                               sizeof schemes, &written),
          "reading");
    EXPECT_EQ(schemes, CUBLASLT_REDUCTION_SCHEME_NONE);
}

TEST(CudaLibrary, AlgorithmsDependOnNoNumberOfRows) {
    const auto asked = [](Product product, int rows) {
        const bool sums = product == Product::tn;
        const Gemm gemm{
            product, sums ? 896 : rows, 128, sums ? rows : 896, nullptr, 896, nullptr, 896, nullptr, nullptr, 128, 0};
        const Gemm found = representative(gemm);
        return std::tuple(found.m, found.n, found.k);
    };
    for (const Product product : {Product::nt, Product::nn, Product::tn}) {
        EXPECT_EQ(asked(product, 1), asked(product, 32));
        EXPECT_EQ(asked(product, 2100), asked(product, 16000)) << "units of different sizes";
        EXPECT_NE(asked(product, 32), asked(product, 33));
    }
}

TEST(CudaLibrary, PreferencesTakeOperandsFromTheMiddleOfBuffers) {
    const LtPreference preference(1 << 20);
    for (const auto attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
        std::uint32_t bytes = 0;
        std::size_t written = 0;
        check(cublasLtMatmulPreferenceGetAttribute(preference.get(), attribute, &bytes, sizeof bytes, &written),
              "reading");
        EXPECT_EQ(bytes, kOperandAlignment);
    }
}

TEST(CudaLibrary, HasNcclOfItsOwn) {
#if TDRM_HAS_NCCL
    EXPECT_EQ(nccl_version().substr(0, 2), "2.") << nccl_version();
#else
    EXPECT_EQ(nccl_version(), "");
#endif
}

TEST(CudaLibrary, OpensWithoutAGpuAndSaysWhyThereIsNone) {
    const CudaStatus status = cuda_status();
    EXPECT_NE(status.library.find("libtdrm_cuda.so"), std::string::npos) << status.problem;
    if (status.devices > 0) GTEST_SKIP() << "there is a GPU";
    EXPECT_FALSE(status.problem.empty());
    try {
        (void)cuda_device(0);
        FAIL();
    } catch (const std::runtime_error& error) {
        EXPECT_EQ(error.what(), status.problem);
    }
}

}  // namespace
}  // namespace tdrm::gpu
