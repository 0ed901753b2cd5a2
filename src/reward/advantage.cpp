#include "tdrm/reward/advantage.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <numeric>

#include "tdrm/base/errors.hpp"
#include "tdrm/reward/loss.hpp"

namespace tdrm::reward {

double value_score(std::span<const float> value_logit_S, ScoreAt at, ValueScale scale, std::int64_t penultimate) {
    ensure(is_one_state(at), "a reward takes the value of one state");
    const double logit = score_of(at, value_logit_S, penultimate);
    return scale == ValueScale::logit ? logit : sigmoid(logit);
}

std::vector<double> group_advantages(std::span<const double> reward_G, const GroupOptions& options) {
    std::vector<double> advantage(reward_G.size(), 0.0);
    // Equal rewards are told apart from nearly equal ones: rounding of the mean must not become a gradient.
    if (std::adjacent_find(reward_G.begin(), reward_G.end(), std::not_equal_to<>()) == reward_G.end()) return advantage;
    const auto size = static_cast<double>(reward_G.size());
    const double mean = std::accumulate(reward_G.begin(), reward_G.end(), 0.0) / size;
    double squares = 0;
    for (const double reward : reward_G) squares += (reward - mean) * (reward - mean);
    const double scale = options.leave_one_out ? size / (size - 1) : 1;
    const double divisor = options.divide_by_std ? std::sqrt(squares / (size - 1)) + options.epsilon : 1;
    for (std::size_t i = 0; i < reward_G.size(); ++i) advantage[i] = scale * (reward_G[i] - mean) / divisor;
    return advantage;
}

std::vector<std::vector<double>> group_advantages(std::span<const double> reward_G,
                                                  std::span<const std::vector<double>> to_go_GA,
                                                  const GroupOptions& options) {
    ensure(reward_G.size() == to_go_GA.size(), "as many answers as rewards");
    const auto size = static_cast<double>(reward_G.size());
    const double mean = std::accumulate(reward_G.begin(), reward_G.end(), 0.0) / size;
    std::vector<double> baseline, total;
    for (std::size_t i = 0; i < reward_G.size(); ++i) {
        const auto& to_go = to_go_GA[i];
        if (baseline.size() < to_go.size()) baseline.resize(to_go.size());
        for (std::size_t k = 0; k < to_go.size(); ++k) baseline[k] += to_go[k] / size;
        total.push_back(reward_G[i] + (to_go.empty() ? 0 : to_go[0]));
    }
    const double total_mean = std::accumulate(total.begin(), total.end(), 0.0) / size;
    double squares = 0;
    for (const double t : total) squares += (t - total_mean) * (t - total_mean);
    const double scale = options.leave_one_out && size > 1 ? size / (size - 1) : 1;
    const double deviation = size > 1 ? std::sqrt(squares / (size - 1)) : 0;
    const double divisor = options.divide_by_std ? deviation + options.epsilon : 1;
    std::vector<std::vector<double>> advantage(to_go_GA.begin(), to_go_GA.end());
    for (std::size_t i = 0; i < reward_G.size(); ++i)
        for (std::size_t k = 0; k < advantage[i].size(); ++k)
            advantage[i][k] = scale * (reward_G[i] - mean + to_go_GA[i][k] - baseline[k]) / divisor;
    return advantage;
}

std::vector<double> step_advantages(std::span<const double> value_S, double terminal_reward, double gamma,
                                    double lambda, std::span<const double> step_reward_T) {
    ensure(!value_S.empty(), "a solution has at least the state s_0");
    const std::size_t last = value_S.size() - 1;
    ensure(step_reward_T.empty() || step_reward_T.size() == last, "step rewards come one per step");
    std::vector<double> advantage(value_S.size());
    advantage[last] = terminal_reward - value_S[last];
    double next_value = terminal_reward;
    double next_advantage = 0;
    for (std::size_t t = last; t-- > 0;) {
        const double reward = step_reward_T.empty() ? 0 : step_reward_T[t];
        advantage[t] = reward + gamma * next_value - value_S[t] + gamma * lambda * next_advantage;
        next_value = value_S[t];
        next_advantage = advantage[t];
    }
    return advantage;
}

double adaptive_lambda(double alpha, std::int64_t steps) {
    return 1 - 1 / std::max(1.0, alpha * static_cast<double>(steps));
}

double BaselineDoubt::weight_of_mean(std::size_t answers) const {
    if (answers == 0) return 0;
    const double doubt = value_error + reward_variance / static_cast<double>(answers);
    return doubt > 0 ? value_error / doubt : 1;
}

namespace {

/// Of one problem, or of several added up.
struct ProblemDoubt {
    double problems = 0, repeated = 0;  ///< those with several answers
    double variance = 0;                ///< of rewards within the problem
    double error = 0;                   ///< squared, of V(s_0) against the mean reward
    double inverse_size = 0;

    static ProblemDoubt of(std::span<const double> rewards, double value) {
        const auto size = static_cast<double>(rewards.size());
        const double mean = std::accumulate(rewards.begin(), rewards.end(), 0.0) / size;
        ProblemDoubt one{1, size > 1 ? 1.0 : 0.0, 0, (mean - value) * (mean - value), 1 / size};
        for (const double r : rewards) one.variance += size > 1 ? (r - mean) * (r - mean) / (size - 1) : 0;
        return one;
    }
    void add(const ProblemDoubt& other, double sign) {
        problems += sign * other.problems;
        repeated += sign * other.repeated;
        variance += sign * other.variance;
        error += sign * other.error;
        inverse_size += sign * other.inverse_size;
    }
};

}  // namespace

std::vector<BaselineDoubt> baseline_doubts(const BaselineEvidence& evidence) {
    ensure(evidence.reward_PG.size() == evidence.value_P.size(), "a value for each problem");
    std::vector<ProblemDoubt> each;
    ProblemDoubt all;
    for (std::size_t p = 0; p < evidence.value_P.size(); ++p)
        all.add(each.emplace_back(ProblemDoubt::of(evidence.reward_PG[p], evidence.value_P[p])), 1);
    std::vector<BaselineDoubt> doubts;
    for (const ProblemDoubt& own : each) {
        ProblemDoubt others = all;
        others.add(own, -1);
        BaselineDoubt& doubt = doubts.emplace_back();
        if (others.problems < 1) continue;
        if (others.repeated > 0) doubt.reward_variance = std::max(0.0, others.variance / others.repeated);
        doubt.value_error =
            std::max(0.0, (others.error - doubt.reward_variance * others.inverse_size) / others.problems);
    }
    return doubts;
}

std::vector<std::int64_t> action_tokens(std::span<const std::int32_t> step_end_T, std::int64_t tokens) {
    std::vector<std::int64_t> counts;
    std::int64_t begin = 0;
    for (const std::int32_t end : step_end_T) {
        ensure(end >= begin && end <= tokens, "step ends ascend within the answer");
        counts.push_back(end - begin);
        begin = end;
    }
    ensure(begin <= tokens, "an answer has no negative number of tokens");
    counts.push_back(tokens - begin);
    return counts;
}

std::vector<float> token_advantages(std::span<const double> advantage_S, std::span<const std::int32_t> step_end_T,
                                    std::int64_t tokens) {
    ensure(advantage_S.size() == step_end_T.size() + 1, "advantages come one per state");
    const std::vector<std::int64_t> counts = action_tokens(step_end_T, tokens);
    std::vector<float> advantage;
    advantage.reserve(static_cast<std::size_t>(tokens));
    for (std::size_t t = 0; t < counts.size(); ++t) {
        advantage.insert(advantage.end(), static_cast<std::size_t>(counts[t]), static_cast<float>(advantage_S[t]));
    }
    return advantage;
}

void whiten(std::span<double> advantage, std::span<const double> weight, double epsilon) {
    ensure(advantage.size() == weight.size(), "whiten gets one weight per advantage");
    const double total = std::accumulate(weight.begin(), weight.end(), 0.0);
    if (!(total > 0)) return;
    const double mean = std::inner_product(advantage.begin(), advantage.end(), weight.begin(), 0.0) / total;
    double squares = 0;
    for (std::size_t i = 0; i < advantage.size(); ++i) {
        squares += weight[i] * (advantage[i] - mean) * (advantage[i] - mean);
    }
    const double divisor = std::sqrt(squares / total) + epsilon;
    for (double& a : advantage) a = (a - mean) / divisor;
}

}  // namespace tdrm::reward
