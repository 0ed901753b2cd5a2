// Training of value models: all states of a trajectory in one pass, targets from the values of that same pass.
#pragma once

#include <vector>

#include "tdrm/reward/targets.hpp"
#include "tdrm/rollout/trajectories.hpp"
#include "tdrm/train/shuffle.hpp"
#include "tdrm/train/trainer.hpp"

namespace tdrm::train {

/// loss = (1/W) sum over the states of the batch of w BCE(logit, target), W the sum of the weights w. Targets come from
/// reward::targets with the current values, without gradient through them.
class ValueObjective final : public Objective {
public:
    /// @param rows trajectories to train on @param batch trajectories per update
    /// @param labels per state of every trajectory of `data` (as rollout::state_offsets), for target kind step_label
    ValueObjective(const rollout::Trajectories& data, std::vector<std::size_t> rows, std::vector<float> labels,
                   const task::Task& task, engine::Engine& value, const reward::TargetOptions& target,
                   std::uint64_t seed, int batch, int unit_tokens);

    void prepare(std::int64_t update) override;
    [[nodiscard]] const Units& units() const override { return units_; }
    [[nodiscard]] std::string unit_name(std::size_t unit) const override;
    [[nodiscard]] std::span<const std::string_view> sum_names() const override;
    Sums differentiate(std::size_t unit) override;
    void metrics(const Sums& sums, Metrics& out) const override;

private:
    [[nodiscard]] task::Tokens prompt_of(std::size_t row) const;
    [[nodiscard]] reward::StateTargets targets_of(std::size_t row, std::span<const float> logits) const;

    const rollout::Trajectories& data_;
    std::vector<std::size_t> rows_;
    std::vector<float> labels_;
    std::vector<std::size_t> state_offset_;
    const task::Task& task_;
    task::TokenSpan probe_;
    engine::Engine& value_;
    reward::TargetOptions target_;
    Shuffle shuffle_;
    int batch_;
    std::size_t unit_tokens_;
    std::vector<std::size_t> batch_rows_;
    Units units_;
    double weight_ = 0;  ///< of the whole batch
    std::vector<float> logits_, d_logits_;
};

/// Held-out quality of a value model: mean over the states whose truth is known.
struct ValueQuality {
    double log_loss, brier, auc, accuracy;
};
/// @param logits of all states, as rollout::score gives them
/// @param truth of each of them in [0, 1], NaN where it isn't known; at least one is
[[nodiscard]] ValueQuality value_quality(std::span<const float> logits, std::span<const float> truth);

}  // namespace tdrm::train
