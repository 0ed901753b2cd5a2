#include "tdrm/model/bf16_products.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>

#include "bf16_words.hpp"
#include "tdrm/base/errors.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace tdrm::model::ops {
namespace {

std::size_t area(int rows, int columns) { return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns); }

}  // namespace

std::string_view name_of(Bf16Unit unit) {
    return unit == Bf16Unit::tiles ? "AMX" : unit == Bf16Unit::dot_products ? "AVX512-BF16" : "none";
}

void Bf16Matrix::resize(int outputs, int sums) {
    outputs_ = outputs;
    sums_ = sums;
    pairs_ = rounded_up(sums, 2 * kWidth) / 2;
    data_.resize(area(rounded_up(outputs, kWidth), pairs_));
}

double Bf16Matrix::bytes(int outputs, int sums) {
    return 2.0 * rounded_up(outputs, kWidth) * rounded_up(sums, 2 * kWidth);
}

void Bf16Matrix::row(int output, std::span<float> to) const {
    ensure(output >= 0 && output < outputs_ && std::ssize(to) == sums_, "a row of the matrix");
    const Word* pair = data_.data() + area(output / kWidth, pairs_) * kWidth + output % kWidth;
    for (std::size_t i = 0; i < to.size(); ++i) {
        const Word word = pair[static_cast<std::ptrdiff_t>(i / 2) * kWidth];
        to[i] = std::bit_cast<float>(i % 2 == 0 ? word << 16U : word & 0xffff0000U);
    }
}

#if defined(__x86_64__)

namespace {

bool has_dot_products() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq"))
        return false;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && ((a >> 5U) & 1U) != 0;
}

/// Linux keeps a process's tiles only if it asked for them.
bool may_use_tiles() {
    constexpr int kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

bool has_tiles() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!has_dot_products() || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
    constexpr unsigned kTile = 24, kTileBf16 = 22;
    return ((d >> kTile) & 1U) != 0 && ((d >> kTileBf16) & 1U) != 0 && may_use_tiles();
}

// Rows of X as pairs, tile by tile: [rows / 16][pairs / 16][16][16], so that a tile lies in one piece. In a Buffer: a
// tile's row is one line of 64 bytes, and lines that it straddled would halve the rate.

Word* tile_of(Word* x, int row, int pair, int pairs) {
    return x + static_cast<std::ptrdiff_t>(row / kWidth) * kWidth * pairs + static_cast<std::ptrdiff_t>(pair) * kWidth;
}

/// What a product takes: X as pairs, B, and where Y lies.
struct Operands {
    float* y;
    std::ptrdiff_t y_stride;
    const Word* x;  ///< tile by tile, rows up to whole pairs of tiles
    const Word* b;  ///< as Bf16Matrix
    int pairs, rows, columns;
    float beta;
};

/// A stretch of the pairs that are summed up. One after the other gives the bits of all at once: sums lie in Y between.
struct Stretch {
    int begin, end;
    float beta;  ///< of Y before it
};
/// Calls visit(stretch) for all of K, in pieces whose 32 rows of X and of B stay in the first-level cache.
template <class Visit>
inline void each_stretch(const Operands& o, Visit&& visit) {
    constexpr int kMostPairs = 320;
    const int count = (o.pairs + kMostPairs - 1) / kMostPairs;
    for (int s = 0; s < count; ++s) {
        const auto at = [&](int i) { return o.pairs / kWidth * i / count * kWidth; };
        visit(Stretch{at(s), at(s + 1), s == 0 ? o.beta : 1});
    }
}

// By dot products: 6 rows x 2 panels in registers.

template <int R, int C>
TDRM_BF16 inline void dot_block(const Operands& o, const Stretch& stretch, int row, int column) {
    __m512 total[R][C];
    const auto mask = [](int left) {
        return static_cast<__mmask16>(left >= kWidth ? 0xffffU : (1U << static_cast<unsigned>(left)) - 1U);
    };
    float* y = o.y + row * o.y_stride + column;
    for (int r = 0; r < R; ++r)
        for (int c = 0; c < C; ++c)
            total[r][c] = stretch.beta == 0 ? _mm512_setzero_ps()
                                            : _mm512_maskz_loadu_ps(mask(o.columns - column - c * kWidth),
                                                                    y + r * o.y_stride + c * kWidth);
    const Word* b = o.b + static_cast<std::ptrdiff_t>(column) * o.pairs;
    const Word* x[R];
    for (int r = 0; r < R; ++r)
        x[r] = o.x + static_cast<std::ptrdiff_t>((row + r) / kWidth) * kWidth * o.pairs + (row + r) % kWidth * kWidth;
    for (int p = stretch.begin; p < stretch.end; ++p) {
        const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(p / kWidth) * kTileWords + p % kWidth;
        __m512i right[C];
        for (int c = 0; c < C; ++c)
            right[c] = _mm512_loadu_si512(b + (static_cast<std::ptrdiff_t>(c) * o.pairs + p) * kWidth);
        for (int r = 0; r < R; ++r) {
            const __m512i left = _mm512_set1_epi32(static_cast<int>(x[r][at]));
            for (int c = 0; c < C; ++c)
                total[r][c] = _mm512_dpbf16_ps(total[r][c], reinterpret_cast<__m512bh>(left),
                                               reinterpret_cast<__m512bh>(right[c]));
        }
    }
    for (int r = 0; r < R; ++r)
        for (int c = 0; c < C; ++c)
            _mm512_mask_storeu_ps(y + r * o.y_stride + c * kWidth, mask(o.columns - column - c * kWidth), total[r][c]);
}

/// Rows [first, end) of two panels of columns.
TDRM_BF16 void multiply_rows_by_dot_products(const Operands& o, const Stretch& stretch, int first, int end,
                                             int column) {
    constexpr int kRows = 6;
    const bool pair = o.columns - column > kWidth;
    for (int row = first; row < end; row += kRows) {
        switch (std::min(kRows, end - row) * 2 + (pair ? 1 : 0)) {
            case 2:
                dot_block<1, 1>(o, stretch, row, column);
                break;
            case 3:
                dot_block<1, 2>(o, stretch, row, column);
                break;
            case 4:
                dot_block<2, 1>(o, stretch, row, column);
                break;
            case 5:
                dot_block<2, 2>(o, stretch, row, column);
                break;
            case 6:
                dot_block<3, 1>(o, stretch, row, column);
                break;
            case 7:
                dot_block<3, 2>(o, stretch, row, column);
                break;
            case 8:
                dot_block<4, 1>(o, stretch, row, column);
                break;
            case 9:
                dot_block<4, 2>(o, stretch, row, column);
                break;
            case 10:
                dot_block<5, 1>(o, stretch, row, column);
                break;
            case 11:
                dot_block<5, 2>(o, stretch, row, column);
                break;
            case 12:
                dot_block<6, 1>(o, stretch, row, column);
                break;
            default:
                dot_block<6, 2>(o, stretch, row, column);
                break;
        }
    }
}

TDRM_BF16 void multiply_by_dot_products(const Operands& o) {
    constexpr int kBlockWords = 1 << 17;  // of X, that stay in the second-level cache while B passes by
    const int block = std::max(96, kBlockWords / o.pairs / 48 * 48);
    for (int first = 0; first < o.rows; first += block)
        for (int column = 0; column < o.columns; column += 2 * kWidth)
            each_stretch(o, [&](const Stretch& stretch) {
                multiply_rows_by_dot_products(o, stretch, first, std::min(o.rows, first + block), column);
            });
}

// By tiles: 2 x 2 of 16 x 16 sums.

TDRM_AMX void shape_tiles() {
    static const TileShapes shapes = [] {
        TileShapes s;
        for (int t = 0; t < 8; ++t) {
            s.bytes[t] = kWidth * sizeof(Word);
            s.rows[t] = kWidth;
        }
        return s;
    }();
    _tile_loadconfig(&shapes);
}

/// Y of 16 M x 16 N sums at `y`. @param b1 the panel behind b0
template <int M, int N>
TDRM_AMX inline void tile_block(float* y, std::ptrdiff_t y_stride, const Word* x, const Word* b0, const Word* b1,
                                int pairs, const Stretch& stretch) {
    const auto y_bytes = static_cast<std::size_t>(y_stride) * sizeof(float);
    constexpr std::size_t kTileBytes = kWidth * sizeof(Word);
    if (stretch.beta == 0) {
        _tile_zero(0);
        if constexpr (N > 1) _tile_zero(1);
        if constexpr (M > 1) _tile_zero(2);
        if constexpr (M > 1 && N > 1) _tile_zero(3);
    } else {
        _tile_loadd(0, y, y_bytes);
        if constexpr (N > 1) _tile_loadd(1, y + kWidth, y_bytes);
        if constexpr (M > 1) _tile_loadd(2, y + kWidth * y_stride, y_bytes);
        if constexpr (M > 1 && N > 1) _tile_loadd(3, y + kWidth * y_stride + kWidth, y_bytes);
    }
    for (int p = stretch.begin; p < stretch.end; p += kWidth) {
        _tile_loadd(4, x + static_cast<std::ptrdiff_t>(p) * kWidth, kTileBytes);
        _tile_loadd(6, b0 + static_cast<std::ptrdiff_t>(p) * kWidth, kTileBytes);
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (N > 1) {
            _tile_loadd(7, b1 + static_cast<std::ptrdiff_t>(p) * kWidth, kTileBytes);
            _tile_dpbf16ps(1, 4, 7);
        }
        if constexpr (M > 1) {
            _tile_loadd(5, x + static_cast<std::ptrdiff_t>(pairs + p) * kWidth, kTileBytes);
            _tile_dpbf16ps(2, 5, 6);
            if constexpr (N > 1) _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, y, y_bytes);
    if constexpr (N > 1) _tile_stored(1, y + kWidth, y_bytes);
    if constexpr (M > 1) _tile_stored(2, y + kWidth * y_stride, y_bytes);
    if constexpr (M > 1 && N > 1) _tile_stored(3, y + kWidth * y_stride + kWidth, y_bytes);
}

TDRM_AMX inline void any_tile_block(int rows, int columns, float* y, std::ptrdiff_t y_stride, const Word* x,
                                    const Word* b0, const Word* b1, int pairs, const Stretch& stretch) {
    if (rows > kWidth && columns > kWidth) return tile_block<2, 2>(y, y_stride, x, b0, b1, pairs, stretch);
    if (rows > kWidth) return tile_block<2, 1>(y, y_stride, x, b0, b1, pairs, stretch);
    if (columns > kWidth) return tile_block<1, 2>(y, y_stride, x, b0, b1, pairs, stretch);
    tile_block<1, 1>(y, y_stride, x, b0, b1, pairs, stretch);
}

/// Columns [first, end) of 32 rows.
TDRM_AMX void multiply_rows_by_tiles(const Operands& o, const Stretch& stretch, int row, int first, int end) {
    constexpr int kBlock = 2 * kWidth;
    alignas(64) float edge[kBlock * kBlock];  // of a block that Y ends in
    const int rows = std::min(kBlock, o.rows - row);
    const Word* x = o.x + static_cast<std::ptrdiff_t>(row) * o.pairs;
    for (int column = first; column < end; column += kBlock) {
        const int columns = std::min(kBlock, end - column);
        const Word* b0 = o.b + static_cast<std::ptrdiff_t>(column) * o.pairs;
        const Word* b1 = b0 + static_cast<std::ptrdiff_t>(kWidth) * o.pairs;
        float* y = o.y + row * o.y_stride + column;
        if (rows % kWidth == 0 && columns % kWidth == 0) {
            any_tile_block(rows, columns, y, o.y_stride, x, b0, b1, o.pairs, stretch);
            continue;
        }
        for (int r = 0; stretch.beta != 0 && r < rows; ++r) std::copy_n(y + r * o.y_stride, columns, edge + r * kBlock);
        any_tile_block(rows, columns, edge, kBlock, x, b0, b1, o.pairs, stretch);
        for (int r = 0; r < rows; ++r) std::copy_n(edge + r * kBlock, columns, y + r * o.y_stride);
    }
}

/// Row by row, since Y lies in pages of memory that should be visited once.
TDRM_AMX void multiply_by_tiles(const Operands& o) {
    constexpr int kBlock = 2 * kWidth, kBlockWords = 1 << 18;  // of B, that stay in the second-level cache
    const int wide = std::max(kBlock, kBlockWords / o.pairs / kBlock * kBlock);
    shape_tiles();
    for (int first = 0; first < o.columns; first += wide)
        for (int row = 0; row < o.rows; row += kBlock)
            each_stretch(o, [&](const Stretch& stretch) {
                multiply_rows_by_tiles(o, stretch, row, first, std::min(o.columns, first + wide));
            });
    _tile_release();
}

void multiply(const Operands& operands, Bf16Unit unit) {
    ensure(unit != Bf16Unit::none && unit <= bf16_unit(), "a unit that is there");
    if (unit == Bf16Unit::tiles) return multiply_by_tiles(operands);
    multiply_by_dot_products(operands);
}

}  // namespace

Bf16Unit bf16_unit() {
    static const Bf16Unit unit = has_tiles()          ? Bf16Unit::tiles
                                 : has_dot_products() ? Bf16Unit::dot_products
                                                      : Bf16Unit::none;
    return unit;
}

void Bf16Matrix::pack(const float* b, int outputs, int sums) {
    resize(outputs, sums);
    static thread_local Buffer<Word> memory;
    Word* rows = memory.resize(area(kWidth, pairs_));
    for (int first = 0; first < outputs; first += kWidth) {
        for (int r = 0; r < kWidth; ++r)
            round_row(rows + r * kWidth, kTileWords, b + static_cast<std::ptrdiff_t>(first + r) * sums,
                      first + r < outputs ? sums : 0, pairs_);
        for (int p = 0; p < pairs_; p += kWidth)
            transpose(tile_of(data_.data(), first, p, pairs_), tile_of(rows, 0, p, pairs_));
    }
}

void Bf16Matrix::pack_transposed(const float* b, int sums, int outputs) {
    resize(outputs, sums);
    for (int p = 0; p < pairs_; p += kWidth)  // rows of b stay at hand
        for (int first = 0; first < outputs; first += kWidth)
            for (int q = 0; q < kWidth; ++q) {
                const int row = 2 * (p + q);
                const float* at = b + static_cast<std::ptrdiff_t>(row) * outputs + first;
                pair_rows(tile_of(data_.data(), first, p, pairs_) + q * kWidth, at, at + outputs,
                          row < sums ? outputs - first : 0, row + 1 < sums ? outputs - first : 0);
            }
}

void multiply_bf16(float* y, const float* x, const Bf16Matrix& b, int m, float beta, Bf16Unit unit) {
    constexpr int kBlockWords = 1 << 18;  // of X, that stay in the second-level cache while B passes by
    static thread_local Buffer<Word> memory;
    const int block = std::max(2 * kWidth, kBlockWords / b.pairs() / kWidth * kWidth);
    for (int row = 0; row < m; row += block) {
        const int rows = std::min(block, m - row);
        Word* words = memory.resize(area(rounded_up(rows, 2 * kWidth), b.pairs()));
        for (int r = 0; r < rows; ++r)
            round_row(tile_of(words, r, 0, b.pairs()) + r % kWidth * kWidth, kTileWords,
                      x + static_cast<std::ptrdiff_t>(row + r) * b.sums(), b.sums(), b.pairs());
        multiply({y + static_cast<std::ptrdiff_t>(row) * b.outputs(), b.outputs(), words, b.data(), b.pairs(), rows,
                  b.outputs(), beta},
                 unit);
    }
}

void multiply_transposed_bf16(float* w, const float* y, const float* x, int m, int n, int k, Bf16Unit unit) {
    static thread_local Bf16Matrix left, right;
    static thread_local Buffer<Word> memory;
    left.pack_transposed(y, m, n);
    right.pack_transposed(x, m, k);
    const int pairs = left.pairs();
    Word* rows = memory.resize(area(rounded_up(n, 2 * kWidth), pairs));
    for (int first = 0; first < n; first += kWidth)
        for (int p = 0; p < pairs; p += kWidth)
            transpose(tile_of(rows, first, p, pairs), tile_of(const_cast<Word*>(left.data()), first, p, pairs));
    multiply({w, k, rows, right.data(), pairs, n, k, 1}, unit);
}

#else

Bf16Unit bf16_unit() { return Bf16Unit::none; }
void Bf16Matrix::pack(const float*, int, int) { ensure(false, "a processor with bf16 products"); }
void Bf16Matrix::pack_transposed(const float*, int, int) { ensure(false, "a processor with bf16 products"); }
void multiply_bf16(float*, const float*, const Bf16Matrix&, int, float, Bf16Unit) {
    ensure(false, "a processor with bf16 products");
}
void multiply_transposed_bf16(float*, const float*, const float*, int, int, int, Bf16Unit) {
    ensure(false, "a processor with bf16 products");
}

#endif

}  // namespace tdrm::model::ops
