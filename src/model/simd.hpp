// Sixteen floats at a time, by the compiler's vector extension: one AVX-512 register, or two of AVX2.
// All kernels use these same operations for every element, tails included, so a row's bits don't depend on where
// in a batch it stands.
#pragma once

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

inline Vec broadcast(float x) { return x - Vec{}; }  // unlike 0 + x, x - 0 is x and costs nothing

/// Sum of the lanes in a fixed order.
inline float sum(Vec v) {
    float lane[kLanes];
    std::memcpy(lane, &v, sizeof v);
    for (int step = kLanes / 2; step > 0; step /= 2)
        for (int i = 0; i < step; ++i) lane[i] += lane[i + step];
    return lane[0];
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
