// Operations on flat arrays of one number per parameter.
#include "kernels.hpp"
#include "portable.hpp"
#include "tdrm/base/stochastic_rounding.hpp"
#include "tdrm/gpu/sums.hpp"
#include "warp_sums.hpp"

namespace tdrm::gpu {
namespace {

constexpr int kThreads = 256;

__device__ __forceinline__ std::size_t first_index() {
    return static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ std::size_t index_step() { return static_cast<std::size_t>(gridDim.x) * blockDim.x; }

/// Enough blocks to fill a device; each thread takes every so many-th value.
dim3 blocks_for(std::size_t n) {
    constexpr std::size_t per_thread = 4, most = 2048;
    return dim3(static_cast<unsigned>(min((n + kThreads * per_thread - 1) / (kThreads * per_thread), most)));
}

__global__ void round_values(Round op) {
    for (std::size_t i = first_index(); i < op.n; i += index_step()) op.out[i] = to_bf16(op.in[i]);
}

__global__ void widen_values(Widen op) {
    for (std::size_t i = first_index(); i < op.n; i += index_step()) op.out[i] = to_float(op.in[i]);
}

__global__ void exact_add(ExactAdd op) {
    constexpr double quanta = 281474976710656.0;  // 2^48
    for (std::size_t i = first_index(); i < op.n; i += index_step())
        op.total[i] += llrint(static_cast<double>(op.values[i]) * quanta);
}

__global__ void exact_to_float(ExactToFloat op) {
    constexpr double quantum = 1.0 / 281474976710656.0;
    for (std::size_t i = first_index(); i < op.n; i += index_step())
        op.out[i] = static_cast<float>(static_cast<double>(op.total[i]) * quantum);
}

__global__ void fast_add(FastAdd op) {
    for (std::size_t i = first_index(); i < op.n; i += index_step()) op.total[i] += op.values[i];
}

__global__ void gradient_figures(GradientFigures op) {
    DYNAMIC_SHARED(double, scratch);
    const std::size_t first = blockIdx.x * kFigureBlock, last = min(first + kFigureBlock, op.n);
    double squares = 0;
    std::uint32_t largest = 0;
    for (std::size_t i = first + threadIdx.x; i < last; i += blockDim.x) {
        const float x = op.values[i];
        squares += static_cast<double>(x) * static_cast<double>(x);
        largest = max(largest, __float_as_uint(x) & 0x7fffffffU);
    }
    squares = block_sum(squares, scratch);
    // Bit patterns sort as unsigned numbers; the sum's scratch is free again.
    std::uint32_t* most = reinterpret_cast<std::uint32_t*>(scratch);
    largest = warp_max(largest);
    if (threadIdx.x % kLanes == 0) most[threadIdx.x / kLanes] = largest;
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int warp = 1; warp < kThreads / kLanes; ++warp) largest = max(largest, most[warp]);
    op.squares[blockIdx.x] = squares;
    op.largest[blockIdx.x] = largest;
}

__global__ void adamw_update(AdamWUpdate op) {
    for (std::size_t i = first_index(); i < op.n; i += index_step()) {
        const float g = op.gradient[i] * op.scale;
        const bool rounded = op.first_rounded != nullptr;
        const float first_before = rounded ? to_float(op.first_rounded[i]) : op.first[i];
        const float second_before = rounded ? to_float(op.second_rounded[i]) : op.second[i];
        const float first = op.beta1 * first_before + (1 - op.beta1) * g;
        const float second = op.beta2 * second_before + (1 - op.beta2) * g * g;
        const float master = op.keep * op.master[i] - op.step_size * first / (sqrtf(second) * op.second_scale + op.eps);
        if (rounded) {
            const std::uint32_t noise = rounding_noise(op.element + i, op.update);
            op.first_rounded[i] = {rounded_by_chance(__float_as_uint(first), noise)};
            op.second_rounded[i] = {rounded_by_chance(__float_as_uint(second), noise >> 16U)};
        } else {
            op.first[i] = first;
            op.second[i] = second;
        }
        op.master[i] = master;
        op.weights[i] = to_bf16(master);
    }
}

}  // namespace

void start(const Round& op, Stream stream) { launch(round_values, blocks_for(op.n), kThreads, 0, stream, op); }
void start(const Widen& op, Stream stream) { launch(widen_values, blocks_for(op.n), kThreads, 0, stream, op); }
void start(const ExactAdd& op, Stream stream) { launch(exact_add, blocks_for(op.n), kThreads, 0, stream, op); }
void start(const ExactToFloat& op, Stream stream) { launch(exact_to_float, blocks_for(op.n), kThreads, 0, stream, op); }
void start(const FastAdd& op, Stream stream) { launch(fast_add, blocks_for(op.n), kThreads, 0, stream, op); }
void start(const GradientFigures& op, Stream stream) {
    launch(gradient_figures, static_cast<unsigned>(figure_blocks(op.n)), kThreads, kThreads / kLanes * sizeof(double),
           stream, op);
}
void start(const AdamWUpdate& op, Stream stream) { launch(adamw_update, blocks_for(op.n), kThreads, 0, stream, op); }

}  // namespace tdrm::gpu
