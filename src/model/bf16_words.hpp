// Numbers rounded to bf16, in pairs: a word of 32 bits holds two, the first in its low half.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>

#define TDRM_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define TDRM_AMX __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,amx-tile,amx-bf16")))
#endif

namespace tdrm::model::ops {

using Word = std::uint32_t;  ///< two bf16 numbers, the first in the low half

constexpr int kWidth = 16;  ///< outputs of a panel, rows and pairs of a tile
constexpr int kTileWords = kWidth * kWidth;

inline int rounded_up(int n, int to) { return (n + to - 1) / to * to; }

/// What tiles are told of their shapes.
struct alignas(64) TileShapes {
    std::uint8_t palette = 1, start_row = 0, reserved[14]{};
    std::uint16_t bytes[16]{};
    std::uint8_t rows[16]{};
};

#if defined(__x86_64__)

/// Rounds up to 16 numbers at `from`; those from `count` on are 0.
TDRM_BF16 inline __m512 load_first(const float* from, int count) {
    if (count >= kWidth) return _mm512_loadu_ps(from);
    return count <= 0 ? _mm512_setzero_ps()
                      : _mm512_maskz_loadu_ps(static_cast<__mmask16>((1U << static_cast<unsigned>(count)) - 1U), from);
}

/// The same, rounded: 16 bf16 numbers.
TDRM_BF16 inline __m256i round_first(const float* from, int count) {
    return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(load_first(from, count)));
}

/// @param stride words between a row's runs of 16 pairs
TDRM_BF16 inline void round_row(Word* to, std::ptrdiff_t stride, const float* from, int count, int pairs) {
    for (int p = 0; p < pairs; p += kWidth, to += stride) {
        const __m512 low = load_first(from + 2 * p, count - 2 * p);
        const __m512 high = load_first(from + 2 * p + kWidth, count - 2 * p - kWidth);
        _mm512_storeu_si512(to, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
    }
}

/// A tile of 16 x 16 words, transposed.
TDRM_BF16 inline void transpose(Word* to, const Word* from) {
    __m512i r[kWidth], t[kWidth];
    for (int i = 0; i < kWidth; ++i) r[i] = _mm512_loadu_si512(from + i * kWidth);
    for (int i = 0; i < kWidth; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < kWidth; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; ++i) {  // r[i + 4 j] has columns i, i + 4, i + 8, i + 12 of rows 4 j to 4 j + 3
        const __m512i low = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88),
                      high = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        const __m512i low2 = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88),
                      high2 = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
        t[i] = _mm512_shuffle_i32x4(low, low2, 0x88);
        t[i + 8] = _mm512_shuffle_i32x4(low, low2, 0xdd);
        t[i + 4] = _mm512_shuffle_i32x4(high, high2, 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(high, high2, 0xdd);
    }
    for (int i = 0; i < kWidth; ++i) _mm512_storeu_si512(to + i * kWidth, t[i]);
}

/// 16 pairs of numbers of two rows: of each the first so many, the rest 0.
TDRM_BF16 inline void pair_rows(Word* to, const float* one, const float* next, int ones, int nexts) {
    alignas(64) static constexpr std::uint16_t kOrder[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                             21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                             11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    const __m512i both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(load_first(next, nexts), load_first(one, ones)));
    _mm512_storeu_si512(to, _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), both));
}

#endif

}  // namespace tdrm::model::ops
