// The part of CUDA that kernels use, by CUDA's names, for a host compiler. Anything else doesn't compile.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "machine.hpp"
#include "tdrm/gpu/types.hpp"

// NOLINTBEGIN(bugprone-reserved-identifier,bugprone-macro-parentheses): the names are CUDA's
#define __global__ static
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define threadIdx (::tdrm::gpu::emulator::thread_index())
#define blockIdx (::tdrm::gpu::emulator::block_index())
#define blockDim (::tdrm::gpu::emulator::block_size())
#define gridDim (::tdrm::gpu::emulator::grid_size())
#define DYNAMIC_SHARED(T, name) T* name = static_cast<T*>(::tdrm::gpu::emulator::shared_memory())

namespace tdrm::gpu {

using dim3 = emulator::Dim3;
using std::max;
using std::min;

struct alignas(16) uint4 {
    std::uint32_t x, y, z, w;
};

inline void __syncthreads() { emulator::block_barrier(); }
inline void __syncwarp() { emulator::warp_barrier(); }

inline constexpr unsigned kWholeWarp = 0xffffffffU;

template <class T>
T from_lane(T value, int lane) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    std::uint32_t mine[2]{}, theirs[2];
    std::memcpy(mine, &value, sizeof(T));
    emulator::exchange(mine, lane, theirs);
    T result;
    std::memcpy(&result, theirs, sizeof(T));
    return result;
}
template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
    return from_lane(value, emulator::lane() ^ mask);
}
template <class T>
T __shfl_sync(unsigned, T value, int lane) {
    return from_lane(value, lane & 31);
}
template <class T>
T __shfl_up_sync(unsigned, T value, int by) {
    const int lane = emulator::lane();
    return from_lane(value, lane < by ? lane : lane - by);
}

inline float __expf(float x) { return std::exp(x); }
inline float rsqrtf(float x) { return 1.0F / std::sqrt(x); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline std::uint32_t __float_as_uint(float x) { return std::bit_cast<std::uint32_t>(x); }
inline float __uint_as_float(std::uint32_t x) { return std::bit_cast<float>(x); }

// NOLINTEND(bugprone-reserved-identifier,bugprone-macro-parentheses)

inline float to_float(bf16 x) { return std::bit_cast<float>(std::uint32_t{x.bits} << 16U); }
/// To nearest, ties to even; NaN stays NaN.
inline bf16 to_bf16(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    if ((bits & 0x7fffffffU) > 0x7f800000U) return {0x7fff};
    return {static_cast<std::uint16_t>((bits + 0x7fffU + (bits >> 16U & 1U)) >> 16U)};
}

inline void check_aligned(const void* address) { emulator::check_aligned(address); }

inline void mma_16x8x16(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
    emulator::mma(c, a, b);
}
inline void ldmatrix_x4(std::uint32_t (&fragments)[4], const bf16* row) { emulator::ldmatrix(fragments, row, false); }
inline void ldmatrix_x4_trans(std::uint32_t (&fragments)[4], const bf16* row) {
    emulator::ldmatrix(fragments, row, true);
}
inline void cp_async_16(void* to, const void* from, bool valid) { emulator::copy_async(to, valid ? from : nullptr); }
inline void cp_async_commit() { emulator::copy_commit(); }
template <int Pending>
void cp_async_wait() {
    emulator::copy_wait(Pending);
}

/// Queues kernel<<<grid, block, shared, stream>>>(arguments...).
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes, Stream,
            const Arguments&... arguments) {
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;  // nothing to do; CUDA would refuse it
    emulator::run_grid(grid, block, shared_bytes, [&] { kernel(static_cast<Parameters>(arguments)...); });
}

}  // namespace tdrm::gpu
