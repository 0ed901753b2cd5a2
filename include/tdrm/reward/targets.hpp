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
    hazard,        ///< chance that the first error happens in the step before a state
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
/// What the last backup uses, U(s_T). The state s_T itself is trained on the outcome either way.
enum class Terminal {
    outcome,  ///< y
    value,    ///< V(s_T): noise of single verdicts is averaged once, in s_T, instead of entering every state
};
/// Whose values are backed up.
enum class Bootstrap {
    same,  ///< the trained model's, without gradient
    ema,   ///< an exponential moving average of its weights
};
/// Where hazard sees errors.
enum class Errors {
    outcome,  ///< a wrong answer has an error in some step
    labels,   ///< in the first step whose label is below 1/2; the outcome says the rest
};
/// What has the same weight in the loss.
enum class Average { state, trajectory };
/// How much a label counts.
enum class LabelWeight {
    equal,
    tries,  ///< as often as it was tried: the likelihood of the successes, n (p log V + (1 - p) log(1 - V))
};

[[nodiscard]] constexpr auto enum_names(TargetKind) {
    using enum TargetKind;
    return std::array<std::pair<TargetKind, std::string_view>, 7>{{{outcome_last, "outcome_last"},
                                                                   {outcome, "outcome"},
                                                                   {step_label, "step_label"},
                                                                   {td_n, "td_n"},
                                                                   {td_lambda, "td_lambda"},
                                                                   {reference, "reference"},
                                                                   {hazard, "hazard"}}};
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
[[nodiscard]] constexpr auto enum_names(Terminal) {
    using enum Terminal;
    return std::array<std::pair<Terminal, std::string_view>, 2>{{{outcome, "outcome"}, {value, "value"}}};
}
[[nodiscard]] constexpr auto enum_names(Bootstrap) {
    using enum Bootstrap;
    return std::array<std::pair<Bootstrap, std::string_view>, 2>{{{same, "same"}, {ema, "ema"}}};
}
[[nodiscard]] constexpr auto enum_names(Errors) {
    using enum Errors;
    return std::array<std::pair<Errors, std::string_view>, 2>{{{outcome, "outcome"}, {labels, "labels"}}};
}
[[nodiscard]] constexpr auto enum_names(Average) {
    using enum Average;
    return std::array<std::pair<Average, std::string_view>, 2>{{{state, "state"}, {trajectory, "trajectory"}}};
}
[[nodiscard]] constexpr auto enum_names(LabelWeight) {
    using enum LabelWeight;
    return std::array<std::pair<LabelWeight, std::string_view>, 2>{{{equal, "equal"}, {tries, "tries"}}};
}

inline constexpr double kReferenceGamma = 0.8;       ///< discount of the published models
inline constexpr std::int32_t kShapingTokens = 512;  ///< T of the published cosine shaping

/// Weights of the two classes; between them, for soft labels, mixed linearly.
struct ClassWeight {
    double right = 1;
    double wrong = 1;

    void fields(Fields& f);
};

struct TargetOptions {
    TargetKind kind = TargetKind::td_lambda;
    double gamma = 1;                 ///< discount in (0, 1]; `reference` always takes 0.8
    int n = 1;                        ///< steps of td_n and reference, at least 1
    double lambda = 0.8;              ///< of td_lambda, in [0, 1]
    Shaping shaping = Shaping::none;  ///< `reference` always takes cosine
    Truncated truncated = Truncated::fail;
    double terminal_weight = 1;  ///< weight of s_T in the loss, at least 0
    Terminal terminal = Terminal::outcome;
    Bootstrap bootstrap = Bootstrap::same;
    double ema_decay = 0.99;  ///< what the moving average keeps at an update, in [0, 1)
    double label_mix = 0;     ///< share of the label in the targets of outcome, td_n and td_lambda, in [0, 1]
    LabelWeight label_weight = LabelWeight::equal;
    Errors errors = Errors::outcome;
    Average average = Average::state;
    ClassWeight class_weight{};  ///< of the answer's outcome; for step_label of the state's label

    /// Whether values of the same pass, or of the moving average, enter the targets.
    [[nodiscard]] bool bootstraps() const;
    /// Whether labels of states enter the targets.
    [[nodiscard]] bool needs_labels() const;

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
    /// In [0, 1], NaN where there is none (s_0, say); where needs_labels() only.
    std::span<const float> label_S;
    std::span<const float> tries_S = {};            ///< tries behind each label; LabelWeight::tries only
    std::span<const float> bootstrap_logit_S = {};  ///< values that are backed up; empty = value_logit_S
};

struct StateTargets {
    std::vector<float> target;  ///< S numbers in [0, 1]
    std::vector<float> weight;  ///< S numbers, at least 0; a state with weight 0 isn't trained
};

/// Targets of the states of one solution, with V = sigmoid(bootstrap logit), U(s_t) = V(s_t) before s_T, and
/// U(s_T) = y or, with Terminal::value, V(s_T):
///
///   td_n       G_t = sum_{k<m} gamma^k r_{t+k} + gamma^m U(s_{t+m}),  m = min(n, T - t)
///   td_lambda  G_t = r_t + gamma ((1 - lambda) U(s_{t+1}) + lambda G_{t+1}),  G_T = U(s_T)
///   reference  G_t = sum_{k<n} gamma^k r_{t+k} + gamma^n V(s_{t+n}), where rewards from s_T on are 0 and a state after
///              s_T counts 0; G_T = y. So V(s_T), not y, backs up, and y is felt through the shaped rewards alone.
///              s_0 isn't trained (the published rows start after step 1), unless it is the only state.
///
/// clamped to [0, 1]; the target of s_T is y with weight terminal_weight in all of them. r_t belongs to the transition
/// s_t -> s_{t+1}; normalised and cosine rewards are made from U(s_T). With label_mix m a labelled state before s_T has
/// the target (1 - m) G_t + m label_t.
///
/// hazard: h_t = sigmoid(logit of s_t) = P(first error in step t | none before), S_t = product of 1 - h_k, k <= t. Up
/// to the state g nothing is wrong, at z something is (both from the outcome or the labels), and the loss is
///   - sum_{k <= g} log(1 - h_k) - log(1 - prod_{g < k <= z} (1 - h_k)),
/// whose derivative by logit k is h_k - q_k, q_k = 0 up to g and h_k / (1 - prod_{g < j <= z} (1 - h_j)) up to z. These
/// q are the targets; states behind z and s_0 aren't trained. A solution without steps is one step, read at s_0.
/// Source: arXiv 2509.26578; right answers alone and a known first error are its two cases.
///
/// Weights: multiplied by class_weight, then, with Average::trajectory, divided by their sum.
/// Local. @throws DataError for a logit that isn't finite, an outcome or label outside [0, 1], a missing label array;
/// BugError if the arrays don't fit together or an
/// option is out of range. Source: arXiv 2509.15110 and its code, tdrm_{1,2,3}_step_train.py.
[[nodiscard]] StateTargets targets(const TargetOptions& options, const Solution& solution);

/// Loss of the hazards of one solution as above, given what `targets` made of it: states with target 0 are known to be
/// right, the others share one error. Weighted like them.
[[nodiscard]] double hazard_loss(std::span<const float> hazard_logit_S, const StateTargets& targets);

/// log S_t of all states from the logits of hazards: P(no error so far), 0 for s_0. A solution without steps is one
/// step, read at s_0.
[[nodiscard]] std::vector<double> log_survival(std::span<const float> hazard_logit_S);

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
