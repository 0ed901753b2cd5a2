// What an answer is worth: a sum of named parts.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tdrm/base/command_pool.hpp"
#include "tdrm/comm/communicator.hpp"
#include "tdrm/reward/advantage.hpp"
#include "tdrm/task/task.hpp"

namespace tdrm::train {

struct RlBatch;

/// What a score is of. Actions are the steps of an answer, then what stands behind its last step: T + 1 of them, as
/// many as states.
enum class Grain { answer, action, token };

/// Over what a part is brought to mean 0 and deviation 1 before it is weighted.
enum class Normalise { none, group, batch };
[[nodiscard]] constexpr auto enum_names(Normalise) {
    using enum Normalise;
    return std::array<std::pair<Normalise, std::string_view>, 3>{{{none, "none"}, {group, "group"}, {batch, "batch"}}};
}
struct Normalisation {
    Normalise over = Normalise::none;
    double floor = 1e-4;  ///< a smaller deviation counts as this, so that noise isn't blown up
};

/// A part of the reward: how it scores the answers of a batch, and what its score weighs. A part of weight 0 is only
/// looked at.
struct RewardPart {
    std::string name;
    double weight = 1;
    Grain grain = Grain::answer;
    Normalisation normalisation{};
    /// A score for each answer, action or token of the batch, in its order; NaN for an action that has none. The same
    /// on every rank; collective.
    std::function<std::vector<double>(const RlBatch& batch)> score;
};

/// What a part said about a batch.
struct PartScores {
    std::string name;
    double weight = 1;
    Grain grain = Grain::answer;
    std::vector<double> score;   ///< as it was given, by grain
    std::vector<double> reward;  ///< normalised and weighted, by grain; 0 where there is no score
    std::vector<double> answer;  ///< sum of `reward` over each answer
};
/// Collective. Scores of a part, normalised and weighted.
[[nodiscard]] PartScores scores_of(const RewardPart& part, const RlBatch& batch);

/// The rule's verdict: 0 or 1.
[[nodiscard]] RewardPart rule_reward(double weight);

/// How a value model's opinion of an answer's states becomes a reward. V_t is the value of s_t in the chosen scale.
enum class ValueForm {
    state,       ///< V of one state, at the end of the answer (published: the penultimate one's logit)
    difference,  ///< V_{t+1} - V_t for each step: its progress (PAV, arXiv 2410.08146, with a model of another policy)
    minimum,     ///< V_{t+1} times its softmin share, exp(-V / temperature) / sum: about the worst step's (PURE,
                 ///< 2504.15275)
    hazard,      ///< log(1 - h_{t+1}) for each step, of models of hazards (2509.26578)
    tie_break,   ///< V of one state less its mean among the group's answers of equal outcome
};
[[nodiscard]] constexpr auto enum_names(ValueForm) {
    using enum ValueForm;
    return std::array<std::pair<ValueForm, std::string_view>, 5>{{{state, "state"},
                                                                  {difference, "difference"},
                                                                  {minimum, "minimum"},
                                                                  {hazard, "hazard"},
                                                                  {tie_break, "tie_break"}}};
}
struct ValueRewardOptions {
    ValueForm form = ValueForm::state;
    reward::ScoreAt at = reward::ScoreAt::penultimate;  ///< of state and tie_break
    reward::ValueScale scale = reward::ValueScale::logit;
    double temperature = 0.1;  ///< of minimum
};
/// Of the batch's value model. The task must outlive it.
[[nodiscard]] RewardPart value_reward(double weight, const ValueRewardOptions& options, const task::Task& task);
/// Rewards of the steps of one answer, one per action, the last one (behind the last step) being 0; for the forms of
/// steps. An answer without a step has one, of s_0, for minimum and hazard.
[[nodiscard]] std::vector<double> step_rewards(std::span<const float> value_logit_S, const ValueRewardOptions& options);

/// -tokens / longest, `longest` being what answers may have.
[[nodiscard]] RewardPart length_reward(double weight, int longest);
/// 0 up to longest - buffer tokens, then falling evenly to -1 at `longest` (DAPO's soft punishment, arXiv 2503.14476).
[[nodiscard]] RewardPart overlong_reward(double weight, int longest, int buffer);
/// Minus the share of an answer's runs of `tokens` tokens that occurred in it before.
[[nodiscard]] RewardPart repetition_reward(double weight, int tokens);
/// What a user's program says of each answer, or of each of its steps: the "score", or the "scores", of its replies.
/// Collective: each rank asks its own processes about its share. An item is
///   {"problem": index in the split, "question": text, "gold": text, "answer": text, "steps": [texts], "right": 0 or
///   1}.
/// @param pool lives as long as the part @throws as CommandPool::ask, on every rank
[[nodiscard]] RewardPart command_reward(double weight, Grain grain, std::shared_ptr<CommandPool> pool,
                                        comm::Communicator& ranks, const task::Task& task);
/// Minus the divergence from the reference at each token (RlBatch::divergence).
[[nodiscard]] RewardPart kl_reward(double weight);

}  // namespace tdrm::train
