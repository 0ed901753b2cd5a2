// The engine of a device: bf16 products, fp32 sums, fp32 master weights, behind the contract.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "device_head.hpp"
#include "device_training.hpp"
#include "device_transformer.hpp"
#include "tdrm/base/bfloat16.hpp"
#include "tdrm/engine/engine.hpp"
#include "tdrm/gpu/device.hpp"

namespace tdrm::engine {

class DeviceEngine final : public Engine {
public:
    /// Weights are zero. @throws ConfigError naming what devices don't compute of such a model
    DeviceEngine(const model::ModelSpec& spec, std::unique_ptr<gpu::Device> device);

    [[nodiscard]] bool has(Array array) const override;
    void read(Array array, std::int64_t first, std::span<float> out) const override;
    void write(Array array, std::int64_t first, std::span<const float> values) override;

    Rows forward(const model::Forest& forest, std::span<const std::int32_t> rows, Keep keep) override;
    void token_logprobs(Rows rows, std::span<const std::int32_t> targets, float temperature, std::span<float> logp,
                        std::span<float> entropy) override;
    void token_logits(Rows rows, int row, std::span<float> logits) override;
    void values(Rows rows, const model::ReadOut& read_out, std::span<float> logits) override;
    void features(Rows rows, std::span<float> out) override;
    Rows with_features(std::span<const float> features) override;
    [[nodiscard]] std::unique_ptr<Decoder> decoder(std::int64_t max_tokens, const SamplerOptions& sampler) override;
    [[nodiscard]] std::unique_ptr<AdapterProducts> adapter_products(const Adapters& adapters) override;
    void rest() override;
    [[nodiscard]] std::size_t used_bytes() const { return device_->used_bytes(); }

    void begin_training(const TrainingSetup& setup) override;
    void begin_update() override { training().begin_update(); }
    void begin_unit() override { training().begin_unit(); }
    void token_loss(Rows rows, std::span<const std::int32_t> targets, float temperature,
                    const TokenLoss& loss) override;
    void value_loss(Rows rows, std::span<const float> d_logits) override;
    void backward(const model::Forest& forest) override;
    double end_unit(std::string_view unit) override { return training().end_unit(unit); }
    void collect_behind(comm::Communicator& ranks) override { training().collect_behind(ranks); }
    void collect(comm::Communicator& ranks) override { training().collect(ranks); }
    double reduce(comm::Communicator& ranks) override { return training().reduce(ranks); }
    void update(const AdamWStep& step, comm::Communicator& ranks) override { training().update(step, ranks); }

private:
    friend class DeviceAdapters;
    friend class DeviceDecoder;

    /// What computes, with all that passes leave.
    struct Passes {
        Passes(gpu::Device& device, const Engine& engine, const gpu::bf16* weights, Recompute recompute);
        DeviceTransformer transformer;
        DeviceHead head;
        gpu::Memory<gpu::bf16> given, d_hidden;
    };

    DeviceTraining& training();
    // Brought back where the engine rests.
    Passes& passes();
    gpu::bf16* weights();
    gpu::bf16* weights_to_change();  ///< what lies in the host's memory isn't true any more
    /// Gives back all that passes left.
    void end_passes();
    void check_range(std::int64_t first, std::size_t n) const;
    [[nodiscard]] const gpu::bf16* hidden(Rows rows) const;
    gpu::bf16* d_hidden(int rows);

    std::unique_ptr<gpu::Device> device_;
    gpu::Memory<gpu::bf16> weights_;
    std::vector<BFloat16> rested_;  ///< the weights, from the first rest to the next change of them
    std::optional<Passes> passes_;
    std::optional<DeviceTraining> training_;
    Recompute recompute_ = Recompute::none;
    const gpu::bf16* hidden_ = nullptr;  ///< of the last pass
    std::int64_t pass_ = 0;
};

}  // namespace tdrm::engine
