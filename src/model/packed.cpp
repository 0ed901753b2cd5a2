// Products with packed weights. A row of Y is one chain of fused multiply-adds in the order of K for each of its
// elements, whatever the other rows are and however many: its bits depend on nothing else (docs/adr/0012).
#include <algorithm>
#include <cstring>

#include "simd.hpp"
#include "tdrm/model/ops.hpp"

namespace tdrm::model::ops {

using namespace simd;

namespace {

// A tile of Y stays in registers: 24 of the 32 of AVX-512, 12 (of half a Vec) of the 16 of AVX2.
#ifdef __AVX512F__
constexpr int kRows = 8, kVectors = 3;
#else
constexpr int kRows = 6, kVectors = 1;
#endif
constexpr int kPanel = kVectors * kLanes;  ///< columns of Y, rows of W, that are computed together
constexpr int kAhead = 16;                 ///< columns of K that are fetched ahead
constexpr int kBlockFloats = 1 << 18;      ///< of X, that stay in the second-level cache while W passes by

/// Y[0..R)[0..columns) = beta Y + X panel
template <int R>
void multiply_tile(float* y, int y_stride, const float* x, const float* panel, int k, int columns, float beta) {
    Vec total[R][kVectors]{};
    for (int r = 0; r < R; ++r)
        for (int c = 0; c < columns; c += kLanes) __builtin_prefetch(y + r * std::ptrdiff_t{y_stride} + c, 1);
    for (int i = 0; i < k; ++i, panel += kPanel) {
        Vec w[kVectors];
        for (int c = 0; c < kVectors; ++c) {
            w[c] = load(panel + c * kLanes);
            __builtin_prefetch(panel + kAhead * kPanel + c * kLanes);
        }
        for (int r = 0; r < R; ++r) {
            const Vec element = broadcast(x[r * std::ptrdiff_t{k} + i]);
            for (int c = 0; c < kVectors; ++c) total[r][c] += element * w[c];
        }
    }
    for (int r = 0; r < R; ++r)
        for (int c = 0; c * kLanes < columns; ++c) {
            float* to = y + r * std::ptrdiff_t{y_stride} + c * kLanes;
            const int left = columns - c * kLanes;
            store_some(to, beta == 0 ? total[r][c] : load_some(to, left) + total[r][c], left);
        }
}

/// As many rows as a tile has; the last ones of a matrix may be fewer.
template <int R = kRows>
void multiply_rows(int rows, float* y, int y_stride, const float* x, const float* panel, int k, int columns,
                   float beta) {
    if constexpr (R > 1)
        if (rows < R) return multiply_rows<R - 1>(rows, y, y_stride, x, panel, k, columns, beta);
    multiply_tile<R>(y, y_stride, x, panel, k, columns, beta);
}

}  // namespace

void PackedMatrix::pack(const float* w, int rows, int columns) {
    rows_ = rows;
    columns_ = columns;
    const int panels = (rows + kPanel - 1) / kPanel;
    float* panel = data_.resize(static_cast<std::size_t>(panels) * kPanel * static_cast<std::size_t>(columns));
    for (int first = 0; first < rows; first += kPanel, panel += std::ptrdiff_t{columns} * kPanel)
        for (int j = 0; j < kPanel; ++j) {
            const float* row = w + static_cast<std::ptrdiff_t>(first + j) * columns;
            const bool present = first + j < rows;
            for (int i = 0; i < columns; ++i) panel[i * std::ptrdiff_t{kPanel} + j] = present ? row[i] : 0.0F;
        }
}

void gemm_nt(float* y, const float* x, const PackedMatrix& w, int m, float beta) {
    const int n = w.rows();
    const int k = w.columns();
    const int block = std::max(1, kBlockFloats / k / kRows) * kRows;
    for (int begin = 0; begin < m; begin += block) {
        const int end = std::min(m, begin + block);
        const float* panel = w.data();
        for (int column = 0; column < n; column += kPanel, panel += std::ptrdiff_t{k} * kPanel)
            for (int row = begin; row < end; row += kRows)
                multiply_rows(std::min(kRows, end - row), y + row * std::ptrdiff_t{n} + column, n,
                              x + row * std::ptrdiff_t{k}, panel, k, std::min(kPanel, n - column), beta);
    }
}

}  // namespace tdrm::model::ops
