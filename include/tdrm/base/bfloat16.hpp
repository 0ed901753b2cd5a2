// bfloat16: the upper half of an fp32. Same range, 8 bits of mantissa.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace tdrm {

/// A number as it is stored.
struct BFloat16 {
    std::uint16_t bits = 0;
    bool operator==(const BFloat16&) const = default;
};

/// The nearest one, ties to even; infinity beyond the greatest, NaN for NaN.
[[nodiscard]] inline BFloat16 to_bfloat16(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    if (std::isnan(x)) return {static_cast<std::uint16_t>(bits >> 16U | 0x40U)};
    return {static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16U & 1U)) >> 16U)};
}

/// Exact.
[[nodiscard]] inline float to_float(BFloat16 x) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16U);
}

}  // namespace tdrm
