// The decoder on a device: what model::Transformer is for processors, in bf16. Weights, activations and the residual
// stream are bf16; what kernels add up is fp32, and so is the gradient of weights.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "attention_plan.hpp"
#include "tdrm/engine/engine.hpp"
#include "tdrm/gpu/device.hpp"
#include "tdrm/model/forest.hpp"
#include "tdrm/model/layout.hpp"
#include "tdrm/model/spec.hpp"

namespace tdrm::engine {

/// @throws ConfigError naming what a device doesn't compute yet
void require_device_support(const model::ModelSpec& spec);

/// A query plan on a device.
class DeviceQueryPlan {
public:
    explicit DeviceQueryPlan(gpu::Device& device) : tiles_(device), ranges_(device), row_of_(device), limits_(device) {}
    gpu::QueryPlan assign(const QueryTiles& tiles);

private:
    gpu::Memory<gpu::QueryTile> tiles_;
    gpu::Memory<gpu::KeyRange> ranges_;
    gpu::Memory<std::int32_t> row_of_, limits_;
};

/// Lists of rows (gpu::RowLists) on a device.
class DeviceRowLists {
public:
    explicit DeviceRowLists(gpu::Device& device) : target_(device), first_(device), rows_(device) {}
    /// Row i belongs to target[i]; within a list rows stay in order.
    gpu::RowLists assign(std::span<const std::int32_t> target);

private:
    gpu::Memory<std::int32_t> target_, first_, rows_;
};

/// Pages that a cached pass writes keys and values to, in one layer.
struct PageTarget {
    gpu::bf16* keys = nullptr;
    gpu::bf16* values = nullptr;
    const std::int32_t* places = nullptr;
};
/// How the rows of a pass attend.
struct PassAttention {
    std::function<PageTarget(int layer)> pages;  ///< none: keys and values stay in the flat run
    std::function<void(int layer, const gpu::bf16* qkv, gpu::bf16* mixed, float* lse)> attend;
};

class DeviceTransformer {
public:
    /// @param weights flat, in the layout's order. Outlived by both.
    /// @param recompute by backward passes
    DeviceTransformer(gpu::Device& device, const model::ModelSpec& spec, const model::Layout& layout,
                      const gpu::bf16* weights, Recompute recompute);

    /// Normed last hidden states of the given rows, as model::Transformer::forward.
    const gpu::bf16* forward(const model::Forest& forest, std::span<const std::int32_t> rows, bool for_backward);
    /// Any pass of tokens at positions.
    const gpu::bf16* run(std::span<const std::int32_t> tokens, std::span<const std::int32_t> positions,
                         std::span<const std::int32_t> rows, const PassAttention& attention, bool for_backward);
    /// After `forward` for it: adds to the flat gradient, given that of the rows.
    void backward(const model::Forest& forest, const gpu::bf16* d_hidden, float* gradient);

    [[nodiscard]] gpu::HeadShape shape() const { return {spec_.heads, spec_.kv_heads, spec_.head_dim}; }
    [[nodiscard]] float attention_scale() const;

private:
    /// What the forward pass of a layer leaves for the backward pass; model::LayerActivations says what each is.
    struct Activations {
        explicit Activations(gpu::Device& device);
        gpu::Memory<gpu::bf16> qkv, mixed, attended, middle, gate_up, fed;
        gpu::Memory<float> input_rstd, lse, attended_rstd, middle_rstd, fed_rstd;
    };
    /// A norm's gradient goes from dy to dx, and to its weight.
    struct NormGradient {
        gpu::bf16* dx;
        const gpu::bf16* residual;
        const gpu::bf16* dy;
        const gpu::bf16* x;
        const float* rstd;
        std::int64_t weight;
    };

    [[nodiscard]] const gpu::bf16* at(std::int64_t offset) const { return weights_ + offset; }
    [[nodiscard]] std::size_t area(int rows, int columns) const;
    void grow_rotary(int positions);

    /// Where the forward pass of a layer leaves what it makes.
    [[nodiscard]] Activations& kept_of(int l);
    [[nodiscard]] gpu::Memory<gpu::bf16>& gate_up_of(Activations& kept);
    void layer(int l, int rows, const PassAttention& attention, Activations& kept, bool for_backward);
    void gate_up(int l, int rows, const gpu::bf16* middle, Activations& kept);
    /// y_T(out) = beta y + x_T(in) W^T
    void multiply(gpu::bf16* y, const gpu::bf16* x, std::int64_t weight, int rows, int out, int in, float beta = 0);
    void norm(gpu::bf16* y, float* rstd, const gpu::bf16* x, std::int64_t weight, const gpu::bf16* residual, int rows);
    /// x += what a block adds, normed first where the model has such norms.
    void add_block(const gpu::bf16* in, std::int64_t weight, std::int64_t bias, std::int64_t norm,
                   gpu::Memory<gpu::bf16>& added, gpu::Memory<float>& added_rstd, int rows, int inner);

    void feed_forward_backward(int l, int rows, float* gradient);
    void attention_backward(int l, const model::Forest& forest, float* gradient);
    /// Gradients of y = x W^T: of W, into the flat gradient, and of x.
    void product_backward(gpu::bf16* dx, const gpu::bf16* dy, const gpu::bf16* x, std::int64_t weight, int rows,
                          int out, int in, float* gradient);
    void norm_backward(const NormGradient& of, int rows, float* gradient);
    void bias_backward(const gpu::bf16* dy, std::int64_t bias, int rows, int width, float* gradient);
    /// Gradient of what a block adds, before its norm, from that of x: dx itself without such norms.
    const gpu::bf16* block_gradient(std::int64_t norm, const gpu::Memory<gpu::bf16>& added,
                                    const gpu::Memory<float>& added_rstd, int rows, float* gradient);
    void plan_backward();

    gpu::Device& device_;
    const model::ModelSpec& spec_;
    const model::Layout& layout_;
    const gpu::bf16* weights_;
    Recompute recompute_;
    std::vector<gpu::Memory<gpu::bf16>> inputs_;  ///< of the layers, of the last pass for a backward one
    std::vector<Activations> layers_;
    Activations shared_;       ///< of a layer at a time: what is computed again
    PassAttention attention_;  ///< of the last pass for a backward one
    gpu::Memory<gpu::bf16> x_, normed_, inner_, top_rows_, top_;
    gpu::Memory<float> top_rstd_;
    gpu::Memory<std::int32_t> tokens_, positions_, rows_;
    std::vector<std::int32_t> row_indices_;  ///< of the last pass for a backward one
    gpu::Memory<float> cosine_, sine_;
    int rotary_positions_ = 0;
    gpu::Rotary rotary_{};

    // Of the backward pass.
    gpu::Memory<gpu::bf16> dx_, d_rows_, d_block_, d_normed_, d_inner_, d_qkv_, d_mixed_;
    gpu::Memory<float> partials_, delta_, dq_, dk_, dv_;
    DeviceQueryPlan plan_memory_;
    DeviceRowLists lists_;
    gpu::Memory<gpu::KeyTile> key_tiles_;
    gpu::Memory<gpu::KeyChunk> chunks_;
    gpu::Memory<gpu::QueryPart> parts_;
    gpu::QueryPlan query_plan_{};
    std::optional<AttentionPlan> plan_;
};

}  // namespace tdrm::engine
