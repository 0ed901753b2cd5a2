// fp32 numbers stored in bf16 such that they are right on average: what is lost below the last place is made up for by
// a chance, which depends on the number's identity alone. Moments need it: they move by less than half a place at a
// time.
#pragma once

#include <cstdint>

namespace tdrm {

/// 32 bits of noise for an element in an update (SplitMix64 of both). The same on processors and devices.
[[nodiscard]] constexpr std::uint32_t rounding_noise(std::uint64_t element, std::uint64_t update) {
    std::uint64_t x = element * 0x9e3779b97f4a7c15U + update * 0xd1b54a32d192ed03U + 0x8cb92ba72f3d8dd7U;
    x = (x ^ x >> 30U) * 0xbf58476d1ce4e5b9U;
    x = (x ^ x >> 27U) * 0x94d049bb133111ebU;
    return static_cast<std::uint32_t>(x >> 32U);
}

/// The upper half of a finite fp32's bits plus a chance: rounded up as often as the lower half is large.
/// @param noise 16 bits
[[nodiscard]] constexpr std::uint16_t rounded_by_chance(std::uint32_t bits, std::uint32_t noise) {
    return static_cast<std::uint16_t>((bits + (noise & 0xffffU)) >> 16U);
}

}  // namespace tdrm
