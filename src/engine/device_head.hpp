// What is read off last hidden states on a device: log-probs of tokens, values, and their gradients.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "device_gradient.hpp"
#include "tdrm/engine/engine.hpp"
#include "tdrm/gpu/device.hpp"

namespace tdrm::engine {

class DeviceHead {
public:
    /// Rows of logits held at once.
    static constexpr int kChunk = 1024;

    /// @param weights flat, in the layout's order. Outlived by all.
    DeviceHead(gpu::Device& device, const model::ModelSpec& spec, const model::Layout& layout,
               const gpu::bf16* weights);

    /// fp32 logits of at most kChunk rows, `pitch()` numbers from row to row; valid until the next call of any
    /// function.
    float* logits(const gpu::bf16* hidden, int rows);
    [[nodiscard]] int pitch() const { return (spec_.vocab + 7) / 8 * 8; }

    // As the engine's functions of these names.
    void token_logprobs(const gpu::bf16* hidden, std::span<const std::int32_t> targets, float temperature,
                        std::span<float> logp, std::span<float> entropy);
    /// @param d_hidden is written @param gradient is added to
    void token_loss(const gpu::bf16* hidden, std::span<const std::int32_t> targets, float temperature,
                    const TokenLoss& loss, gpu::bf16* d_hidden, const DeviceGradient& gradient);
    void values(const gpu::bf16* hidden, const model::ReadOut& read_out, std::span<float> values);
    void value_loss(const gpu::bf16* hidden, std::span<const float> d_values, gpu::bf16* d_hidden,
                    const DeviceGradient& gradient);

private:
    /// Of each label of the value head, behind one another.
    void read_labels(const gpu::bf16* hidden, std::span<float> z);
    /// ReLU(hidden W^T + b) of a value head with a hidden layer; hidden itself without.
    const gpu::bf16* head_input(const gpu::bf16* hidden, int rows);
    /// What logits of the language head are multiplied with.
    [[nodiscard]] float logit_scale() const { return static_cast<float>(1 / spec_.logit_divisor); }
    /// Log-probs and entropies of a chunk's logits, on the host.
    void read_chunk(const float* logits, std::span<const std::int32_t> targets, float temperature,
                    std::span<float> logp, std::span<float> entropy);
    [[nodiscard]] const gpu::bf16* at(std::int64_t offset) const { return weights_ + offset; }
    [[nodiscard]] std::size_t width() const { return static_cast<std::size_t>(spec_.width); }

    gpu::Device& device_;
    const model::ModelSpec& spec_;
    const model::Layout& layout_;
    const gpu::bf16* weights_;
    gpu::Memory<float> logits_, logp_, entropy_, coefficient_, values_;
    gpu::Memory<std::int32_t> targets_;
    gpu::Memory<gpu::bf16> inner_;  ///< of a value head with a hidden layer
};

}  // namespace tdrm::engine
