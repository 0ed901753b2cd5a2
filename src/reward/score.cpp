#include "tdrm/reward/score.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "tdrm/base/errors.hpp"
#include "tdrm/reward/loss.hpp"
#include "tdrm/reward/targets.hpp"

namespace tdrm::reward {

double score_of(ScoreAt at, std::span<const float> value_logit_S, std::int64_t penultimate) {
    const auto states = static_cast<std::int64_t>(value_logit_S.size());
    const std::int64_t t = at == ScoreAt::penultimate ? penultimate : states - 1;
    ensure(t >= 0 && t < states, "the state whose value counts exists");
    if (at == ScoreAt::survival) return log_survival(value_logit_S).back();
    if (is_one_state(at)) return double{value_logit_S[static_cast<std::size_t>(t)]};
    if (states == 1) return sigmoid(double{value_logit_S[0]});
    double lowest = 1, sum = 0, product = 1;
    for (const float logit : value_logit_S.subspan(1)) {
        const double probability = sigmoid(double{logit});
        lowest = std::min(lowest, probability);
        sum += probability;
        product *= probability;
    }
    if (at == ScoreAt::minimum) return lowest;
    return at == ScoreAt::mean ? sum / static_cast<double>(states - 1) : product;
}

double probability_of(ScoreAt at, std::span<const float> value_logit_S, std::int64_t penultimate) {
    const double score = score_of(at, value_logit_S, penultimate);
    if (at == ScoreAt::survival) return std::exp(score);
    return is_one_state(at) ? sigmoid(score) : score;
}

}  // namespace tdrm::reward
