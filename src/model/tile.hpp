// The one inner kernel of the engine's own matrix products: a tile of Y = X W in registers.
#pragma once

#include <algorithm>
#include <cstddef>

#include "simd.hpp"

namespace tdrm::model::ops {

// Sums in registers: 24 of the 32 of AVX-512, 12 (of half a Vec) of the 16 of AVX2.
#ifdef __AVX512F__
constexpr int kTileRows = 8, kTileVectors = 3;
#else
constexpr int kTileRows = 6, kTileVectors = 1;
#endif

/// Y[0..R)[0..columns) = beta Y + X[0..R)[0..k) W. Each element is one chain of fused multiply-adds in the order of k,
/// starting from beta Y: a product that is cut along k has the same bits.
/// Vectors of W are read whole, also where columns ends within one.
template <int R, int C>
void multiply_tile(float* y, std::ptrdiff_t y_stride, const float* x, std::ptrdiff_t x_stride, const float* w,
                   std::ptrdiff_t w_row, int k, int columns, float beta) {
    using namespace simd;
    constexpr int kAhead = 16;  // rows of W that are fetched ahead
    Vec total[R][C]{};
    for (int r = 0; r < R; ++r)
        for (int c = 0; c < C; ++c) {
            const float* from = y + r * y_stride + c * kLanes;
            if (beta == 0) {
                __builtin_prefetch(from, 1);
            } else {
                total[r][c] = load_some(from, columns - c * kLanes);
            }
        }
    for (int i = 0; i < k; ++i, w += w_row) {
        Vec right[C];
        for (int c = 0; c < C; ++c) {
            right[c] = load(w + c * kLanes);
            __builtin_prefetch(w + kAhead * w_row + c * kLanes);
        }
        for (int r = 0; r < R; ++r) {
            const Vec left = broadcast(x[r * x_stride + i]);
            for (int c = 0; c < C; ++c) total[r][c] += left * right[c];
        }
    }
    for (int r = 0; r < R; ++r)
        for (int c = 0; c < C; ++c) store_some(y + r * y_stride + c * kLanes, total[r][c], columns - c * kLanes);
}

/// The same with sizes that are known at run time: at most kTileRows rows and kTileVectors vectors of columns.
template <int R = kTileRows, int C = kTileVectors, class... Arguments>
[[gnu::always_inline]] inline void multiply_some(int rows, int columns, Arguments... arguments) {
    if constexpr (R > 1)
        if (rows < R) return multiply_some<R - 1, C>(rows, columns, arguments...);
    if constexpr (C > 1)
        if (columns <= (C - 1) * simd::kLanes) return multiply_some<R, C - 1>(rows, columns, arguments...);
    multiply_tile<R, C>(arguments...);
}

/// The same for any number of rows and columns.
inline void multiply_rows(int rows, float* y, std::ptrdiff_t y_stride, const float* x, std::ptrdiff_t x_stride,
                          const float* w, std::ptrdiff_t w_row, int k, int columns, float beta) {
    constexpr int kWidth = kTileVectors * simd::kLanes;
    for (int first = 0; first < columns; first += kWidth) {
        const int width = std::min(columns - first, kWidth);
        for (int r = 0; r < rows; r += kTileRows)
            multiply_some(std::min(kTileRows, rows - r), width, y + r * y_stride + first, y_stride, x + r * x_stride,
                          x_stride, w + first, w_row, k, width, beta);
    }
}

}  // namespace tdrm::model::ops
