#include "tdrm/train/rewards.hpp"

#include "tdrm/train/rl.hpp"

namespace tdrm::train {

RewardPart rule_reward(double weight) {
    return {"rule", weight, [](const RlBatch& batch) {
                return std::vector<double>(batch.answers.outcome.begin(), batch.answers.outcome.end());
            }};
}

RewardPart value_reward(double weight, reward::ScoreAt at, reward::ValueScale scale, const task::Task& task) {
    return {"value", weight, [at, scale, &task](const RlBatch& batch) {
                const auto& answers = batch.answers;
                const auto states = rollout::state_offsets(answers);
                std::vector<double> score;
                for (std::size_t row = 0; row < answers.size(); ++row)
                    score.push_back(
                        reward::value_score(std::span(batch.values).subspan(states[row], states[row + 1] - states[row]),
                                            at, scale, task.penultimate(answers.ids(row), answers.step_ends(row))));
                return score;
            }};
}

}  // namespace tdrm::train
