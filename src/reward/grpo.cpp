#include "tdrm/reward/grpo.hpp"

#include <algorithm>
#include <cmath>

namespace tdrm::reward {

GrpoToken grpo_token(double logp, double logp_old, double logp_ref, double advantage, const GrpoOptions& options) {
    GrpoToken token;
    token.ratio = std::exp(logp - logp_old);
    const double low = 1 - options.clip_low;
    const double high = 1 + options.clip_high;
    token.clipped_low = advantage < 0 && token.ratio < low;
    token.clipped_high = advantage > 0 && token.ratio > high;
    if (token.clipped_low || token.clipped_high) {
        token.loss = -std::clamp(token.ratio, low, high) * advantage;
    } else if (advantage != 0) {  // an overflowing ratio times an advantage of 0 would be NaN
        token.loss = -token.ratio * advantage;
        token.dloss_dlogp = -token.ratio * advantage;
    }
    if (options.beta != 0) {
        const double d = logp_ref - logp;
        const double growth = std::expm1(d);
        token.kl = growth - d;
        token.loss += options.beta * token.kl;
        token.dloss_dlogp -= options.beta * growth;
    }
    return token;
}

}  // namespace tdrm::reward
