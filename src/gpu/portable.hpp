// What a kernel file includes, and all that it may use: CUDA under nvcc, the emulation under a host compiler. The
// text of a kernel is the same for both. Shared memory is dynamic, warps act whole, and there are no atomics: a
// kernel's bits depend on nothing but its arguments.
#pragma once

#ifndef __CUDACC__
#include "emulator/cuda.hpp"
#else

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <tuple>

#include "tdrm/gpu/types.hpp"

#define DYNAMIC_SHARED(T, name)                                    \
    extern __shared__ __align__(128) unsigned char name##_bytes[]; \
    T* name = reinterpret_cast<T*>(name##_bytes)

namespace tdrm::gpu {

inline constexpr unsigned kWholeWarp = 0xffffffffU;

__device__ __forceinline__ float to_float(bf16 x) { return __uint_as_float(std::uint32_t{x.bits} << 16U); }
/// To nearest, ties to even; NaN stays NaN.
__device__ __forceinline__ bf16 to_bf16(float x) { return {__bfloat16_as_ushort(__float2bfloat16_rn(x))}; }

/// Whether 16 bytes can be moved there at once: the emulator looks, a device faults.
__device__ __forceinline__ void check_aligned(const void*) {}

/// c += A B with A 16 x 16, B 16 x 8 in bf16, C in fp32.
__device__ __forceinline__ void mma_16x8x16(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ std::uint32_t shared_address(const void* pointer) {
    return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
}

/// Four 8 x 8 matrices, whose rows lie where lanes 8 m + i say.
__device__ __forceinline__ void ldmatrix_x4(std::uint32_t (&r)[4], const bf16* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3},[%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(std::uint32_t (&r)[4], const bf16* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3},[%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

/// 16 bytes to shared memory, zeros if not valid, some time before the wait that covers the thread's group.
__device__ __forceinline__ void cp_async_16(void* to, const void* from, bool valid) {
    asm volatile("cp.async.cg.shared.global [%0],[%1],16,%2;" ::"r"(shared_address(to)), "l"(from), "r"(valid ? 16 : 0)
                 : "memory");
}
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int Pending>
__device__ __forceinline__ void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

inline void check(cudaError_t status, const char* what) {
    if (status != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

/// Queues kernel<<<grid, block, shared, stream>>>(arguments...).
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes, Stream stream,
            const Arguments&... arguments) {
    constexpr std::size_t kWithoutAsking = 48 << 10;
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;  // nothing to do; CUDA would refuse it
    if (shared_bytes > kWithoutAsking)
        check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(shared_bytes)),
              "asking for shared memory");
    std::tuple<Parameters...> held(static_cast<Parameters>(arguments)...);
    std::apply(
        [&](auto&... argument) {
            void* pointers[] = {&argument...};
            check(cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, pointers, shared_bytes,
                                   static_cast<cudaStream_t>(stream)),
                  "starting a kernel");
        },
        held);
}

}  // namespace tdrm::gpu
#endif
