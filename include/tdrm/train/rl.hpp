// Reinforcement learning of the policy: GRPO with the rule's reward, a value model in the reward, or a value model as
// per-step baseline.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tdrm/reward/advantage.hpp"
#include "tdrm/reward/grpo.hpp"
#include "tdrm/rollout/answers.hpp"
#include "tdrm/train/rewards.hpp"
#include "tdrm/train/shuffle.hpp"
#include "tdrm/train/trainer.hpp"

namespace tdrm::train {

enum class AdvantageKind {
    group,  ///< one advantage an answer: its reward against those of its group
    gae,    ///< one a step: the reward against the value of the state before it (R - V(s_{k-1}) for lambda = 1)
};
[[nodiscard]] constexpr auto enum_names(AdvantageKind) {
    return std::array<std::pair<AdvantageKind, std::string_view>, 2>{
        {{AdvantageKind::group, "group"}, {AdvantageKind::gae, "gae"}}};
}

/// What the per-token losses are divided by.
enum class LossMean {
    token,     ///< all answer tokens of the global batch (DAPO; published)
    sequence,  ///< each answer by its own length, then answers (original GRPO)
};
[[nodiscard]] constexpr auto enum_names(LossMean) {
    return std::array<std::pair<LossMean, std::string_view>, 2>{
        {{LossMean::token, "token"}, {LossMean::sequence, "sequence"}}};
}

struct RlOptions {
    int problems = 32;                                ///< per update
    int samples = 8;                                  ///< answers per problem: the group
    std::vector<RewardPart> rewards{rule_reward(1)};  ///< the reward is their weighted sum
    AdvantageKind advantage = AdvantageKind::group;
    reward::GroupOptions group;
    double gamma = 1, lambda = 1;  ///< of gae
    bool whiten = false;           ///< advantages of the whole batch to mean 0 and deviation 1
    reward::GrpoOptions grpo;
    LossMean mean = LossMean::token;
    bool mask_truncated = false;  ///< cut answers don't train (otherwise their reward is 0)
    int epochs = 1;               ///< updates made of one batch of answers
    engine::SamplerOptions sampler;
    int unit_tokens = 512;
    int slots = 256;
};

/// An update's answers with what was made of them.
struct RlBatch {
    rollout::Trajectories answers;
    std::vector<float> values;         ///< logits of all states (rollout::state_offsets), empty without a value model
    std::vector<PartScores> parts;     ///< of the reward
    std::vector<double> reward;        ///< their weighted sum, per trajectory
    std::vector<float> advantage;      ///< per token
    std::vector<std::uint8_t> trains;  ///< per trajectory: has a gradient
};

/// Local. Rewards and advantages of a batch, the same on every rank. `values` may be empty where no value is used.
void assign_credit(RlBatch& batch, const RlOptions& options);

class RlObjective final : public Objective {
public:
    /// @param scorer of the frozen value model, or none @param reference frozen policy for beta > 0, or null
    RlObjective(comm::Communicator& ranks, const task::Task& task, std::string split, engine::Engine& policy,
                std::optional<rollout::Scorer> scorer, engine::Engine* reference, const RlOptions& options,
                std::uint64_t seed);

    void prepare(std::int64_t update) override;
    [[nodiscard]] const Units& units() const override { return units_; }
    [[nodiscard]] std::string unit_name(std::size_t unit) const override;
    [[nodiscard]] std::span<const std::string_view> sum_names() const override;
    Sums differentiate(std::size_t unit) override;
    void metrics(const Sums& sums, Metrics& out) const override;
    [[nodiscard]] bool resumable_at(std::int64_t updates) const override { return updates % options_.epochs == 0; }

    [[nodiscard]] const RlBatch& batch() const { return batch_; }
    /// Collective. Is told of each new batch, with the number of updates that the policy had made when it answered.
    void on_batch(std::function<void(std::int64_t update, const RlBatch& batch)> listener) {
        on_batch_ = std::move(listener);
    }

private:
    void cut();
    std::vector<float> reference_logprobs(const model::Forest& forest, std::span<const std::int32_t> rows,
                                          std::span<const std::int32_t> targets);

    comm::Communicator& ranks_;
    const task::Task& task_;
    std::string split_;
    engine::Engine& policy_;
    RlOptions options_;
    std::uint64_t seed_;
    rollout::Generator generator_;
    std::optional<rollout::Scorer> scorer_;
    engine::Engine* reference_;
    Shuffle shuffle_;
    RlBatch batch_;
    std::function<void(std::int64_t, const RlBatch&)> on_batch_;
    std::vector<std::size_t> rows_;  ///< trajectories that train
    Units units_;                    ///< of these
    double denominator_ = 1;
};

}  // namespace tdrm::train
