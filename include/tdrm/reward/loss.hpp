// Loss of value models: binary cross-entropy on logits against soft targets, in double from the logit on.
#pragma once

#include <span>

namespace tdrm::reward {

/// 1 / (1 + exp(-logit)), without overflow.
[[nodiscard]] double sigmoid(double logit);
/// log(1 + exp(x)), without overflow.
[[nodiscard]] double softplus(double x);

struct StateLoss {
    double loss = 0;
    double dloss_dlogit = 0;
};

/// loss = w (softplus(z) - y z) = -w (y log p + (1 - y) log(1 - p)), p = sigmoid(z); d loss / d z = w (p - y).
/// Exact for saturated logits, where the published bf16 log(p + 1e-10) loses its gradient.
[[nodiscard]] StateLoss state_loss(double logit, double target, double weight = 1);

/// Sum of `state_loss` over states; writes the derivative of that sum to dloss_dlogit_S. States with weight 0 are
/// skipped: their derivative is exactly 0. Divide by the global weight outside. @throws BugError if lengths differ.
double value_loss(std::span<const float> logit_S, std::span<const float> target_S, std::span<const float> weight_S,
                  std::span<float> dloss_dlogit_S);

}  // namespace tdrm::reward
