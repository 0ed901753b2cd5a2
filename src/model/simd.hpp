// Sixteen floats at a time, by the compiler's vector extension: one AVX-512 register, or two of AVX2.
// All kernels use these same operations for every element, tails included, so a row's bits don't depend on where
// in a batch it stands.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace tdrm::model::simd {

constexpr int kLanes = 16;
using Vec = float __attribute__((vector_size(64)));
using IntVec = std::int32_t __attribute__((vector_size(64)));

inline Vec load(const float* p) {
    Vec v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }

/// The first n of sixteen, the rest zero.
inline Vec load_some(const float* p, int n) {
    if (n >= kLanes) return load(p);
    Vec v{};
    std::memcpy(&v, p, static_cast<std::size_t>(n) * sizeof(float));
    return v;
}
inline void store_some(float* p, Vec v, int n) {
    if (n >= kLanes) return store(p, v);
    std::memcpy(p, &v, static_cast<std::size_t>(n) * sizeof(float));
}

/// Four floats, four times.
inline Vec repeat_four(const float* p) {
#ifdef __AVX512F__
    return _mm512_broadcast_f32x4(_mm_loadu_ps(p));  // g++ 12 takes the way through memory otherwise
#else
    Vec v;
    for (int quarter = 0; quarter < 4; ++quarter)
        std::memcpy(reinterpret_cast<char*>(&v) + 16 * quarter, p, 4 * sizeof(float));
    return v;
#endif
}

inline Vec broadcast(float x) { return x - Vec{}; }  // unlike 0 + x, x - 0 is x and costs nothing

/// Sum of the lanes in a fixed order.
inline float sum(Vec v) {
    float lane[kLanes];
    std::memcpy(lane, &v, sizeof v);
    for (int step = kLanes / 2; step > 0; step /= 2)
        for (int i = 0; i < step; ++i) lane[i] += lane[i + step];
    return lane[0];
}
/// From each quarter of a and b, in turns, the sums of its halves' pairs: (a0 + a1, a2 + a3, b0 + b1, b2 + b3).
inline Vec add_pairs(Vec a, Vec b) {
    return __builtin_shufflevector(a, b, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30) +
           __builtin_shufflevector(a, b, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31);
}
/// Lane 4 i + j: the sum of quarter j of v[i], as (0 + 1) + (2 + 3).
inline Vec sum_quarters(const Vec (&v)[4]) {
    const Vec by_quarter = add_pairs(add_pairs(v[0], v[1]), add_pairs(v[2], v[3]));
    return __builtin_shufflevector(by_quarter, by_quarter, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
}
inline float max(Vec v) {
    float lane[kLanes];
    std::memcpy(lane, &v, sizeof v);
    for (int step = kLanes / 2; step > 0; step /= 2)
        for (int i = 0; i < step; ++i) lane[i] = lane[i] > lane[i + step] ? lane[i] : lane[i + step];
    return lane[0];
}
inline Vec max(Vec a, Vec b) { return a > b ? a : b; }

/// e^x to 2 ulp for x in [-87, 88]; smaller x give 0, larger ones are clamped. Cody-Waite reduction, degree-6
/// Taylor-like minimax polynomial (the coefficients of Cephes expf).
inline Vec exp(Vec x) {
    const Vec low = broadcast(-87.0F);
    const Vec high = broadcast(88.0F);
    const IntVec underflow = x < low;
    Vec y = x > high ? high : x;
    y = underflow ? low : y;
    const Vec magic = broadcast(12582912.0F);  // 1.5 * 2^23: adding it rounds to an integer
    const Vec shifted = y * 1.44269504088896341F + magic;
    const Vec n = shifted - magic;
    const Vec r = (y - n * 0.693359375F) - n * -2.12194440e-4F;
    Vec p = broadcast(1.9875691500e-4F);
    p = p * r + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = p * (r * r) + r + 1.0F;
    IntVec bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    IntVec scale_bits = ((bits & 0x7fffff) - 0x400000 + 127) << 23;
    Vec scale;
    std::memcpy(&scale, &scale_bits, sizeof scale);
    return underflow ? Vec{} : p * scale;
}

inline Vec sigmoid(Vec x) { return 1.0F / (1.0F + exp(-x)); }

}  // namespace tdrm::model::simd
