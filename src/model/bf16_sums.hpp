// The sums of bf16_attention.cpp: by tiles, by vectors with the bits of tiles, and by dot products. Unnamed, since
// tests compile them once more with the instructions of tiles in plain code.
#pragma once

#include <algorithm>
#include <cstddef>

#include "bf16_words.hpp"

#if defined(__x86_64__)

namespace tdrm::model::ops {
namespace {

/// While it lives, denormal numbers are 0, as they are to tiles.
class NoDenormals {
public:
    NoDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040U); }
    ~NoDenormals() { _mm_setcsr(before_); }
    NoDenormals(const NoDenormals&) = delete;
    NoDenormals& operator=(const NoDenormals&) = delete;

private:
    unsigned before_;
};

/// What adds up. Vectors do as tiles do, where these don't pay.
enum class By { tiles, vectors, dot_products };

/// Rows that are multiplied with blocks, rounded: numbers for vectors, else words.
struct Left {
    By by;
    const float* numbers = nullptr;
    const Word* words = nullptr;
    std::ptrdiff_t stride = 0;  ///< numbers from row to row
};

/// Y[r][16 c ...] (+)= sum over steps of X[r] and B(step, c), D pairs each.
struct Sums {
    float* y;
    std::ptrdiff_t y_stride, y_panel;  ///< from row to row, and from 16 columns to the next
    Left x;
    int rows, panels, steps;
    bool add;
};

template <int R, int C, int D, class B>
TDRM_BF16 inline void sum_block(const Sums& o, int row, int panel, const B& b) {
    const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000U));
    float* y = o.y + row * o.y_stride + panel * o.y_panel;
    const float* x = o.x.numbers + row * o.x.stride;
    __m512 total[R][C];
    for (int r = 0; r < R; ++r)
        for (int c = 0; c < C; ++c)
            total[r][c] = o.add ? _mm512_loadu_ps(y + r * o.y_stride + c * o.y_panel) : _mm512_setzero_ps();
    for (int s = 0; s < o.steps; ++s, x += 2 * D) {
        __m512 even[R][C], odd[R][C];
        const Word* from[C];
        for (int c = 0; c < C; ++c) {
            from[c] = b(s, panel + c);
            for (int r = 0; r < R; ++r) even[r][c] = odd[r][c] = _mm512_setzero_ps();
        }
        for (int p = 0; p < D; ++p) {
            __m512 first[C], second[C];
            for (int c = 0; c < C; ++c) {
                const __m512i pairs = _mm512_loadu_si512(from[c] + p * kWidth);
                first[c] = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
                second[c] = _mm512_castsi512_ps(_mm512_and_si512(pairs, high));
            }
            for (int r = 0; r < R; ++r) {
                const __m512 one = _mm512_set1_ps(x[r * o.x.stride + 2 * p]);
                const __m512 next = _mm512_set1_ps(x[r * o.x.stride + 2 * p + 1]);
                for (int c = 0; c < C; ++c) {
                    even[r][c] = _mm512_fmadd_ps(one, first[c], even[r][c]);
                    odd[r][c] = _mm512_fmadd_ps(next, second[c], odd[r][c]);
                }
            }
        }
        for (int r = 0; r < R; ++r)
            for (int c = 0; c < C; ++c) total[r][c] = _mm512_add_ps(total[r][c], _mm512_add_ps(even[r][c], odd[r][c]));
    }
    for (int r = 0; r < R; ++r)
        for (int c = 0; c < C; ++c) _mm512_storeu_ps(y + r * o.y_stride + c * o.y_panel, total[r][c]);
}

/// The same by dot products: each adds two pairs of numbers at once, the odd ones first.
template <int R, int C, int D, class B>
TDRM_BF16 inline void dot_block(const Sums& o, int row, int panel, const B& b) {
    float* y = o.y + row * o.y_stride + panel * o.y_panel;
    const std::ptrdiff_t stride = o.x.stride / 2;
    const Word* x = o.x.words + row * stride;
    __m512 total[R][C];
    for (int r = 0; r < R; ++r)
        for (int c = 0; c < C; ++c)
            total[r][c] = o.add ? _mm512_loadu_ps(y + r * o.y_stride + c * o.y_panel) : _mm512_setzero_ps();
    for (int s = 0; s < o.steps; ++s, x += D) {
        const Word* from[C];
        for (int c = 0; c < C; ++c) from[c] = b(s, panel + c);
        for (int p = 0; p < D; ++p) {
            __m512bh pairs[C];
            for (int c = 0; c < C; ++c) pairs[c] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(from[c] + p * kWidth));
            for (int r = 0; r < R; ++r) {
                const auto pair = reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(x[r * stride + p])));
                for (int c = 0; c < C; ++c) total[r][c] = _mm512_dpbf16_ps(total[r][c], pair, pairs[c]);
            }
        }
    }
    for (int r = 0; r < R; ++r)
        for (int c = 0; c < C; ++c) _mm512_storeu_ps(y + r * o.y_stride + c * o.y_panel, total[r][c]);
}

template <By by, int R, int C, int D, class B>
TDRM_BF16 inline void block(const Sums& o, int row, int panel, const B& b) {
    if constexpr (by == By::vectors) {
        sum_block<R, C, D>(o, row, panel, b);
    } else {
        dot_block<R, C, D>(o, row, panel, b);
    }
}

template <By by, int D, int R, class B>
TDRM_BF16 inline void sum_rows(const Sums& o, int row, int rows, const B& b) {
    if constexpr (R > 1)
        if (rows < R) return sum_rows<by, D, R - 1>(o, row, rows, b);
    int panel = 0;
    for (; panel + 1 < o.panels; panel += 2) block<by, R, 2, D>(o, row, panel, b);
    if (panel < o.panels) block<by, R, 1, D>(o, row, panel, b);
}

/// Rows at once: as many as sums fit into registers, twice over with vectors.
template <By by, int D, class B>
TDRM_BF16 void sum_all(const Sums& o, const B& b) {
    constexpr int most = by == By::vectors ? 4 : 8;
    for (int row = 0; row < o.rows; row += most) sum_rows<by, D, most>(o, row, std::min(most, o.rows - row), b);
}

/// The shape of tiles: sums and X have as many rows as are computed.
class Tiles {
public:
    Tiles() = default;
    ~Tiles() {
        if (rows_ > 0) release();
    }
    Tiles(const Tiles&) = delete;
    Tiles& operator=(const Tiles&) = delete;

    void shape(int rows, int pairs) {
        if (rows != rows_ || pairs != pairs_) load(rows, pairs);
        rows_ = rows;
        pairs_ = pairs;
    }

private:
    TDRM_AMX static void load(int rows, int pairs) {
        TileShapes shapes;
        for (int t = 0; t < 6; ++t) {
            shapes.bytes[t] = static_cast<std::uint16_t>((t == 4 ? pairs : kWidth) * sizeof(Word));
            shapes.rows[t] = static_cast<std::uint8_t>(t == 5 ? pairs : rows);
        }
        _tile_loadconfig(&shapes);
    }
    TDRM_AMX static void release() { _tile_release(); }
    int rows_ = 0, pairs_ = 0;
};

/// The same by tiles: sums in the first C, X in 4, B in 5.
template <int C, int D, class B>
TDRM_AMX inline void sum_tiles(const Sums& o, int row, int panel, const B& b) {
    const auto y_bytes = static_cast<std::size_t>(o.y_stride) * sizeof(float);
    const auto x_bytes = static_cast<std::size_t>(o.x.stride) * sizeof(Word) / 2;
    constexpr std::size_t kRow = kWidth * sizeof(Word);
    float* y = o.y + row * o.y_stride + panel * o.y_panel;
    const Word* x = o.x.words + row * o.x.stride / 2;
    if (o.add) {
        _tile_loadd(0, y, y_bytes);
        if constexpr (C > 1) _tile_loadd(1, y + o.y_panel, y_bytes);
        if constexpr (C > 2) _tile_loadd(2, y + 2 * o.y_panel, y_bytes);
        if constexpr (C > 3) _tile_loadd(3, y + 3 * o.y_panel, y_bytes);
    } else {
        _tile_zero(0);
        if constexpr (C > 1) _tile_zero(1);
        if constexpr (C > 2) _tile_zero(2);
        if constexpr (C > 3) _tile_zero(3);
    }
    for (int s = 0; s < o.steps; ++s, x += D) {
        _tile_loadd(4, x, x_bytes);
        _tile_loadd(5, b(s, panel), kRow);
        _tile_dpbf16ps(0, 4, 5);
        if constexpr (C > 1) {
            _tile_loadd(5, b(s, panel + 1), kRow);
            _tile_dpbf16ps(1, 4, 5);
        }
        if constexpr (C > 2) {
            _tile_loadd(5, b(s, panel + 2), kRow);
            _tile_dpbf16ps(2, 4, 5);
        }
        if constexpr (C > 3) {
            _tile_loadd(5, b(s, panel + 3), kRow);
            _tile_dpbf16ps(3, 4, 5);
        }
    }
    _tile_stored(0, y, y_bytes);
    if constexpr (C > 1) _tile_stored(1, y + o.y_panel, y_bytes);
    if constexpr (C > 2) _tile_stored(2, y + 2 * o.y_panel, y_bytes);
    if constexpr (C > 3) _tile_stored(3, y + 3 * o.y_panel, y_bytes);
}

template <int D, int C = 4, class B>
TDRM_AMX void sum_by_tiles(const Sums& o, int row, int panel, const B& b) {
    if constexpr (C > 1)
        if (o.panels - panel < C) return sum_by_tiles<D, C - 1>(o, row, panel, b);
    sum_tiles<C, D>(o, row, panel, b);
}

/// Y as Sums says, by what X was rounded for.
template <int D, class B>
void add_up(const Sums& sums, Tiles& tiles, const B& b) {
    if (sums.x.by == By::vectors) return sum_all<By::vectors, D>(sums, b);
    if (sums.x.by == By::dot_products) return sum_all<By::dot_products, D>(sums, b);
    for (int row = 0; row < sums.rows; row += kWidth) {
        tiles.shape(std::min(kWidth, sums.rows - row), D);
        for (int panel = 0; panel < sums.panels; panel += 4) sum_by_tiles<D>(sums, row, panel, b);
    }
}

}  // namespace
}  // namespace tdrm::model::ops

#endif
