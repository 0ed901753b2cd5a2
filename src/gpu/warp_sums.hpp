// Sums and maxima over the lanes of a warp and the warps of a block, in a fixed order.
#pragma once

#include "portable.hpp"

namespace tdrm::gpu {

inline constexpr int kLanes = 32;

/// On every lane. A butterfly: each lane adds the same numbers in an order that gives the same bits.
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
    for (int mask = kLanes / 2; mask > 0; mask /= 2) value += __shfl_xor_sync(kWholeWarp, value, mask);
    return value;
}
template <class T>
__device__ __forceinline__ T warp_max(T value) {
    for (int mask = kLanes / 2; mask > 0; mask /= 2) {
        const T other = __shfl_xor_sync(kWholeWarp, value, mask);
        value = other > value ? other : value;
    }
    return value;
}

/// Of all threads of a block, on every thread. `scratch` holds a number for each warp; nobody may still read it.
template <class T>
__device__ __forceinline__ T block_sum(T value, T* scratch) {
    const int warps = static_cast<int>(blockDim.x) / kLanes;
    value = warp_sum(value);
    if (threadIdx.x % kLanes == 0) scratch[threadIdx.x / kLanes] = value;
    __syncthreads();
    T total = 0;
    for (int warp = 0; warp < warps; ++warp) total += scratch[warp];
    __syncthreads();
    return total;
}

}  // namespace tdrm::gpu
