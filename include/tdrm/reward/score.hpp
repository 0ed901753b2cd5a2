// From the values of an answer's states to one number.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace tdrm::reward {

/// Whose value it is: of one state, or of all states behind a step.
enum class ScoreAt {
    last,
    penultimate,
    minimum,
    mean,
    product,
    survival,  ///< of models whose values are hazards (TargetKind::hazard): P(no error in any step)
};
[[nodiscard]] constexpr auto enum_names(ScoreAt) {
    using enum ScoreAt;
    return std::array<std::pair<ScoreAt, std::string_view>, 6>{{{last, "last"},
                                                                {penultimate, "penultimate"},
                                                                {minimum, "minimum"},
                                                                {mean, "mean"},
                                                                {product, "product"},
                                                                {survival, "survival"}}};
}
/// Whether it is the value of one state.
[[nodiscard]] constexpr bool is_one_state(ScoreAt at) { return at == ScoreAt::last || at == ScoreAt::penultimate; }

/// The logit of the last or the penultimate state; the minimum, mean or product of the probabilities of s_1 to s_T;
/// log S_T (reward::log_survival). Without a step the same of s_0. Comparable among answers for one `at`.
/// @param penultimate index t of that state, as the task finds it @throws BugError if the state doesn't exist
[[nodiscard]] double score_of(ScoreAt at, std::span<const float> value_logit_S, std::int64_t penultimate);

/// The same score as a number in [0, 1], for votes that it weighs.
[[nodiscard]] double probability_of(ScoreAt at, std::span<const float> value_logit_S, std::int64_t penultimate);

}  // namespace tdrm::reward
