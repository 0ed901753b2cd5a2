// The softmax of a row of logits, by one block: what probabilities and draws share, so that they agree in every bit.
#pragma once

#include "portable.hpp"
#include "warp_sums.hpp"

namespace tdrm::gpu {

inline constexpr int kSoftmaxThreads = 256;

/// Of numbers z: the largest, sum of exp(z - top), and sum of exp(z - top) (z - top).
struct SoftmaxSums {
    float top, mass, weighted;
};

/// Sums of two sets of numbers together; the same bits in either order.
__device__ __forceinline__ SoftmaxSums merged(const SoftmaxSums& a, const SoftmaxSums& b) {
    const float top = fmaxf(a.top, b.top), less_a = a.top - top, less_b = b.top - top;
    const float keep_a = __expf(less_a), keep_b = __expf(less_b);
    return {top, a.mass * keep_a + b.mass * keep_b,
            keep_a * (a.weighted + a.mass * less_a) + keep_b * (b.weighted + b.mass * less_b)};
}

/// Of z = logits x inverse, on every thread. `scratch` holds a SoftmaxSums for each warp.
__device__ __forceinline__ SoftmaxSums softmax_sums(const float* logits, int vocab, float inverse,
                                                    SoftmaxSums* scratch) {
    SoftmaxSums sums{-3.0e38F, 0, 0};
    for (int i = static_cast<int>(threadIdx.x); i < vocab; i += kSoftmaxThreads)
        sums = merged(sums, {logits[i] * inverse, 1, 0});
    for (int mask = kLanes / 2; mask > 0; mask /= 2)
        sums = merged(sums, {__shfl_xor_sync(kWholeWarp, sums.top, mask), __shfl_xor_sync(kWholeWarp, sums.mass, mask),
                             __shfl_xor_sync(kWholeWarp, sums.weighted, mask)});
    if (threadIdx.x % kLanes == 0) scratch[threadIdx.x / kLanes] = sums;
    __syncthreads();
    sums = scratch[0];
    for (int warp = 1; warp < kSoftmaxThreads / kLanes; ++warp) sums = merged(sums, scratch[warp]);
    __syncthreads();
    return sums;
}

/// log softmax of a token.
__device__ __forceinline__ float log_probability(float logit, float inverse, const SoftmaxSums& sums) {
    return logit * inverse - sums.top - logf(sums.mass);
}

}  // namespace tdrm::gpu
