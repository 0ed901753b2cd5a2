#include "tdrm/eval/smoothness.hpp"

#include <cmath>
#include <cstddef>

#include "tdrm/base/errors.hpp"

namespace tdrm::eval {

Smoothness& Smoothness::operator+=(const Smoothness& other) {
    transitions += other.transitions;
    value_change += other.value_change;
    td_errors += other.td_errors;
    td_error += other.td_error;
    terminals += other.terminals;
    terminal_change += other.terminal_change;
    terminal_error += other.terminal_error;
    return *this;
}

Smoothness smoothness(std::span<const double> value_S, double outcome, std::span<const double> target_S,
                      std::span<const std::int32_t> prefix_tokens_S, double token_scale) {
    const std::size_t states = value_S.size();
    ensure(states >= 1, "a solution has at least the state s_0");
    ensure(target_S.empty() || target_S.size() == states, "targets come one per state");
    ensure(prefix_tokens_S.empty() || prefix_tokens_S.size() == states, "prefix lengths come one per state");
    Smoothness sums;
    for (std::size_t t = 0; t + 1 < states; ++t) {
        double change = std::abs(value_S[t + 1] - value_S[t]);
        if (!prefix_tokens_S.empty()) {
            const std::int32_t tokens = prefix_tokens_S[t + 1] - prefix_tokens_S[t];
            if (tokens <= 0) {
                throw DataError(cat("step ", t + 1, " has ", tokens,
                                    " tokens (a change per token has no meaning there). Merge empty steps."));
            }
            change *= token_scale / tokens;
        }
        const bool terminal = t + 2 == states;
        (terminal ? sums.terminals : sums.transitions) += 1;
        (terminal ? sums.terminal_change : sums.value_change) += change;
        if (terminal) sums.terminal_error += std::abs(outcome - value_S[t + 1]);
        if (!target_S.empty()) {
            sums.td_errors += 1;
            sums.td_error += std::abs(target_S[t] - value_S[t]);
        }
    }
    return sums;
}

}  // namespace tdrm::eval
