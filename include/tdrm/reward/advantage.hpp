// From rewards to the advantages of tokens: reward mixing, group normalisation, a value model as per-step baseline.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "tdrm/reward/score.hpp"

namespace tdrm {
class Fields;
}

namespace tdrm::reward {

/// How a state value enters the reward.
enum class ValueScale { logit, probability };

[[nodiscard]] constexpr auto enum_names(ValueScale) {
    using enum ValueScale;
    return std::array<std::pair<ValueScale, std::string_view>, 2>{{{logit, "logit"}, {probability, "probability"}}};
}

/// z or sigmoid(z), z the logit of the chosen state; `penultimate` is its index t, as the task finds it. (Published sum
/// of rule and value: 0.8 rule + 0.2 z of the penultimate state.) @throws BugError if the state doesn't exist.
[[nodiscard]] double value_score(std::span<const float> value_logit_S, ScoreAt at, ValueScale scale,
                                 std::int64_t penultimate);

struct GroupOptions {
    bool divide_by_std = true;   ///< by std + epsilon, ddof 1; false is the centring of Dr. GRPO
    bool leave_one_out = false;  ///< baseline = mean of the other answers (RLOO)
    double epsilon = 1e-4;       ///< added to std

    void fields(Fields& f);
};

/// A_i = (R_i - mean) / (std + epsilon) over the answers of one problem. Equal rewards, and a group of one, give
/// exactly 0. Source: arXiv 2402.03300, constants as in the TDRM code.
[[nodiscard]] std::vector<double> group_advantages(std::span<const double> reward_G, const GroupOptions& options = {});

/// The same for actions: Q_{i,k} is what answer i gets from action k on, beside R_i.
///
///   A_{i,k} = (R_i - mean R + Q_{i,k} - b_k) / (std + epsilon),  b_k the mean of Q_{j,k} over the answers,
///
/// 0 of those that have no action k; std of the totals R + Q_{.,0}. leave_one_out as above. (PURE's baseline, arXiv
/// 2504.15275, in steps.) @throws BugError if there aren't as many answers
[[nodiscard]] std::vector<std::vector<double>> group_advantages(std::span<const double> reward_G,
                                                                std::span<const std::vector<double>> to_go_GA,
                                                                const GroupOptions& options = {});

/// Advantages of the actions taken in the states s_0 ... s_T, with the value model as baseline (GAE over steps):
///
///   delta_t = r_t + gamma U(s_{t+1}) - V(s_t),  U(s_T) = R, U = V before;  A_t = delta_t + gamma lambda A_{t+1},
///   A_{T-1} = delta_{T-1}.
///
/// Entry t < T belongs to step t + 1; entry T to the tokens after the last step end: R - V(s_T). The reward R stands
/// where training has the outcome, so backups into s_T never use V(s_T). gamma = lambda = 1: all are R - V(s_t).
/// @param value_S probabilities (or any scale that R shares)
/// @param step_reward_T r_t; empty means 0. @throws BugError if lengths don't fit.
[[nodiscard]] std::vector<double> step_advantages(std::span<const double> value_S, double terminal_reward,
                                                  double gamma = 1, double lambda = 1,
                                                  std::span<const double> step_reward_T = {});

/// lambda of an answer of so many steps: 1 - 1 / max(1, alpha steps) (VAPO, arXiv 2504.05118, in steps).
[[nodiscard]] double adaptive_lambda(double alpha, std::int64_t steps);

/// What is known of a batch's problems for shrinkage: answers' rewards and V(s_0) of each.
struct BaselineEvidence {
    std::vector<std::vector<double>> reward_PG;
    std::vector<double> value_P;
};
/// How unsure the two estimates of a state's value are.
struct BaselineDoubt {
    double reward_variance = 0;  ///< s2, of the reward within a problem
    double value_error = 0;      ///< tau2, squared, of values

    /// Weight w of the mean of so many answers' rewards in w mean R + (1 - w) V: tau2 / (tau2 + s2 / answers); 0
    /// without answers, 1 where nothing is in doubt.
    [[nodiscard]] double weight_of_mean(std::size_t answers) const;
};
/// Of each problem, from the other problems of the batch:
///
///   s2 = mean variance of R within a problem of two or more answers (ddof 1),
///   tau2 = max(0, mean ((mean R - V(s_0))^2 - s2 / G)), G the problem's answers.
///
/// 0 and 0 where no other problem tells. (Idea of arXiv 2603.10848.)
[[nodiscard]] std::vector<BaselineDoubt> baseline_doubts(const BaselineEvidence& evidence);

/// Number of tokens that each state's action has: step t + 1 for t < T, then the tail. `step_end_T` are ascending
/// offsets in the answer, one past the last token of each step. @throws BugError if they aren't, or pass `tokens`.
[[nodiscard]] std::vector<std::int64_t> action_tokens(std::span<const std::int32_t> step_end_T, std::int64_t tokens);

/// Spreads `step_advantages` over the tokens of the answer.
[[nodiscard]] std::vector<float> token_advantages(std::span<const double> advantage_S,
                                                  std::span<const std::int32_t> step_end_T, std::int64_t tokens);

/// Whitens a batch in place: a <- (a - mean) / (std + epsilon), both weighted (weights are token counts, say; ddof 0).
/// Nothing happens if no weight is above 0. Entries with weight 0 are transformed too. @throws BugError if lengths
/// differ.
void whiten(std::span<double> advantage, std::span<const double> weight, double epsilon = 1e-8);

}  // namespace tdrm::reward
