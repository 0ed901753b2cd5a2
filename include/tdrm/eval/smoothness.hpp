// Smoothness of values along solutions (arXiv 2509.15110). Steps into the last state are kept apart, since the outcome
// is revealed there: a good value model may jump at the end, but shouldn't before.
#pragma once

#include <cstdint>
#include <span>

namespace tdrm::eval {

/// Sums over solutions; add them up, then ask for the means (NaN if there is nothing to average).
struct Smoothness {
    double transitions = 0;      ///< s_t -> s_{t+1} with t + 1 < T
    double value_change = 0;     ///< sum of |V(s_{t+1}) - V(s_t)| / d over these
    double td_errors = 0;        ///< states with t < T that have a target
    double td_error = 0;         ///< sum of |target - V(s_t)| over these
    double terminals = 0;        ///< solutions with T >= 1
    double terminal_change = 0;  ///< sum of |V(s_T) - V(s_{T-1})| / d
    double terminal_error = 0;   ///< sum of |y - V(s_T)|

    Smoothness& operator+=(const Smoothness& other);
    /// L_smooth, over intermediate transitions.
    [[nodiscard]] double mean_value_change() const { return value_change / transitions; }
    [[nodiscard]] double mean_td_error() const { return td_error / td_errors; }
    [[nodiscard]] double mean_terminal_change() const { return terminal_change / terminals; }
    [[nodiscard]] double mean_terminal_error() const { return terminal_error / terminals; }
};

/// Sums of one solution with states s_0 ... s_T, V as probabilities.
/// @param target_S training targets under the model's own label semantics; empty means no TD errors
/// @param prefix_tokens_S tokens of the solution up to each state. Empty: d = 1; otherwise d = tokens of the step /
///        token_scale (the published d isn't known; 512 tokens is the scale of its shaping)
/// @throws BugError if lengths don't fit; DataError if a step has no tokens.
[[nodiscard]] Smoothness smoothness(std::span<const double> value_S, double outcome,
                                    std::span<const double> target_S = {},
                                    std::span<const std::int32_t> prefix_tokens_S = {}, double token_scale = 512);

}  // namespace tdrm::eval
