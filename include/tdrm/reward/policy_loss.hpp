// Policy-gradient losses of an answer's tokens, with their derivatives.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

namespace tdrm::reward {

/// What an advantage A pulls at. rho = exp(logp - logp_old) of a token, clip(x) = clamp(x, 1 - low, 1 + high).
enum class PolicyLossKind {
    clip,   ///< -min(rho A, clip(rho) A) (PPO, arXiv 1707.06347; GRPO, 2402.03300)
    gspo,   ///< the same with the ratio of the answer, exp(mean over tokens of log rho), for all of its tokens
            ///< (2507.18071)
    cispo,  ///< -sg(clip(rho)) A logp: no token is without a gradient (2506.13585)
};
[[nodiscard]] constexpr auto enum_names(PolicyLossKind) {
    using enum PolicyLossKind;
    return std::array<std::pair<PolicyLossKind, std::string_view>, 3>{
        {{clip, "clip"}, {gspo, "gspo"}, {cispo, "cispo"}}};
}

/// Estimates of KL(policy || reference) from a token of the policy, d = logp_ref - logp (Schulman 2020).
enum class KlForm {
    k1,  ///< -d: without bias, but of either sign. As a loss its gradient is 0 in the mean
    k2,  ///< d^2 / 2: its gradient is that of the divergence
    k3,  ///< exp(d) - d - 1: without bias and never negative
};
[[nodiscard]] constexpr auto enum_names(KlForm) {
    using enum KlForm;
    return std::array<std::pair<KlForm, std::string_view>, 3>{{{k1, "k1"}, {k2, "k2"}, {k3, "k3"}}};
}
/// The estimate, in nats.
[[nodiscard]] double kl_estimate(KlForm form, double logp, double logp_ref);

struct PolicyLossOptions {
    PolicyLossKind kind = PolicyLossKind::clip;
    double low = 0.2;        ///< ratios are clipped below 1 - low
    double high = 0.2;       ///< and above 1 + high
    double beta = 0;         ///< weight of the divergence from the reference policy; 0 needs no reference
    KlForm kl = KlForm::k3;  ///< of that divergence
};

/// Log-probs of one token, in nats and under the same temperature.
struct TokenLogProbs {
    double now = 0;
    double old = 0;        ///< of the policy that ratios compare with
    double reference = 0;  ///< ignored if beta is 0
};

struct PolicyToken {
    double loss = 0;
    double dloss_dlogp = 0;
    double ratio = 1;
    double kl = 0;              ///< 0 if beta is 0
    bool clipped_low = false;   ///< A < 0 and the ratio below its bound; no gradient from the policy term, but of cispo
    bool clipped_high = false;  ///< A > 0 and the ratio above its bound; likewise
};

/// Loss of a token and its derivative with respect to `logp.now`.
/// @param answer_ratio of gspo: answer_ratio() of the token's answer. Its tokens' derivatives are those of the mean
/// over the answer's tokens if each is weighted 1 / tokens
[[nodiscard]] PolicyToken policy_loss(const TokenLogProbs& logp, double advantage,
                                      const PolicyLossOptions& options = {}, double answer_ratio = 1);

/// exp(mean over the answer's tokens of logp - old); 1 without a token.
[[nodiscard]] double answer_ratio(std::span<const float> logp_N, std::span<const float> old_N);

/// How answers are treated whose sampler and trainer disagree (the log-probs that an answer was drawn with are not
/// those that the trainer's forward pass gives, as with another precision).
struct ImportanceOptions {
    double truncate = 0;             ///< token weights min(exp(old - sampled), truncate); 0 = all 1
    std::optional<double> reject{};  ///< answers with |mean over tokens of old - sampled| above it don't train
};
/// The weight of a token in the loss, at least 0.
[[nodiscard]] double importance_weight(double old, double sampled, const ImportanceOptions& options);
/// Whether an answer is left out, of the loss and of what it is divided by.
[[nodiscard]] bool is_rejected(std::span<const float> old_N, std::span<const float> sampled_N,
                               const ImportanceOptions& options);

}  // namespace tdrm::reward
