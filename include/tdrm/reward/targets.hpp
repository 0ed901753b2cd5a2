// What a value model is trained towards: targets of the states s_0 ... s_T of one solution, from its outcome, its
// labels and the values of the same pass. Nothing is stored in a data set, so that the method stays a run-time choice.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tdrm {
class Fields;
}

namespace tdrm::reward {

enum class TargetKind {
    outcome_last,  ///< the outcome, at the last state alone: an outcome reward model
    outcome,       ///< the outcome at every state: Monte Carlo
    step_label,    ///< the given label of each state: a scalar process reward model
    td_n,          ///< n-step temporal difference
    td_lambda,     ///< forward-view lambda-return
    reference,     ///< n-step as the public TDRM code has it
};
/// Rewards of the transitions, for td_n and td_lambda.
enum class Shaping {
    none,        ///< r = 0
    cosine,      ///< r of `cosine_reward`, as published; it saturates the targets at 0 or 1 nearly everywhere
    normalised,  ///< r = (1 - gamma) y: the fixed point of the backup is y for every gamma
};
/// What becomes of an answer that was cut for length.
enum class Truncated {
    fail,       ///< its outcome is 0
    bootstrap,  ///< V(s_T) stands for its outcome; s_T itself isn't trained
    drop,       ///< all its weights are 0
};

[[nodiscard]] constexpr auto enum_names(TargetKind) {
    using enum TargetKind;
    return std::array<std::pair<TargetKind, std::string_view>, 6>{{{outcome_last, "outcome_last"},
                                                                   {outcome, "outcome"},
                                                                   {step_label, "step_label"},
                                                                   {td_n, "td_n"},
                                                                   {td_lambda, "td_lambda"},
                                                                   {reference, "reference"}}};
}
[[nodiscard]] constexpr auto enum_names(Shaping) {
    using enum Shaping;
    return std::array<std::pair<Shaping, std::string_view>, 3>{
        {{none, "none"}, {cosine, "cosine"}, {normalised, "normalised"}}};
}
[[nodiscard]] constexpr auto enum_names(Truncated) {
    using enum Truncated;
    return std::array<std::pair<Truncated, std::string_view>, 3>{
        {{fail, "fail"}, {bootstrap, "bootstrap"}, {drop, "drop"}}};
}

inline constexpr double kReferenceGamma = 0.8;       ///< discount of the published models
inline constexpr std::int32_t kShapingTokens = 512;  ///< T of the published cosine shaping

struct TargetOptions {
    TargetKind kind = TargetKind::td_lambda;
    double gamma = 1;                 ///< discount in (0, 1]; `reference` always takes 0.8
    int n = 1;                        ///< steps of td_n and reference, at least 1
    double lambda = 0.8;              ///< of td_lambda, in [0, 1]
    Shaping shaping = Shaping::none;  ///< `reference` always takes cosine
    Truncated truncated = Truncated::fail;
    double terminal_weight = 1;  ///< weight of s_T in the loss, at least 0

    void fields(Fields& f);
    /// Sentences about options that don't go together; empty if there are none.
    [[nodiscard]] std::vector<std::string> validate() const;
};

/// One solution with T steps. S = T + 1 states.
struct Solution {
    std::span<const float> value_logit_S;           ///< current values as logits; their number says S, at least 1
    float outcome = 0;                              ///< y in [0, 1]
    bool truncated = false;                         ///< cut for length
    std::span<const std::int32_t> prefix_tokens_S;  ///< tokens of the solution up to each state; cosine shaping only
    std::span<const float> label_S;                 ///< in [0, 1], NaN where there is none (s_0); step_label only
};

struct StateTargets {
    std::vector<float> target;  ///< S numbers in [0, 1]
    std::vector<float> weight;  ///< S numbers, at least 0; a state with weight 0 isn't trained
};

/// Targets of the states of one solution, with V = sigmoid(logit) and U(s_T) = y, U(s_t) = V(s_t) before:
///
///   td_n       G_t = sum_{k<m} gamma^k r_{t+k} + gamma^m U(s_{t+m}),  m = min(n, T - t)
///   td_lambda  G_t = r_t + gamma ((1 - lambda) U(s_{t+1}) + lambda G_{t+1}),  G_T = y
///   reference  G_t = sum_{k<n} gamma^k r_{t+k} + gamma^n V(s_{t+n}), where rewards from s_T on are 0 and a state after
///              s_T counts 0; G_T = y. So V(s_T), not y, backs up, and y is felt through the shaped rewards alone.
///              s_0 isn't trained (the published rows start after step 1), unless it is the only state.
///
/// clamped to [0, 1]; G_T = y with weight terminal_weight in all of them. r_t belongs to the transition s_t -> s_{t+1}.
/// Local. @throws DataError for a logit that isn't finite, an outcome or label outside [0, 1], a missing label array;
/// BugError if the arrays don't fit together or an
/// option is out of range. Source: arXiv 2509.15110 and its code, tdrm_{1,2,3}_step_train.py.
[[nodiscard]] StateTargets targets(const TargetOptions& options, const Solution& solution);

/// Published shaping of a transition that leaves a state with `prefix_tokens` tokens of solution, h = (1 + cos(pi t /
/// 512)) / 2 with t clamped to 512: 1 + h (2 to 1) if correct, -10 h (-10 to 0) if wrong, mixed linearly for an outcome
/// between.
[[nodiscard]] double cosine_reward(std::int32_t prefix_tokens, double outcome);

/// Sums over states and transitions; add them up over solutions, then ask.
struct TargetStatistics {
    double states = 0;        ///< with weight above 0
    double interior = 0;      ///< of these: target strictly inside (0, 1), hence not saturated
    double delta = 0;         ///< of these: sum of |target - V(s_t)|
    double transitions = 0;   ///< s_t -> s_{t+1} before the last state
    double value_change = 0;  ///< of these: sum of |V(s_{t+1}) - V(s_t)|

    TargetStatistics& operator+=(const TargetStatistics& other);
    // Means; NaN if there is nothing to average.
    [[nodiscard]] double interior_share() const { return interior / states; }
    [[nodiscard]] double mean_delta() const { return delta / states; }
    [[nodiscard]] double mean_value_change() const { return value_change / transitions; }
};
[[nodiscard]] TargetStatistics statistics(std::span<const float> value_logit_S, const StateTargets& targets);

}  // namespace tdrm::reward
