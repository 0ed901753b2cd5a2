#include "tdrm/reward/score.hpp"

#include <algorithm>
#include <cstddef>

#include "tdrm/base/errors.hpp"
#include "tdrm/reward/loss.hpp"

namespace tdrm::reward {

double score_of(ScoreAt at, std::span<const float> value_logit_S, std::int64_t penultimate) {
    const auto states = static_cast<std::int64_t>(value_logit_S.size());
    const std::int64_t t = at == ScoreAt::penultimate ? penultimate : states - 1;
    ensure(t >= 0 && t < states, "the state whose value counts exists");
    if (is_one_state(at) || states == 1) return double{value_logit_S[static_cast<std::size_t>(t)]};
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

}  // namespace tdrm::reward
