// What the kernels of attention share: rows of one head in shared memory, and products of 16 x 16 fragments.
#pragma once

#include "eight.hpp"
#include "portable.hpp"
#include "tdrm/gpu/attention.hpp"
#include "warp_sums.hpp"

namespace tdrm::gpu {

inline constexpr float kMasked = -3.0e38F;  ///< the score of a key that isn't seen
inline constexpr int kTileThreads = 128;    ///< a warp has 16 rows of a tile

/// From row to row in shared memory: eight rows of a fragment lie in different banks.
template <int H>
inline constexpr int kPitch = H + kEight;

/// Copies rows of one head, `row(i)` says where they are, into ROWS rows of shared memory; what is missing becomes
/// zero.
template <int ROWS, int H, int THREADS, class Row>
__device__ __forceinline__ void load_rows(bf16* to, int count, int head_dim, Row&& row) {
    constexpr int eights = H / kEight;
    for (int i = static_cast<int>(threadIdx.x); i < ROWS * eights; i += THREADS) {
        const int r = i / eights, column = i % eights * kEight;
        const bool valid = r < count && column < head_dim;
        cp_async_16(to + r * kPitch<H> + column, row(r < count ? r : 0) + (valid ? column : 0), valid);
    }
}

__device__ __forceinline__ int lane_id() { return static_cast<int>(threadIdx.x) % kLanes; }
__device__ __forceinline__ int warp_id() { return static_cast<int>(threadIdx.x) / kLanes; }

/// Fragments hold, of rows lane / 4 and lane / 4 + 8, columns 2 (lane % 4) and the next, of each 8 columns.
__device__ __forceinline__ int fragment_row(int half) { return lane_id() / 4 + half * 8; }
__device__ __forceinline__ int fragment_column(int block, int i) { return block * 8 + lane_id() % 4 * 2 + i; }

/// 16 rows x 16 columns from `at` on, as the left operand.
template <int H>
__device__ __forceinline__ void load_left(std::uint32_t (&fragment)[4], const bf16* at) {
    ldmatrix_x4(fragment, at + lane_id() % 16 * kPitch<H> + lane_id() / 16 * 8);
}

/// sum[2 n], sum[2 n + 1] += left x (16 rows from `at` on)^T
template <int H>
__device__ __forceinline__ void multiply_rows(float (&first)[4], float (&second)[4], const std::uint32_t (&left)[4],
                                              const bf16* at) {
    std::uint32_t right[4];
    ldmatrix_x4(right, at + (lane_id() / 16 * 8 + lane_id() % 8) * kPitch<H> + lane_id() / 8 % 2 * 8);
    const std::uint32_t low[2] = {right[0], right[1]}, high[2] = {right[2], right[3]};
    mma_16x8x16(first, left, low);
    mma_16x8x16(second, left, high);
}

/// The same with the 16 x 16 numbers from `at` on as they lie: first and second += left x numbers.
template <int H>
__device__ __forceinline__ void multiply_columns(float (&first)[4], float (&second)[4], const std::uint32_t (&left)[4],
                                                 const bf16* at) {
    std::uint32_t right[4];
    ldmatrix_x4_trans(right, at + lane_id() % 16 * kPitch<H> + lane_id() / 16 * 8);
    const std::uint32_t low[2] = {right[0], right[1]}, high[2] = {right[2], right[3]};
    mma_16x8x16(first, left, low);
    mma_16x8x16(second, left, high);
}

/// Sums of two neighbouring blocks of 8 columns as a left operand of 16.
__device__ __forceinline__ void as_left(std::uint32_t (&fragment)[4], const float (&first)[4],
                                        const float (&second)[4]) {
    fragment[0] = pack(first[0], first[1]);
    fragment[1] = pack(first[2], first[3]);
    fragment[2] = pack(second[0], second[1]);
    fragment[3] = pack(second[2], second[3]);
}

/// out[d] += weights_16xKEYS x values, KEYS rows of shared memory, 8 BLOCKS of their H columns.
template <int H, int KEYS, int BLOCKS>
__device__ __forceinline__ void mix(float (&out)[BLOCKS][4], const float (&weights)[KEYS / 8][4], const bf16* values) {
    for (int k = 0; k < KEYS / 16; ++k) {
        std::uint32_t left[4];
        as_left(left, weights[2 * k], weights[2 * k + 1]);
#pragma unroll
        for (int d = 0; d < BLOCKS / 2; ++d)
            multiply_columns<H>(out[2 * d], out[2 * d + 1], left, values + k * 16 * kPitch<H> + d * 16);
    }
}

__device__ __forceinline__ bool sees(const SeenKeys& seen, int key) { return seen.first <= key && key < seen.end; }
/// The same keys counted from key `first` on.
__device__ __forceinline__ SeenKeys seen_from(const SeenKeys& seen, int first) {
    return {seen.first - first, seen.end - first};
}

__device__ __forceinline__ int key_head(const HeadShape& shape, int head) {
    return head / (shape.heads / shape.kv_heads);
}

/// Calls body with the width in which heads of `head_dim` are computed.
template <class Body>
void with_head_width(int head_dim, Body&& body) {
    if (head_dim <= 16) return body.template operator()<16>();
    if (head_dim <= 32) return body.template operator()<32>();
    if (head_dim <= 64) return body.template operator()<64>();
    if (head_dim <= 128) return body.template operator()<128>();
    body.template operator()<256>();
}

}  // namespace tdrm::gpu
