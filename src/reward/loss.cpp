#include "tdrm/reward/loss.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "tdrm/base/errors.hpp"

namespace tdrm::reward {

double sigmoid(double logit) {
    const double e = std::exp(-std::abs(logit));
    return logit >= 0 ? 1 / (1 + e) : e / (1 + e);
}

double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

StateLoss state_loss(double logit, double target, double weight) {
    // y softplus(-z) + (1 - y) softplus(z) keeps digits where softplus(z) - y z would cancel.
    const double loss = target * softplus(-logit) + (1 - target) * softplus(logit);
    const double error = (1 - target) * sigmoid(logit) - target * sigmoid(-logit);
    return {weight * loss, weight * error};
}

double value_loss(std::span<const float> logit_S, std::span<const float> target_S, std::span<const float> weight_S,
                  std::span<float> dloss_dlogit_S) {
    const std::size_t states = logit_S.size();
    ensure(target_S.size() == states && weight_S.size() == states && dloss_dlogit_S.size() == states,
           "value_loss gets one logit, target, weight and derivative per state");
    double sum = 0;
    for (std::size_t t = 0; t < states; ++t) {
        dloss_dlogit_S[t] = 0;
        if (weight_S[t] == 0) continue;
        const StateLoss state = state_loss(double{logit_S[t]}, double{target_S[t]}, double{weight_S[t]});
        sum += state.loss;
        dloss_dlogit_S[t] = static_cast<float>(state.dloss_dlogit);
    }
    return sum;
}

}  // namespace tdrm::reward
