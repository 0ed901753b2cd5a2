// What an answer is worth: a sum of named parts.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tdrm/reward/advantage.hpp"
#include "tdrm/task/task.hpp"

namespace tdrm::train {

struct RlBatch;

/// A part of the reward: how it scores the answers of a batch, and what its score weighs. A part of weight 0 is only
/// looked at.
struct RewardPart {
    std::string name;
    double weight = 1;
    /// A score for each trajectory. The same on every rank; local.
    std::function<std::vector<double>(const RlBatch& batch)> score;
};

/// The rule's verdict: 0 or 1.
[[nodiscard]] RewardPart rule_reward(double weight);
/// The value of a state of the answer, of the batch's value model. The task must outlive it.
[[nodiscard]] RewardPart value_reward(double weight, reward::ScoreAt at, reward::ValueScale scale,
                                      const task::Task& task);

/// What a part said about a batch.
struct PartScores {
    std::string name;
    double weight = 1;
    std::vector<double> score;  ///< per trajectory, not weighted
    [[nodiscard]] double weighted(std::size_t row) const { return weight == 0 ? 0 : weight * score[row]; }
};

}  // namespace tdrm::train
