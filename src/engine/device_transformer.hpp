// The decoder on a device: what model::Transformer is for processors, in bf16. Weights, activations and the residual
// stream are bf16; what kernels add up is fp32, and so is the gradient of weights.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "attention_plan.hpp"
#include "device_gradient.hpp"
#include "device_rotary.hpp"
#include "tdrm/engine/engine.hpp"
#include "tdrm/gpu/device.hpp"
#include "tdrm/model/forest.hpp"
#include "tdrm/model/layout.hpp"
#include "tdrm/model/spec.hpp"

namespace tdrm::engine {

/// @throws ConfigError naming sizes that a device doesn't compute
void require_device_support(const model::ModelSpec& spec);

/// A query plan on a device.
class DeviceQueryPlan {
public:
    explicit DeviceQueryPlan(gpu::Device& device) : tiles_(device), ranges_(device), row_of_(device), seen_(device) {}
    gpu::QueryPlan assign(const QueryTiles& tiles);

private:
    gpu::Memory<gpu::QueryTile> tiles_;
    gpu::Memory<gpu::KeyRange> ranges_;
    gpu::Memory<std::int32_t> row_of_;
    gpu::Memory<gpu::SeenKeys> seen_;
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

/// How a forest attends in layers of one window, on a device.
class DeviceForestPlan {
public:
    explicit DeviceForestPlan(gpu::Device& device)
        : queries_memory_(device), key_tiles_(device), chunks_(device), parts_(device) {}
    void assign(const model::Forest& forest, bool for_backward, int window);

    [[nodiscard]] const gpu::QueryPlan& queries() const { return queries_; }
    // Of a backward pass.
    [[nodiscard]] const gpu::KeyChunk* chunks() const { return chunks_.data(); }
    [[nodiscard]] const gpu::QueryPart* parts() const { return parts_.data(); }
    [[nodiscard]] const gpu::KeyTile* key_tiles() const { return key_tiles_.data(); }
    [[nodiscard]] int num_chunks() const { return num_chunks_; }
    [[nodiscard]] int num_key_tiles() const { return num_key_tiles_; }
    [[nodiscard]] int num_shares() const { return num_shares_; }

private:
    DeviceQueryPlan queries_memory_;
    gpu::Memory<gpu::KeyTile> key_tiles_;
    gpu::Memory<gpu::KeyChunk> chunks_;
    gpu::Memory<gpu::QueryPart> parts_;
    gpu::QueryPlan queries_{};
    int num_chunks_ = 0, num_key_tiles_ = 0, num_shares_ = 0;
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
    std::function<void(const model::Layer& layer, const gpu::bf16* qkv, gpu::bf16* mixed, float* lse)> attend;
};
/// What the rows of a pass are.
struct PassTokens {
    std::span<const std::int32_t> tokens, positions;
    std::span<const std::int32_t> lengths;  ///< of their trees, where frequencies depend on them
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
    const gpu::bf16* run(const PassTokens& of, std::span<const std::int32_t> rows, const PassAttention& attention,
                         bool for_backward);
    /// After `forward` for it: adds to the gradient, given that of the rows. @param finish_slice is called when one of
    /// its slices is done
    void backward(const model::Forest& forest, const gpu::bf16* d_hidden, const DeviceGradient& gradient,
                  const std::function<void()>& finish_slice);

    [[nodiscard]] gpu::HeadShape shape() const { return {spec_.heads, spec_.kv_heads, spec_.head_dim}; }
    [[nodiscard]] bool depends_on_length() const { return rotary_.depends_on_length(); }

private:
    /// What the forward pass of a layer leaves for the backward pass; model::LayerActivations says what each is.
    struct Activations {
        explicit Activations(gpu::Device& device);
        gpu::Memory<gpu::bf16> qkv, heads, mixed, attended, middle, gate_up, fed;
        gpu::Memory<float> input_rstd, heads_rstd, lse, attended_rstd, middle_rstd, fed_rstd;
    };
    /// A norm's gradient goes from dy to dx, and to its weight.
    struct NormGradient {
        gpu::bf16* dx;
        const gpu::bf16* residual;
        const gpu::bf16* dy;
        const gpu::bf16* x;
        const float* rstd;
        const model::Norm& norm;
        gpu::RowGrid dy_grid = {}, x_grid = {};
    };
    /// Queries or keys of all rows, which are normed in pieces: where they begin in rows q | k | v and in those of
    /// heads, and the number of the first rstd.
    struct HeadsOfRows {
        const model::Norm& norm;
        std::size_t at, first_rstd;
        int pieces;
    };

    [[nodiscard]] const gpu::bf16* at(std::int64_t offset) const { return weights_ + offset; }
    [[nodiscard]] std::size_t area(int rows, int columns) const;

    /// Where the forward pass of a layer leaves what it makes.
    [[nodiscard]] Activations& kept_of(int l);
    [[nodiscard]] gpu::Memory<gpu::bf16>& gate_up_of(Activations& kept);
    void layer(int l, int rows, const PassAttention& attention, Activations& kept, bool for_backward);
    void gate_up(int l, int rows, const gpu::bf16* middle, Activations& kept);
    /// q | k | v from what a layer computes from; queries and keys normed where the model has such norms.
    void project(const model::Layer& layer, int rows, const gpu::bf16* in, Activations& kept, const PageTarget& pages);
    void norm_heads(const model::Layer& layer, int rows, Activations& kept);
    [[nodiscard]] std::array<HeadsOfRows, 2> heads_of(const model::Layer& layer, int rows) const;
    /// y = beta y + alpha x_T(in) W^T, without the bias
    void multiply(gpu::bf16* y, const gpu::bf16* x, const model::Linear& linear, int rows, float beta = 0,
                  float alpha = 1);
    /// What a block computes from: x, normed where there is a norm before it.
    const gpu::bf16* block_input(const model::Norm& before, const gpu::bf16* x, float* rstd, int rows);
    void norm(gpu::bf16* y, float* rstd, const gpu::bf16* x, const model::Norm& norm, const gpu::bf16* residual,
              int rows);
    /// x += scale times what a block adds, normed first where the model has such norms.
    void add_block(const gpu::bf16* in, const model::Linear& last, const model::Norm& after, float scale,
                   gpu::Memory<gpu::bf16>& added, gpu::Memory<float>& added_rstd, int rows);

    void feed_forward_backward(const model::Layer& layer, int rows, const DeviceGradient& gradient);
    void attention_backward(const model::Layer& layer, int rows, const DeviceGradient& gradient);
    void norm_heads_backward(const model::Layer& layer, int rows, const Activations& kept, gpu::bf16* d_qkv,
                             const DeviceGradient& gradient);
    /// Gradients of y = alpha x W^T: of W and its bias, and dx = beta dx + that of x.
    void linear_backward(gpu::bf16* dx, const gpu::bf16* dy, const gpu::bf16* x, const model::Linear& linear, int rows,
                         const DeviceGradient& gradient, float beta = 0, float alpha = 1);
    /// dx += the gradient of what a block computes from, given that of y = x W^T.
    void block_input_backward(const gpu::bf16* dy, const gpu::bf16* x, const float* rstd, const model::Linear& first,
                              const model::Norm& before, int rows, const DeviceGradient& gradient);
    void norm_backward(const NormGradient& of, int rows, const DeviceGradient& gradient);
    /// Gradient of what a block adds, before its norm, from that of x: dx itself without such norms.
    const gpu::bf16* block_gradient(const model::Norm& after, const gpu::Memory<gpu::bf16>& added,
                                    const gpu::Memory<float>& added_rstd, int rows, const DeviceGradient& gradient);
    /// The plan of the last forest in such layers.
    [[nodiscard]] const DeviceForestPlan& plan_of(const model::Layer& layer) const;

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
    gpu::Memory<std::int32_t> tokens_, rows_;
    std::vector<std::int32_t> row_indices_;  ///< of the last pass for a backward one
    DeviceRotary rotary_;
    DeviceForestPlan plan_, window_plan_;
    bool windowed_ = false;  ///< the last forest has tokens that a window doesn't reach
    std::vector<std::int32_t> lengths_;

    // Of the backward pass.
    gpu::Memory<gpu::bf16> dx_, d_rows_, d_block_, d_normed_, d_inner_, d_qkv_, d_mixed_;
    gpu::Memory<float> partials_, delta_, dq_, dk_, dv_;
    DeviceRowLists lists_;
};

}  // namespace tdrm::engine
