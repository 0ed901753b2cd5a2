// Several value models as one: an engine whose values are the mean over its members. Whatever reads values reads an
// ensemble, too: scoring, selection, search on cached segments.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "tdrm/engine/engine.hpp"

namespace tdrm::engine {

/// What members say of a state, taken together.
struct EnsembleValue {
    float logit = 0;      ///< logit of the mean of their probabilities
    float deviation = 0;  ///< of their probabilities: standard deviation with ddof 1
};
/// @param logits of the members, at least two
[[nodiscard]] EnsembleValue combined(std::span<const float> logits);

/// The same of many states.
struct EnsembleValues {
    std::vector<float> logit, deviation;
};
/// @param logits_MS of each member, of all states
[[nodiscard]] EnsembleValues combined(std::span<const std::vector<float>> logits_MS);

/// An engine of value models of equal sizes. It computes values alone: for tokens, training and numbers there are its
/// members. @throws BugError of everything else
class Ensemble final : public Engine {
public:
    /// @param members at least two, with value heads
    explicit Ensemble(std::vector<std::unique_ptr<Engine>> members);

    [[nodiscard]] bool has(Array) const override { return false; }
    void read(Array array, std::int64_t first, std::span<float> out) const override;
    void write(Array array, std::int64_t first, std::span<const float> values) override;
    Rows forward(const model::Forest& forest, std::span<const std::int32_t> rows, Keep keep) override;
    void token_logprobs(Rows rows, std::span<const std::int32_t> targets, float temperature, std::span<float> logp,
                        std::span<float> entropy) override;
    void token_logits(Rows rows, int row, std::span<float> logits) override;
    void values(Rows rows, const model::ReadOut& read_out, std::span<float> logits) override;
    [[nodiscard]] std::unique_ptr<Decoder> decoder(std::int64_t max_tokens, const SamplerOptions& sampler) override;
    void rest() override;
    void begin_training(const TrainingSetup& setup) override;
    void begin_update() override;
    void begin_unit() override;
    void token_loss(Rows rows, std::span<const std::int32_t> targets, float temperature,
                    const TokenLoss& loss) override;
    void value_loss(Rows rows, std::span<const float> d_logits) override;
    void backward(const model::Forest& forest) override;
    double end_unit(std::string_view unit) override;
    void collect(comm::Communicator& ranks) override;
    double reduce(comm::Communicator& ranks) override;
    void update(const AdamWStep& step, comm::Communicator& ranks) override;

private:
    std::vector<std::unique_ptr<Engine>> members_;
    std::vector<Rows> rows_;  ///< of the last pass, by member
    std::int64_t passes_ = 0;
};

/// One engine of value models: the only one itself, or an ensemble of them.
[[nodiscard]] std::unique_ptr<Engine> together(std::vector<std::unique_ptr<Engine>> members);

}  // namespace tdrm::engine
