#include "tdrm/reward/policy_loss.hpp"

#include <algorithm>
#include <cmath>

#include "tdrm/base/errors.hpp"

namespace tdrm::reward {
namespace {

/// sum over tokens of a - b, in their order
double sum_of_differences(std::span<const float> a, std::span<const float> b) {
    ensure(a.size() == b.size(), "log-probs of the same tokens");
    double sum = 0;
    for (std::size_t t = 0; t < a.size(); ++t) sum += static_cast<double>(a[t]) - static_cast<double>(b[t]);
    return sum;
}

void add_divergence(PolicyToken& token, const TokenLogProbs& logp, const PolicyLossOptions& options) {
    const double d = logp.reference - logp.now;
    token.kl = kl_estimate(options.kl, logp.now, logp.reference);
    token.loss += options.beta * token.kl;
    const double slope = options.kl == KlForm::k1 ? -1 : options.kl == KlForm::k2 ? d : std::expm1(d);
    token.dloss_dlogp -= options.beta * slope;
}

}  // namespace

double kl_estimate(KlForm form, double logp, double logp_ref) {
    const double d = logp_ref - logp;
    return form == KlForm::k1 ? -d : form == KlForm::k2 ? d * d / 2 : std::expm1(d) - d;
}

PolicyToken policy_loss(const TokenLogProbs& logp, double advantage, const PolicyLossOptions& options,
                        double answer_ratio) {
    PolicyToken token;
    token.ratio = options.kind == PolicyLossKind::gspo ? answer_ratio : std::exp(logp.now - logp.old);
    const double clipped = std::clamp(token.ratio, 1 - options.low, 1 + options.high);
    token.clipped_low = advantage < 0 && token.ratio < clipped;
    token.clipped_high = advantage > 0 && token.ratio > clipped;
    if (options.kind == PolicyLossKind::cispo) {
        token.loss = -clipped * advantage * logp.now;
        token.dloss_dlogp = -clipped * advantage;
    } else if (token.clipped_low || token.clipped_high) {
        token.loss = -clipped * advantage;
    } else if (advantage != 0) {  // an overflowing ratio times an advantage of 0 would be NaN
        token.loss = -token.ratio * advantage;
        token.dloss_dlogp = -token.ratio * advantage;
    }
    if (options.beta != 0) add_divergence(token, logp, options);
    return token;
}

double answer_ratio(std::span<const float> logp_N, std::span<const float> old_N) {
    if (logp_N.empty()) return 1;
    return std::exp(sum_of_differences(logp_N, old_N) / static_cast<double>(logp_N.size()));
}

double importance_weight(double old, double sampled, const ImportanceOptions& options) {
    return options.truncate == 0 ? 1 : std::min(std::exp(old - sampled), options.truncate);
}

bool is_rejected(std::span<const float> old_N, std::span<const float> sampled_N, const ImportanceOptions& options) {
    if (!options.reject || old_N.empty()) return false;
    return std::abs(sum_of_differences(old_N, sampled_N)) > *options.reject * static_cast<double>(old_N.size());
}

}  // namespace tdrm::reward
