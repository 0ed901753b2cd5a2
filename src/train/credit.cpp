#include "tdrm/train/credit.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/options.hpp"
#include "tdrm/eval/moments.hpp"
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

    /// R + Q - (w mean of the others' R + Q of the same action + (1 - w) V), V of the state before the step where
    /// values explain outcomes, of the prompt where they don't. Those that have no such action have Q = 0.
    void shrinkage(double explained_before) {
        const auto groups = answers_.groups();
        const auto doubts = doubts_of(groups);
        for (std::size_t p = 0; p < groups.size(); ++p) {
            const auto [begin, end] = groups[p];
            const std::size_t others = end - begin - 1;
            const double weight = doubts[p].weight_of_mean(others);
            double sum = 0;
            std::vector<double> to_go;  // of all, by action
            for (std::size_t row = begin; row < end; ++row) {
                sum += answer_reward_[row];
                const auto own = to_go_of(row);
                if (to_go.size() < own.size()) to_go.resize(own.size());
                for (std::size_t k = 0; k < own.size(); ++k) to_go[k] += own[k];
            }
            for (std::size_t row = begin; row < end; ++row) {
                const auto values = values_of(row);
                std::vector<double> advantage = to_go_of(row);
                for (std::size_t k = 0; k < advantage.size(); ++k) {
                    const double theirs = sum - answer_reward_[row] + (to_go[k] - advantage[k]);
                    const double mean = others > 0 ? theirs / static_cast<double>(others) : 0;
                    const double value = values[explained_before > 0 ? k : 0];
                    advantage[k] += answer_reward_[row] - (weight * mean + (1 - weight) * value);
                }
                set(row, advantage);
            }
        }
    }

    /// A(n) = (v(n) - v(root) + v(n) - v(before n)) / sqrt(answers below n) for each piece n that answers share, v the
    /// mean reward of the answers below, root all answers of the problem (TreeRL, arXiv 2506.11902); with bootstrap
    /// w mean + (1 - w) V of the last state in the piece, where answers go on from it.
    void tree() {
        ensure(batch_.forks.size() == answers_.size(), "trees know where their answers fork");
        const auto groups = answers_.groups();
        if (options_.bootstrap) doubts_ = doubts_of(groups);
        for (std::size_t p = 0; p < groups.size(); ++p)
            for (std::size_t row = groups[p].first; row < groups[p].second; ++row) set_pieces(row, p, groups[p]);
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

    using Rows = std::pair<std::size_t, std::size_t>;  ///< of a problem, [begin, end)

    [[nodiscard]] std::vector<reward::BaselineDoubt> doubts_of(std::span<const Rows> groups) const {
        reward::BaselineEvidence evidence;
        for (const auto& [begin, end] : groups) {
            evidence.reward_PG.emplace_back(batch_.reward.begin() + static_cast<std::ptrdiff_t>(begin),
                                            batch_.reward.begin() + static_cast<std::ptrdiff_t>(end));
            evidence.value_P.push_back(values_of(begin)[0]);
        }
        return reward::baseline_doubts(evidence);
    }
    /// What a piece of a tree is worth that ends before a token of `row`: `below` are the answers that share it.
    [[nodiscard]] double piece_value(std::size_t problem, std::size_t row, std::size_t token,
                                     std::span<const std::size_t> below) const {
        double mean = 0;
        for (const std::size_t other : below) mean += batch_.reward[other];
        mean /= static_cast<double>(below.size());
        if (!options_.bootstrap || token == answers_.ids(row).size())
            return mean;  // at its end an answer has its reward
        const auto ends = answers_.step_ends(row);
        const auto state = static_cast<std::size_t>(
            std::upper_bound(ends.begin(), ends.end(), static_cast<std::int32_t>(token)) - ends.begin());
        const double weight = doubts_[problem].weight_of_mean(below.size());
        return weight * mean + (1 - weight) * values_of(row)[state];
    }
    /// A piece of an answer: the answers that share it, and the token before which it ends.
    struct Piece {
        std::vector<std::size_t> below;
        std::size_t end = 0;
    };
    /// Pieces of an answer: one ends where another answer forks off.
    [[nodiscard]] std::vector<Piece> pieces_of(std::size_t row, const Rows& rows) const {
        const std::size_t tokens = answers_.ids(row).size();
        std::set<std::size_t> cuts{0};
        for (std::size_t other = rows.first; other < rows.second; ++other)
            if (batch_.forks[other].parent >= 0) cuts.insert(static_cast<std::size_t>(batch_.forks[other].tokens));
        std::vector<Piece> pieces;
        for (const std::size_t cut : cuts) {
            if (cut >= tokens) break;
            std::vector<std::size_t> below;
            for (std::size_t other = rows.first; other < rows.second; ++other)
                if (rollout::owner_of(batch_.forks, other, cut) == rollout::owner_of(batch_.forks, row, cut))
                    below.push_back(other);
            if (pieces.empty() || pieces.back().below != below) {
                if (!pieces.empty()) pieces.back().end = cut;
                pieces.push_back({std::move(below), tokens});
            }
        }
        return pieces;
    }
    /// Advantages of an answer's tokens, piece by piece.
    void set_pieces(std::size_t row, std::size_t problem, const Rows& rows) {
        std::vector<std::size_t> all(rows.second - rows.first);
        std::iota(all.begin(), all.end(), rows.first);
        const double root = piece_value(problem, row, 0, all);
        double before = root;
        auto token = batch_.advantage.begin() + answers_.token_offset[row];
        std::size_t begin = 0;
        for (const Piece& piece : pieces_of(row, rows)) {
            const double value = piece_value(problem, row, piece.end, piece.below);
            const double advantage =
                (value - root + value - before) / std::sqrt(static_cast<double>(piece.below.size()));
            token = std::fill_n(token, piece.end - std::exchange(begin, piece.end), static_cast<float>(advantage));
            before = value;
        }
    }

    RlBatch& batch_;
    const CreditOptions& options_;
    const rollout::Trajectories& answers_;
    std::vector<std::size_t> states_;
    std::vector<double> values_;                 ///< probabilities of all states
    std::vector<double> answer_reward_;          ///< per trajectory
    std::vector<double> action_reward_;          ///< per action; empty where no part scores them
    std::vector<reward::BaselineDoubt> doubts_;  ///< per problem, of bootstrapped trees
};

}  // namespace

void CreditOptions::fields(Fields& f) {
    f("gamma", gamma, "discount of a step in gae", above_up_to(0, 1));
    f("lambda", lambda, "of gae; 1 = reward minus value", between(0, 1));
    f("adaptive", adaptive, "lambda = 1 - 1 / max(1, this x steps of the answer) instead; none = lambda",
      above_up_to(0, 1e3));
    group.fields(f);
    f("whiten", whiten, "advantages of the whole batch to mean 0 and deviation 1");
}

bool RlBatch::truncated(std::size_t row) const {
    return answers.finish[row] == static_cast<std::uint8_t>(task::Finish::length);
}

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
    const double whole = outcome.empty() ? 0 : eval::moments(outcome).variance();
    return whole > 0 ? 1 - eval::moments(rest).variance() / whole : 0;
}

void assign_credit(RlBatch& batch, const CreditOptions& options, double explained_before) {
    batch.parts.clear();
    for (const RewardPart& part : options.rewards) batch.parts.push_back(scores_of(part, batch));
    Credit credit(batch, options);
    switch (options.kind) {
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
