// Training of value models: all states of a trajectory in one pass, targets from the values of that same pass.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "tdrm/reward/targets.hpp"
#include "tdrm/rollout/trajectories.hpp"
#include "tdrm/train/shuffle.hpp"
#include "tdrm/train/trainer.hpp"
#include "tdrm/train/value_data.hpp"

namespace tdrm::train {

/// loss = (1/W) sum over the states of the batch of w BCE(logit, target), W the sum of the weights w. Targets come from
/// reward::targets with the current values, without gradient through them.
class ValueObjective final : public Objective {
public:
    /// @param rows trajectories to train on @param batch trajectories per update
    /// @param labels per state of every trajectory of `data` (as rollout::state_offsets); empty where targets need none
    /// @param average a model of the same sizes for Bootstrap::ema, null otherwise. The objective keeps it; for a
    /// resumed
    ///   training it must be part of commits (TrainerOptions::companions)
    ValueObjective(const rollout::Trajectories& data, std::vector<std::size_t> rows, ValueLabels labels,
                   const task::Task& task, engine::Engine& value, const reward::TargetOptions& target,
                   std::uint64_t seed, int batch, int unit_tokens, engine::Engine* average = nullptr);
    /// From now on heads alone learn, from these hidden states of all states of `data`, `width` numbers each; the
    /// engines are of heads (head_spec). The numbers must outlive it.
    void learn_from(std::span<const float> features_SD) { features_ = features_SD; }
    /// From now on an update takes all rows once, in their order, those of a problem under one prompt.
    void take_all_in_order() {
        in_order_ = true;
        batch_ = static_cast<int>(rows_.size());
    }

    /// From now on `differentiate` tells what the model says of each trajectory's states before it learns from them.
    void on_values(std::function<void(std::size_t row, std::span<const float> logit_S)> listener) {
        on_values_ = std::move(listener);
    }

    void prepare(std::int64_t update) override;
    [[nodiscard]] const Units& units() const override { return units_; }
    [[nodiscard]] std::string unit_name(std::size_t unit) const override;
    [[nodiscard]] std::span<const std::string_view> sum_names() const override;
    Sums differentiate(std::size_t unit) override;
    void metrics(const Sums& sums, Metrics& out) const override;
    /// Sum of the weights of the prepared batch.
    [[nodiscard]] double weight() const { return weight_; }

private:
    [[nodiscard]] task::Tokens prompt_of(std::size_t row) const;
    /// Whether the i-th row of the batch stands under the prompt of the one before. @param begin of its unit
    [[nodiscard]] bool shares_prompt(std::size_t i, std::size_t begin) const {
        return in_order_ && i > begin && data_.problem[batch_rows_[i]] == data_.problem[batch_rows_[i - 1]];
    }
    [[nodiscard]] reward::StateTargets targets_of(std::size_t row, std::span<const float> logits,
                                                  std::span<const float> backed_up = {}) const;
    /// a <- d a + (1 - d) w over all weights; a <- w before the first update.
    void follow(std::int64_t update);

    const rollout::Trajectories& data_;
    std::vector<std::size_t> rows_;
    ValueLabels labels_;
    std::vector<std::size_t> state_offset_;
    const task::Task& task_;
    task::TokenSpan probe_;
    engine::Engine& value_;
    engine::Engine* average_;
    reward::TargetOptions target_;
    Shuffle shuffle_;
    int batch_;
    bool in_order_ = false;
    std::size_t unit_tokens_;
    std::vector<std::size_t> batch_rows_;
    Units units_;
    double weight_ = 0;  ///< of the whole batch
    std::span<const float> features_;
    std::vector<float> logits_, averaged_, d_logits_;
    std::function<void(std::size_t, std::span<const float>)> on_values_;
};

/// Sizes of a model that is a head alone: no layers, one token that nobody reads.
[[nodiscard]] model::ModelSpec head_spec(const model::ModelSpec& value_model);
/// Copies the head's weights between models of equal width.
void copy_head(const engine::Engine& from, engine::Engine& to);

/// Members of an ensemble that learn beside each other, each from its own part of the problems: an update is one of
/// each. Member m is trainee m. Figures are means over all members' states.
class EnsembleObjective final : public Objective {
public:
    /// @param members at least one; with one it is that objective
    explicit EnsembleObjective(std::vector<std::unique_ptr<ValueObjective>> members) : members_(std::move(members)) {}

    void prepare(std::int64_t update) override;
    [[nodiscard]] const Units& units() const override { return units_; }
    [[nodiscard]] std::size_t trainee_of(std::size_t unit) const override { return place(unit).first; }
    void before_commit() override {
        if (on_commit) on_commit();
    }
    [[nodiscard]] std::string unit_name(std::size_t unit) const override;
    [[nodiscard]] std::span<const std::string_view> sum_names() const override { return members_[0]->sum_names(); }
    Sums differentiate(std::size_t unit) override;
    void metrics(const Sums& sums, Metrics& out) const override;

    std::function<void()> on_commit;  ///< called before a commit, if there is one

private:
    /// Member and unit of its own.
    [[nodiscard]] std::pair<std::size_t, std::size_t> place(std::size_t unit) const;

    std::vector<std::unique_ptr<ValueObjective>> members_;
    Units units_;
};

/// Rows by member: problems are dealt to the members by (seed, problem id) alone.
[[nodiscard]] std::vector<std::vector<std::size_t>> member_rows(const rollout::Trajectories& data,
                                                                std::span<const std::size_t> rows, std::size_t members,
                                                                std::uint64_t seed);

/// Held-out quality of a value model: mean over the states whose truth is known.
struct ValueQuality {
    double log_loss, brier, auc, accuracy;
};
/// @param value_S of all states, as state_values gives them
/// @param truth_S of each of them in [0, 1], NaN where it isn't known; at least one is
[[nodiscard]] ValueQuality value_quality(std::span<const double> value_S, std::span<const float> truth_S);

/// What logits (as rollout::score gives them) say of the states of a table, in [0, 1]: sigmoid, or of a model of
/// hazards the chance of no error so far.
[[nodiscard]] std::vector<double> state_values(const rollout::Trajectories& data, std::span<const float> logits,
                                               bool hazards);

/// Adds the figures of values against each estimand: NAME/mse, ece, explained_variance, auc, auc_within.
void add_value_figures(const rollout::Trajectories& data, std::span<const double> value_S,
                       std::span<const rollout::Estimand> estimands, Metrics& out);
/// First state of each problem, and the number of states at the end.
[[nodiscard]] std::vector<std::size_t> problem_states(const rollout::Trajectories& data);

}  // namespace tdrm::train
