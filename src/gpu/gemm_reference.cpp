#include <algorithm>
#include <cstring>
#include <vector>

#include "emulator/cuda.hpp"
#include "tdrm/gpu/gemm.hpp"

namespace tdrm::gpu {
namespace {

using Matrix = std::vector<float>;

/// rows x columns of a matrix, or of its transpose, in fp32.
Matrix widened(const bf16* from, int pitch, int rows, int columns, bool transposed) {
    Matrix to(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
    for (int r = 0; r < rows; ++r)
        for (int c = 0; c < columns; ++c) {
            const std::size_t at =
                transposed
                    ? static_cast<std::size_t>(c) * static_cast<std::size_t>(pitch) + static_cast<std::size_t>(r)
                    : static_cast<std::size_t>(r) * static_cast<std::size_t>(pitch) + static_cast<std::size_t>(c);
            to[static_cast<std::size_t>(r) * static_cast<std::size_t>(columns) + static_cast<std::size_t>(c)] =
                to_float(from[at]);
        }
    return to;
}

}  // namespace

void reference_product(const Gemm& g) {
    const auto m = static_cast<std::size_t>(g.m), n = static_cast<std::size_t>(g.n), k = static_cast<std::size_t>(g.k);
    const Matrix a = widened(g.a, g.a_pitch, g.m, g.k, g.product == Product::tn);
    const Matrix b = widened(g.b, g.b_pitch, g.k, g.n, g.product == Product::nt);
    std::vector<float> row(n);
    for (std::size_t i = 0; i < m; ++i) {
        std::fill(row.begin(), row.end(), 0.0F);
        for (std::size_t l = 0; l < k; ++l) {
            const float left = a[i * k + l];
            const float* right = b.data() + l * n;
            for (std::size_t j = 0; j < n; ++j) row[j] += left * right[j];
        }
        const std::size_t at = i * static_cast<std::size_t>(g.c_pitch);
        for (std::size_t j = 0; j < n; ++j) {
            const float product = g.alpha * row[j];
            if (g.c_float != nullptr) {
                g.c_float[at + j] = product + (g.beta == 0 ? 0.0F : g.c_float[at + j]);
            } else {
                g.c[at + j] = to_bf16(product + (g.beta == 0 ? 0.0F : to_float(g.c[at + j])));
            }
        }
    }
}

}  // namespace tdrm::gpu
