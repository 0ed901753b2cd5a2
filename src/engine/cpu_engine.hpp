// The engine of processors: arithmetic of room `model` behind the contract, fp32 but for products (model::Products).
#pragma once

#include <optional>
#include <vector>

#include "cpu_training.hpp"
#include "tdrm/engine/engine.hpp"
#include "tdrm/model/transformer.hpp"

namespace tdrm::engine {

class CpuEngine final : public Engine {
public:
    explicit CpuEngine(const model::ModelSpec& spec, model::Products products = model::Products::fp32,
                       model::Use use = model::Use::training);

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

    void begin_training(const TrainingSetup& setup) override;
    void begin_update() override { training().begin_update(); }
    void begin_unit() override { training().begin_unit(); }
    void token_loss(Rows rows, std::span<const std::int32_t> targets, float temperature,
                    const TokenLoss& loss) override;
    void value_loss(Rows rows, std::span<const float> d_logits) override;
    void backward(const model::Forest& forest) override;
    double end_unit(std::string_view unit) override { return training().end_unit(unit); }
    void collect(comm::Communicator& ranks) override { training().collect(ranks); }
    double reduce(comm::Communicator& ranks) override { return training().reduce(ranks); }
    void update(const AdamWStep& step, comm::Communicator& ranks) override {
        training().update(model_.values(), step, ranks);
    }

private:
    friend class CpuDecoder;

    CpuTraining& training();
    /// The hidden states behind a handle.
    [[nodiscard]] const float* hidden(Rows rows) const;
    Rows passed(const float* hidden, std::size_t rows);
    float* d_hidden();

    model::Model model_;
    model::Transformer transformer_;
    model::Workspace work_;
    std::optional<CpuTraining> training_;
    const float* hidden_ = nullptr;  ///< of the last pass
    std::int64_t pass_ = 0;
    std::vector<std::int32_t> rows_;  ///< of the last pass with activations
    model::Floats d_hidden_;          ///< of those rows
    std::vector<float> given_;        ///< hidden states of a pass that wasn't computed
};

}  // namespace tdrm::engine
