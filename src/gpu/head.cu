// Log-probabilities of tokens and their gradient, and values.
#include "eight.hpp"
#include "kernels.hpp"
#include "portable.hpp"
#include "softmax.hpp"
#include "tdrm/gpu/head.hpp"

namespace tdrm::gpu {
namespace {

constexpr int kWarps = kSoftmaxThreads / kLanes;

/// One block a row.
__global__ void __launch_bounds__(kSoftmaxThreads) log_softmax(LogSoftmax op) {
    DYNAMIC_SHARED(SoftmaxSums, scratch);
    const int row = static_cast<int>(blockIdx.x);
    const float* logits = op.logits + static_cast<std::size_t>(row) * op.pitch;
    const float inverse = 1.0F / op.temperature;
    const SoftmaxSums sums = softmax_sums(logits, op.vocab, inverse, scratch);
    if (threadIdx.x != 0) return;
    op.logp[row] = log_probability(logits[op.targets[row]], inverse, sums);
    op.entropy[row] = logf(sums.mass) - sums.weighted / sums.mass;
}

/// One block a row. What is written of a stretch lies where no later one is read; within one, all read before any
/// writes.
__global__ void __launch_bounds__(kSoftmaxThreads) log_softmax_backward(LogSoftmaxBackward op) {
    constexpr int each = 4;
    const int row = static_cast<int>(blockIdx.x), target = op.targets[row];
    float* logits = op.logits + static_cast<std::size_t>(row) * op.pitch;
    bf16* gradient = reinterpret_cast<bf16*>(logits);
    const float inverse = 1.0F / op.temperature, scale = op.coefficient[row] * inverse;
    const float log_total = logits[target] * inverse - op.logp[row];
    for (int begin = 0; begin < op.vocab; begin += each * kSoftmaxThreads) {
        const int first = begin + static_cast<int>(threadIdx.x);
        float d[each];
        for (int j = 0; j < each; ++j) {
            const int i = first + j * kSoftmaxThreads;
            const float p = i < op.vocab ? __expf(logits[i] * inverse - log_total) : 0.0F;
            d[j] = scale * ((i == target ? 1.0F : 0.0F) - p);
        }
        __syncthreads();
        for (int j = 0; j < each; ++j) {
            const int i = first + j * kSoftmaxThreads;
            if (i < op.vocab) gradient[i] = to_bf16(d[j]);
        }
    }
}

/// One warp a row.
__global__ void read_values(ReadValues op) {
    const int row = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kLanes;
    if (row >= op.rows) return;
    const int lane = static_cast<int>(threadIdx.x) % kLanes;
    const bf16* x = op.x + static_cast<std::size_t>(row) * op.width;
    float sum = 0;
    for (int i = lane; i < op.width; i += kLanes) {
        const float w = to_float(op.plus[i]) - (op.minus != nullptr ? to_float(op.minus[i]) : 0.0F);
        sum += to_float(x[i]) * w;
    }
    sum = warp_sum(sum);
    if (op.plus_bias != nullptr) sum += to_float(*op.plus_bias);
    if (op.minus_bias != nullptr) sum -= to_float(*op.minus_bias);
    if (lane == 0) op.values[row] = sum;
}

/// One thread a column.
__global__ void read_values_backward(ReadValuesBackward op) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= op.width) return;
    const float w = to_float(op.w[i]);
    float dw = 0;
    for (int row = 0; row < op.rows; ++row) {
        const std::size_t at = static_cast<std::size_t>(row) * op.width + i;
        dw += op.d_values[row] * to_float(op.x[at]);
        op.dx[at] = to_bf16(op.d_values[row] * w);
    }
    op.dw[i] += dw;
}

}  // namespace

void start(const LogSoftmax& op, Stream stream) {
    launch(log_softmax, static_cast<unsigned>(op.rows), kSoftmaxThreads, kWarps * sizeof(SoftmaxSums), stream, op);
}
void start(const LogSoftmaxBackward& op, Stream stream) {
    launch(log_softmax_backward, static_cast<unsigned>(op.rows), kSoftmaxThreads, 0, stream, op);
}
void start(const ReadValues& op, Stream stream) {
    launch(read_values, static_cast<unsigned>((op.rows + kWarps - 1) / kWarps), kSoftmaxThreads, 0, stream, op);
}
void start(const ReadValuesBackward& op, Stream stream) {
    constexpr int threads = 64;
    launch(read_values_backward, static_cast<unsigned>((op.width + threads - 1) / threads), threads, 0, stream, op);
}

}  // namespace tdrm::gpu
