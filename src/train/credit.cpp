#include "tdrm/train/credit.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "tdrm/base/errors.hpp"
#include "tdrm/reward/loss.hpp"

namespace tdrm::train {
namespace {

/// The batch in terms of actions: T + 1 an answer, the last one being what stands behind the last step.
class Credit {
public:
    Credit(RlBatch& batch, const CreditOptions& options)
        : batch_(batch), options_(options), answers_(batch.answers), states_(rollout::state_offsets(answers_)) {
        batch.advantage.assign(answers_.token.size(), 0.0F);
        for (const float logit : batch.values) values_.push_back(reward::sigmoid(static_cast<double>(logit)));
        collect();
    }

    void group(const reward::GroupOptions& how) {
        for (const auto& [begin, end] : answers_.groups()) {
            const auto rewards = std::span(answer_reward_).subspan(begin, end - begin);
            if (action_reward_.empty()) {
                const auto advantages = reward::group_advantages(rewards, how);
                for (std::size_t row = begin; row < end; ++row)
                    set(row, std::vector<double>(actions(row), advantages[row - begin]));
                continue;
            }
            std::vector<std::vector<double>> to_go;
            for (std::size_t row = begin; row < end; ++row) to_go.push_back(to_go_of(row));
            const auto advantages = reward::group_advantages(rewards, to_go, how);
            for (std::size_t row = begin; row < end; ++row) set(row, advantages[row - begin]);
        }
    }

    void gae() {
        for (std::size_t row = 0; row < answers_.size(); ++row) set(row, gae_of(row, values_of(row)));
    }

    /// R + Q - (w mean of the others' R + (1 - w) V), V of the state before the step where values explain outcomes, of
    /// the prompt where they don't.
    void shrinkage(double explained_before) {
        reward::BaselineEvidence evidence;
        const auto groups = answers_.groups();
        for (const auto& [begin, end] : groups) {
            evidence.reward_PG.emplace_back(batch_.reward.begin() + static_cast<std::ptrdiff_t>(begin),
                                            batch_.reward.begin() + static_cast<std::ptrdiff_t>(end));
            evidence.value_P.push_back(values_of(begin)[0]);
        }
        const auto weight = reward::shrinkage_weights(evidence);
        for (std::size_t p = 0; p < groups.size(); ++p) {
            const auto& rewards = evidence.reward_PG[p];
            double sum = 0;
            for (const double r : rewards) sum += r;
            for (std::size_t row = groups[p].first; row < groups[p].second; ++row) {
                const double own = batch_.reward[row];
                const double others = rewards.size() > 1 ? (sum - own) / static_cast<double>(rewards.size() - 1) : 0;
                const auto values = values_of(row);
                std::vector<double> advantage = to_go_of(row);
                for (std::size_t k = 0; k < advantage.size(); ++k) {
                    const double value = values[explained_before > 0 ? k : 0];
                    advantage[k] += answer_reward_[row] - (weight[p] * others + (1 - weight[p]) * value);
                }
                set(row, advantage);
            }
        }
    }

    /// A(n) = (v(n) - v(root) + v(n) - v(before n)) / sqrt(answers below n) for each piece n that answers share, v the
    /// mean reward of the answers below, root all answers of the problem (TreeRL, arXiv 2506.11902).
    void tree() {
        ensure(batch_.forks.size() == answers_.size(), "trees know where their answers fork");
        for (const auto& [begin, end] : answers_.groups()) {
            std::vector<std::size_t> all(end - begin);
            std::iota(all.begin(), all.end(), begin);
            for (std::size_t row = begin; row < end; ++row) set_pieces(row, begin, end, mean_reward(all));
        }
    }

    /// What later tokens get is an earlier token's merit, without a baseline.
    void add_token_rewards() {
        for (const PartScores& part : batch_.parts) {
            if (part.grain != Grain::token) continue;
            for (std::size_t row = 0; row < answers_.size(); ++row) {
                double to_go = 0;
                for (auto t = answers_.token_offset[row + 1]; t-- > answers_.token_offset[row];) {
                    to_go += part.reward[static_cast<std::size_t>(t)];
                    batch_.advantage[static_cast<std::size_t>(t)] += static_cast<float>(to_go);
                }
            }
        }
    }

private:
    /// Rewards that come at the end of answers, and those that come with actions. Of tokens' rewards only the sum
    /// counts here, in batch.reward.
    void collect() {
        answer_reward_.assign(answers_.size(), 0.0);
        batch_.reward.assign(answers_.size(), 0.0);
        for (const PartScores& part : batch_.parts) {
            for (std::size_t row = 0; row < answers_.size(); ++row) {
                batch_.reward[row] += part.answer[row];
                if (part.grain == Grain::answer) answer_reward_[row] += part.answer[row];
            }
            if (part.grain != Grain::action || part.weight == 0) continue;
            action_reward_.resize(states_.back());
            for (std::size_t s = 0; s < action_reward_.size(); ++s) action_reward_[s] += part.reward[s];
        }
    }

    [[nodiscard]] std::size_t actions(std::size_t row) const { return states_[row + 1] - states_[row]; }
    [[nodiscard]] std::span<const double> values_of(std::size_t row) const {
        ensure(!values_.empty(), "this advantage needs a value model");
        return std::span(values_).subspan(states_[row], actions(row));
    }
    /// Reward of the actions from each on; zeros where no part scores actions.
    [[nodiscard]] std::vector<double> to_go_of(std::size_t row) const {
        std::vector<double> to_go(actions(row));
        if (action_reward_.empty()) return to_go;
        double sum = 0;
        for (std::size_t k = to_go.size(); k-- > 0;) to_go[k] = sum += action_reward_[states_[row] + k];
        return to_go;
    }
    [[nodiscard]] std::vector<double> gae_of(std::size_t row, std::span<const double> values) const {
        const std::size_t steps = values.size() - 1;
        std::vector<double> rewards;
        double last = answer_reward_[row];
        if (!action_reward_.empty()) {
            const auto begin = action_reward_.begin() + static_cast<std::ptrdiff_t>(states_[row]);
            rewards.assign(begin, begin + static_cast<std::ptrdiff_t>(steps));
            last += action_reward_[states_[row] + steps];
        }
        const double lambda = options_.adaptive
                                  ? reward::adaptive_lambda(*options_.adaptive, static_cast<std::int64_t>(steps))
                                  : options_.lambda;
        return reward::step_advantages(values, last, options_.gamma, lambda, rewards);
    }
    void set(std::size_t row, std::span<const double> advantage_A) {
        const auto tokens = reward::token_advantages(advantage_A, answers_.step_ends(row),
                                                     static_cast<std::int64_t>(answers_.ids(row).size()));
        std::copy(tokens.begin(), tokens.end(), batch_.advantage.begin() + answers_.token_offset[row]);
    }

    [[nodiscard]] double mean_reward(const std::vector<std::size_t>& rows) const {
        double sum = 0;
        for (const std::size_t row : rows) sum += batch_.reward[row];
        return sum / static_cast<double>(rows.size());
    }
    /// Advantages of an answer's tokens, piece by piece: a piece ends where another answer forks off.
    void set_pieces(std::size_t row, std::size_t begin, std::size_t end, double root) {
        std::set<std::size_t> cuts{0};
        for (std::size_t other = begin; other < end; ++other)
            cuts.insert(static_cast<std::size_t>(batch_.forks[other].tokens));
        double advantage = 0, mean = root;
        std::vector<std::size_t> piece;  // answers that share it
        for (std::size_t t = 0; t < answers_.ids(row).size(); ++t) {
            if (cuts.contains(t)) {
                std::vector<std::size_t> below;
                for (std::size_t other = begin; other < end; ++other)
                    if (rollout::owner_of(batch_.forks, other, t) == rollout::owner_of(batch_.forks, row, t))
                        below.push_back(other);
                if (below != piece) {
                    const double before = mean;
                    mean = mean_reward(below);
                    advantage = (mean - root + mean - before) / std::sqrt(static_cast<double>(below.size()));
                    piece = std::move(below);
                }
            }
            batch_.advantage[static_cast<std::size_t>(answers_.token_offset[row]) + t] = static_cast<float>(advantage);
        }
    }

    RlBatch& batch_;
    const CreditOptions& options_;
    const rollout::Trajectories& answers_;
    std::vector<std::size_t> states_;
    std::vector<double> values_;         ///< probabilities of all states
    std::vector<double> answer_reward_;  ///< per trajectory
    std::vector<double> action_reward_;  ///< per action; empty where no part scores them
};

double variance(std::span<const double> numbers) {
    double sum = 0, squares = 0;
    for (const double x : numbers) sum += x;
    const double mean = sum / static_cast<double>(numbers.size());
    for (const double x : numbers) squares += (x - mean) * (x - mean);
    return squares / static_cast<double>(numbers.size());
}

}  // namespace

std::span<const float> RlBatch::old_of(std::size_t row) const {
    const auto begin = static_cast<std::size_t>(answers.token_offset[row]);
    return old.empty() ? answers.logprobs(row) : std::span(old).subspan(begin, answers.ids(row).size());
}

std::span<const float> RlBatch::advantage_of(std::size_t row) const {
    return std::span(advantage).subspan(static_cast<std::size_t>(answers.token_offset[row]), answers.ids(row).size());
}

double explained_variance(const RlBatch& batch) {
    const auto states = rollout::state_offsets(batch.answers);
    ensure(batch.values.size() == states.back(), "values of all states");
    std::vector<double> outcome, rest;
    for (std::size_t row = 0; row < batch.answers.size(); ++row) {
        const auto counts = reward::action_tokens(batch.answers.step_ends(row), std::ssize(batch.answers.ids(row)));
        for (std::size_t k = 0; k < counts.size(); ++k) {
            if (counts[k] == 0) continue;
            outcome.push_back(static_cast<double>(batch.answers.outcome[row]));
            rest.push_back(outcome.back() - reward::sigmoid(static_cast<double>(batch.values[states[row] + k])));
        }
    }
    const double whole = outcome.empty() ? 0 : variance(outcome);
    return whole > 0 ? 1 - variance(rest) / whole : 0;
}

void assign_credit(RlBatch& batch, const CreditOptions& options, double explained_before) {
    batch.parts.clear();
    for (const RewardPart& part : options.rewards) batch.parts.push_back(scores_of(part, batch));
    Credit credit(batch, options);
    switch (options.advantage) {
        case AdvantageKind::group:
            credit.group(options.group);
            break;
        case AdvantageKind::gae:
            credit.gae();
            break;
        case AdvantageKind::shrinkage:
            credit.shrinkage(explained_before);
            break;
        case AdvantageKind::gated:
            if (explained_before > 0) {
                credit.gae();
            } else {
                credit.group({.divide_by_std = false, .leave_one_out = true});
            }
            break;
        case AdvantageKind::tree:
            credit.tree();
            break;
    }
    credit.add_token_rewards();
    if (!options.whiten) return;
    std::vector<double> all(batch.advantage.begin(), batch.advantage.end());
    reward::whiten(all, std::vector<double>(all.size(), 1.0));
    std::copy(all.begin(), all.end(), batch.advantage.begin());
}

}  // namespace tdrm::train
