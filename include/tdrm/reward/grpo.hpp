// The clipped policy-gradient loss of one token (PPO / GRPO), with its derivative.
#pragma once

namespace tdrm {
class Fields;
}

namespace tdrm::reward {

struct GrpoOptions {
    double clip_low = 0.2;   ///< ratio is clipped below 1 - clip_low
    double clip_high = 0.2;  ///< and above 1 + clip_high
    double beta = 0;         ///< weight of the divergence from the reference policy; 0 needs no reference

    void fields(Fields& f);
};

struct GrpoToken {
    double loss = 0;
    double dloss_dlogp = 0;
    double ratio = 1;           ///< rho
    double kl = 0;              ///< k3 estimate, at least 0; 0 if beta is 0
    bool clipped_low = false;   ///< A < 0 and rho < 1 - clip_low: no gradient from the policy term
    bool clipped_high = false;  ///< A > 0 and rho > 1 + clip_high: no gradient from the policy term
};

/// loss = -min(rho A, clip(rho, 1 - clip_low, 1 + clip_high) A) + beta (exp(d) - d - 1),
/// rho = exp(logp - logp_old), d = logp_ref - logp. Natural logarithms; all three of the same token under the same
/// temperature. logp_ref is ignored if beta is 0. Source: arXiv 2402.03300; k3: Schulman 2020.
[[nodiscard]] GrpoToken grpo_token(double logp, double logp_old, double logp_ref, double advantage,
                                   const GrpoOptions& options = {});

}  // namespace tdrm::reward
