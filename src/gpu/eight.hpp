// Eight bf16 at a time: what one thread moves at once.
#pragma once

#include "portable.hpp"

namespace tdrm::gpu {

inline constexpr int kEight = 8;

__device__ __forceinline__ float low_float(std::uint32_t pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float high_float(std::uint32_t pair) { return __uint_as_float(pair & 0xffff0000U); }
__device__ __forceinline__ std::uint32_t pack(float low, float high) {
    return static_cast<std::uint32_t>(to_bf16(low).bits) | static_cast<std::uint32_t>(to_bf16(high).bits) << 16;
}

__device__ __forceinline__ void load_eight(float (&x)[kEight], const bf16* from) {
    check_aligned(from);
    const uint4 words = *reinterpret_cast<const uint4*>(from);
    const std::uint32_t pairs[4] = {words.x, words.y, words.z, words.w};
    for (int i = 0; i < 4; ++i) {
        x[2 * i] = low_float(pairs[i]);
        x[2 * i + 1] = high_float(pairs[i]);
    }
}

__device__ __forceinline__ void store_eight(bf16* to, const float (&x)[kEight]) {
    check_aligned(to);
    *reinterpret_cast<uint4*>(to) = uint4{pack(x[0], x[1]), pack(x[2], x[3]), pack(x[4], x[5]), pack(x[6], x[7])};
}

}  // namespace tdrm::gpu
