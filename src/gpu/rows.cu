// Operations that treat each row by itself.
#include "eight.hpp"
#include "kernels.hpp"
#include "portable.hpp"
#include "rotary.hpp"
#include "tdrm/gpu/rows.hpp"
#include "warp_sums.hpp"

namespace tdrm::gpu {
namespace {

constexpr int kThreads = 128, kWarps = kThreads / kLanes;

/// Which row the warp works on, in kernels with a warp a row.
__device__ __forceinline__ int row_of_warp() {
    return static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kLanes;
}
__device__ __forceinline__ int lane_of() { return static_cast<int>(threadIdx.x) % kLanes; }

dim3 warp_a_row(int rows) { return dim3(static_cast<unsigned>((rows + kWarps - 1) / kWarps)); }

__global__ void gather_rows(GatherRows op) {
    const int row = row_of_warp();
    if (row >= op.rows) return;
    const bf16* from = op.x + static_cast<std::size_t>(op.index[row]) * op.width;
    bf16* to = op.y + static_cast<std::size_t>(row) * op.width;
    for (int i = lane_of() * kEight; i < op.width; i += kLanes * kEight) {
        if (op.scale == 1) {
            *reinterpret_cast<uint4*>(to + i) = *reinterpret_cast<const uint4*>(from + i);
            continue;
        }
        float v[kEight];
        load_eight(v, from + i);
        for (float& e : v) e *= op.scale;
        store_eight(to + i, v);
    }
}

/// total = sum of a list's rows at columns i to i + 7.
__device__ __forceinline__ void sum_list(float (&total)[kEight], const bf16* x, const RowLists& lists, int list,
                                         int width, int i) {
    for (float& t : total) t = 0;
    for (int j = lists.first[list]; j < lists.first[list + 1]; ++j) {
        float row[kEight];
        load_eight(row, x + static_cast<std::size_t>(lists.rows[j]) * width + i);
        for (int e = 0; e < kEight; ++e) total[e] += row[e];
    }
}

__global__ void scatter_rows(ScatterRows op) {
    const int list = row_of_warp();
    if (list >= op.lists.lists) return;
    bf16* to = op.y + static_cast<std::size_t>(op.lists.target[list]) * op.width;
    for (int i = lane_of() * kEight; i < op.width; i += kLanes * kEight) {
        float total[kEight];
        sum_list(total, op.x, op.lists, list, op.width, i);
        store_eight(to + i, total);
    }
}

__global__ void embed_backward(EmbedBackward op) {
    const int list = row_of_warp();
    if (list >= op.lists.lists) return;
    float* to = op.gradient + static_cast<std::size_t>(op.lists.target[list]) * op.width;
    for (int i = lane_of() * kEight; i < op.width; i += kLanes * kEight) {
        float total[kEight];
        sum_list(total, op.dx, op.lists, list, op.width, i);
        for (int e = 0; e < kEight; ++e) to[i + e] += op.scale * total[e];
    }
}

__global__ void rms_norm(RmsNorm op) {
    const int row = row_of_warp();
    if (row >= op.rows) return;
    const bf16* x = op.x + op.x_grid.at(row, op.width);
    const std::size_t begin = op.y_grid.at(row, op.width);
    float squares = 0;
    for (int i = lane_of() * kEight; i < op.width; i += kLanes * kEight) {
        float v[kEight];
        load_eight(v, x + i);
        for (const float e : v) squares += e * e;
    }
    const float rstd = rsqrtf(warp_sum(squares) / static_cast<float>(op.width) + op.eps);
    if (lane_of() == 0 && op.rstd != nullptr) op.rstd[row] = rstd;
    for (int i = lane_of() * kEight; i < op.width; i += kLanes * kEight) {
        float v[kEight], w[kEight], before[kEight] = {};
        load_eight(v, x + i);
        load_eight(w, op.w + i);
        if (op.residual != nullptr) load_eight(before, op.residual + begin + i);
        for (int e = 0; e < kEight; ++e) v[e] = before[e] + v[e] * rstd * (op.add + w[e]);
        store_eight(op.y + begin + i, v);
    }
}

/// One block takes kPartialRows rows, one after another. Each thread owns columns, also of the sums in shared memory.
/// With n = x rstd and w the weight and `add`: dx = rstd (dy w - n mean(dy w n)).
__global__ void rms_norm_backward(RmsNormBackward op) {
    DYNAMIC_SHARED(float, shared);
    float* d_weight = shared + kWarps;
    const int begin = static_cast<int>(threadIdx.x) * kEight;
    for (int i = begin; i < op.width; i += kThreads * kEight)
        for (int e = 0; e < kEight; ++e) d_weight[i + e] = 0;
    const int first = static_cast<int>(blockIdx.x) * kPartialRows, last = min(first + kPartialRows, op.rows);
    for (int row = first; row < last; ++row) {
        const std::size_t at = op.dy_grid.at(row, op.width), x_at = op.x_grid.at(row, op.width);
        const float rstd = op.rstd[row];
        float products = 0;
        float n[kEight], dy[kEight], w[kEight];
        for (int i = begin; i < op.width; i += kThreads * kEight) {
            load_eight(n, op.x + x_at + i);
            load_eight(dy, op.dy + at + i);
            load_eight(w, op.w + i);
            for (int e = 0; e < kEight; ++e) {
                d_weight[i + e] += dy[e] * n[e] * rstd;
                products += dy[e] * (op.add + w[e]) * n[e] * rstd;
            }
        }
        const float mean = block_sum(products, shared) / static_cast<float>(op.width);
        for (int i = begin; i < op.width; i += kThreads * kEight) {
            float dx[kEight] = {};
            load_eight(n, op.x + x_at + i);
            load_eight(dy, op.dy + at + i);
            load_eight(w, op.w + i);
            if (op.residual != nullptr) load_eight(dx, op.residual + at + i);
            for (int e = 0; e < kEight; ++e) dx[e] += rstd * (dy[e] * (op.add + w[e]) - n[e] * rstd * mean);
            store_eight(op.dx + at + i, dx);
        }
    }
    float* partial = op.partials + static_cast<std::size_t>(blockIdx.x) * op.width;
    for (int i = begin; i < op.width; i += kThreads * kEight)
        for (int e = 0; e < kEight; ++e) partial[i + e] = d_weight[i + e];
}

__global__ void column_sums(ColumnSums op) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x) * kEight;
    if (i >= op.width) return;
    const int first = static_cast<int>(blockIdx.y) * kPartialRows, last = min(first + kPartialRows, op.rows);
    float total[kEight] = {}, x[kEight];
    for (int row = first; row < last; ++row) {
        load_eight(x, op.x + static_cast<std::size_t>(row) * op.width + i);
        for (int e = 0; e < kEight; ++e) total[e] += x[e];
    }
    float* partial = op.partials + static_cast<std::size_t>(blockIdx.y) * op.width + i;
    for (int e = 0; e < kEight; ++e) partial[e] = total[e];
}

__global__ void add_partials(AddPartials op) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= op.width) return;
    float total = 0;
#pragma unroll 8
    for (int p = 0; p < op.count; ++p) total += op.partials[static_cast<std::size_t>(p) * op.width + i];
    op.out[i] += op.scale * total;
}

__global__ void add_bias(AddBias op) {
    const int row = row_of_warp();
    if (row >= op.rows) return;
    bf16* y = op.y + op.grid.at(row, op.width);
    for (int i = lane_of() * kEight; i < op.width; i += kLanes * kEight) {
        float v[kEight], bias[kEight];
        load_eight(v, y + i);
        load_eight(bias, op.bias + i);
        for (int e = 0; e < kEight; ++e) {
            v[e] += op.scale * bias[e];
            if (op.relu) v[e] = fmaxf(v[e], 0.0F);
        }
        store_eight(y + i, v);
    }
}

/// One warp a token and head.
__global__ void turn_heads(TurnHeads op) {
    const int row = row_of_warp(), head = static_cast<int>(blockIdx.y);
    if (row >= op.rows) return;
    const HeadShape& shape = op.shape;
    bf16* x = op.qkv + static_cast<std::size_t>(row) * shape.stride() + head * shape.head_dim;
    const bf16* bias = op.bias == nullptr ? nullptr : op.bias + head * shape.head_dim;
    const bool turns = head < shape.heads + shape.kv_heads;
    bf16* page = page_row(op, row, head);
    for (int p = lane_of(); p < shape.head_dim / 2; p += kLanes) {
        const PairOfColumns at = columns_of_pair(op.rotary, p);
        float a = to_float(x[at.first]), b = to_float(x[at.second]);
        if (bias != nullptr) {
            a += to_float(bias[at.first]);
            b += to_float(bias[at.second]);
        }
        if (turns) turn(a, b, op.rotary, row, p, head < shape.heads, 1.0F);
        x[at.first] = to_bf16(a);
        x[at.second] = to_bf16(b);
        if (page == nullptr) continue;
        page[at.first] = to_bf16(a);
        page[at.second] = to_bf16(b);
    }
}

__device__ __forceinline__ float sigmoid(float x) { return 1.0F / (1.0F + __expf(-x)); }

/// f of a gate, and its derivative.
struct GateValue {
    float value, slope;
};
__device__ __forceinline__ GateValue silu(float x) {
    const float s = sigmoid(x);
    return {x * s, s * (1.0F + x * (1.0F - s))};
}
/// x (1 + tanh(u)) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3), and (1 + tanh(u)) / 2 = sigmoid(2 u).
__device__ __forceinline__ GateValue gelu_tanh(float x) {
    constexpr float root = 0.7978845608F, cubic = 0.044715F;
    const float s = sigmoid(2.0F * root * (x + cubic * x * x * x));
    return {x * s, s * (1.0F + x * (1.0F - s) * 2.0F * root * (1.0F + 3.0F * cubic * x * x))};
}

/// One thread eight columns: the grid covers rows x inner.
__device__ __forceinline__ bool find_eight(int rows, int inner, std::size_t& row, int& column) {
    const std::size_t at = (static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kEight;
    row = at / static_cast<std::size_t>(inner);
    column = static_cast<int>(at % static_cast<std::size_t>(inner));
    return row < static_cast<std::size_t>(rows);
}
dim3 thread_an_eight(int rows, int inner) {
    const std::size_t eights = static_cast<std::size_t>(rows) * static_cast<std::size_t>(inner) / kEight;
    return dim3(static_cast<unsigned>((eights + kThreads - 1) / kThreads));
}

__global__ void gate(Gate op) {
    std::size_t row;
    int i;
    if (!find_eight(op.rows, op.inner, row, i)) return;
    const bf16* gate_up = op.gate_up + row * 2 * op.inner;
    float x[kEight], up[kEight];
    load_eight(x, gate_up + i);
    load_eight(up, gate_up + op.inner + i);
    for (int e = 0; e < kEight; ++e) x[e] = (op.gelu ? gelu_tanh(x[e]) : silu(x[e])).value * up[e];
    store_eight(op.h + row * op.inner + i, x);
}

__global__ void gate_backward(GateBackward op) {
    std::size_t row;
    int i;
    if (!find_eight(op.rows, op.inner, row, i)) return;
    bf16* gate_up = op.gate_up + row * 2 * op.inner;
    float x[kEight], up[kEight], dh[kEight];
    load_eight(x, gate_up + i);
    load_eight(up, gate_up + op.inner + i);
    load_eight(dh, op.dh + row * op.inner + i);
    for (int e = 0; e < kEight; ++e) {
        const GateValue f = op.gelu ? gelu_tanh(x[e]) : silu(x[e]);
        x[e] = dh[e] * up[e] * f.slope;
        up[e] = dh[e] * f.value;
    }
    store_eight(gate_up + i, x);
    store_eight(gate_up + op.inner + i, up);
}

}  // namespace

void start(const GatherRows& op, Stream stream) { launch(gather_rows, warp_a_row(op.rows), kThreads, 0, stream, op); }
void start(const ScatterRows& op, Stream stream) {
    launch(scatter_rows, warp_a_row(op.lists.lists), kThreads, 0, stream, op);
}
void start(const EmbedBackward& op, Stream stream) {
    launch(embed_backward, warp_a_row(op.lists.lists), kThreads, 0, stream, op);
}
void start(const RmsNorm& op, Stream stream) { launch(rms_norm, warp_a_row(op.rows), kThreads, 0, stream, op); }
void start(const RmsNormBackward& op, Stream stream) {
    const auto blocks = static_cast<unsigned>(partials_of(op.rows));
    launch(rms_norm_backward, blocks, kThreads, (kWarps + static_cast<std::size_t>(op.width)) * sizeof(float), stream,
           op);
}
void start(const ColumnSums& op, Stream stream) {
    constexpr int threads = 64;
    const dim3 grid(static_cast<unsigned>((op.width / kEight + threads - 1) / threads),
                    static_cast<unsigned>(partials_of(op.rows)));
    launch(column_sums, grid, threads, 0, stream, op);
}
void start(const AddPartials& op, Stream stream) {
    constexpr int threads = 64;
    launch(add_partials, static_cast<unsigned>((op.width + threads - 1) / threads), threads, 0, stream, op);
}
void start(const AddBias& op, Stream stream) { launch(add_bias, warp_a_row(op.rows), kThreads, 0, stream, op); }
void start(const TurnHeads& op, Stream stream) {
    // Without bias and pages values stay what they are.
    const bool values = op.bias != nullptr || op.key_pages != nullptr;
    dim3 grid = warp_a_row(op.rows);
    grid.y = static_cast<unsigned>(values ? op.shape.all() : op.shape.heads + op.shape.kv_heads);
    launch(turn_heads, grid, kThreads, 0, stream, op);
}
void start(const Gate& op, Stream stream) { launch(gate, thread_an_eight(op.rows, op.inner), kThreads, 0, stream, op); }
void start(const GateBackward& op, Stream stream) {
    launch(gate_backward, thread_an_eight(op.rows, op.inner), kThreads, 0, stream, op);
}

}  // namespace tdrm::gpu
