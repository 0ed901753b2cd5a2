#include "tdrm/reward/policy_loss.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "peer_losses.hpp"

namespace tdrm::reward {
namespace {

/// The formula of clip as published, without cases, and the divergence by its definition.
double loss_twin(double logp, double old, double reference, double a, const PolicyLossOptions& options) {
    const double rho = std::exp(logp - old);
    const double clipped = std::min(std::max(rho, 1 - options.low), 1 + options.high);
    const double d = reference - logp;
    const double kl = options.kl == KlForm::k1 ? -d : options.kl == KlForm::k2 ? d * d / 2 : std::exp(d) - d - 1;
    return -std::min(rho * a, clipped * a) + options.beta * kl;
}

PolicyToken token_of(double logp, double old, double advantage, const PolicyLossOptions& options = {}) {
    return policy_loss({logp, old, 0}, advantage, options);
}

TEST(PolicyLoss, HasThePublishedValueAndTheDerivativeOfFiniteDifferences) {
    const double h = 1e-6;
    for (const KlForm kl : {KlForm::k1, KlForm::k2, KlForm::k3}) {
        const PolicyLossOptions options{.low = 0.2, .high = 0.28, .beta = 0.04, .kl = kl};
        for (const double logp : {-3.0, -1.3, -1.1, -1.0, -0.9, -0.7, -0.2}) {
            for (const double a : {-1.5, 0.0, 0.7}) {
                const PolicyToken token = policy_loss({logp, -1, -1.2}, a, options);
                EXPECT_NEAR(token.loss, loss_twin(logp, -1, -1.2, a, options), 1e-12);
                const double numeric =
                    (loss_twin(logp + h, -1, -1.2, a, options) - loss_twin(logp - h, -1, -1.2, a, options)) / (2 * h);
                EXPECT_NEAR(token.dloss_dlogp, numeric, 1e-8) << "logp " << logp << " advantage " << a;
            }
        }
    }
}

TEST(PolicyLoss, OfTheSamplingPolicyIsPlainPolicyGradientForAllKinds) {
    for (const auto kind : {PolicyLossKind::clip, PolicyLossKind::gspo, PolicyLossKind::cispo}) {
        const PolicyToken token = token_of(-0.4, -0.4, 0.9, {.kind = kind});
        EXPECT_EQ(token.ratio, 1);
        EXPECT_EQ(token.dloss_dlogp, -0.9);
        EXPECT_FALSE(token.clipped_low || token.clipped_high);
        EXPECT_EQ(token.kl, 0);
    }
    EXPECT_EQ(token_of(-0.4, -0.4, 0.9).loss, -0.9);
}

TEST(PolicyLoss, IsClippedOnlyWhereItWouldGoFurther) {
    EXPECT_TRUE(token_of(0, -1, 1).clipped_high);
    EXPECT_EQ(token_of(0, -1, 1).dloss_dlogp, 0);
    EXPECT_NEAR(token_of(0, -1, 1).loss, -1.2, 1e-12);
    EXPECT_FALSE(token_of(0, -1, -1).clipped_high);
    EXPECT_NEAR(token_of(0, -1, -1).dloss_dlogp, std::exp(1), 1e-12);
    EXPECT_TRUE(token_of(-1, 0, -1).clipped_low);
    EXPECT_FALSE(token_of(-1, 0, 1).clipped_low);
}

TEST(PolicyLoss, OfCispoClipsTheWeightAndKeepsTheGradient) {
    const PolicyLossOptions options{.kind = PolicyLossKind::cispo, .low = 0.2, .high = 0.3};
    // rho = e: its weight is 1.3, its loss -1.3 A logp with logp = -0.5.
    EXPECT_NEAR(token_of(-0.5, -1.5, 2, options).dloss_dlogp, -1.3 * 2, 1e-12);
    EXPECT_NEAR(token_of(-0.5, -1.5, 2, options).loss, 1.3 * 2 * 0.5, 1e-12);
    EXPECT_TRUE(token_of(-0.5, -1.5, 2, options).clipped_high);
    EXPECT_NEAR(token_of(-1.5, -0.5, -1, options).dloss_dlogp, 0.8, 1e-12);
    EXPECT_NEAR(token_of(-1, -1.1, 1, options).dloss_dlogp, -std::exp(0.1), 1e-12) << "within the bounds";
}

TEST(PolicyLoss, OfGspoGivesAllTokensTheRatioOfTheirAnswer) {
    // Three tokens whose log ratios are 0.3, -0.1, 0.1: their mean is 0.1.
    const std::vector<float> now{-0.7F, -1.1F, -0.9F}, old{-1, -1, -1};
    const double s = answer_ratio(now, old);
    EXPECT_NEAR(s, std::exp(0.1), 1e-7);
    const PolicyLossOptions options{.kind = PolicyLossKind::gspo, .low = 0.2, .high = 0.2};
    // The published loss of the answer is -s A; its derivative with respect to each log-prob is -s A / 3.
    double loss = 0;
    for (std::size_t t = 0; t < now.size(); ++t) {
        const auto token = policy_loss({now[t], old[t], 0}, 2, options, s);
        loss += token.loss / 3;
        EXPECT_NEAR(token.dloss_dlogp / 3, -s * 2 / 3, 1e-12);
        EXPECT_EQ(token.ratio, s);
    }
    EXPECT_NEAR(loss, -s * 2, 1e-12);
    EXPECT_EQ(policy_loss({-0.1, -1, 0}, 2, options, 1.3).dloss_dlogp, 0) << "the answer's ratio is clipped";
    EXPECT_EQ(answer_ratio({}, {}), 1);
}

TEST(PolicyLoss, StaysFiniteWithoutAdvantageHoweverLargeTheRatio) {
    EXPECT_EQ(token_of(0, -1e4, 0).loss, 0);
    EXPECT_EQ(token_of(0, -1e4, 0).dloss_dlogp, 0);
}

TEST(PolicyLoss, KeepsSmallDivergencesPrecise) {
    const double d = 1e-6;  // exp(d) - d - 1 = d^2 / 2 + ..., all lost if written so
    const PolicyToken token = policy_loss({-1, -1, -1 + d}, 0, {.beta = 1});
    EXPECT_NEAR(token.kl / (d * d / 2), 1, 1e-3);
    EXPECT_GE(token.kl, 0);
}

/// The loss of a batch of answers, and its gradient, as the rl stage adds it up.
TEST(PolicyLoss, IsThatOfAnotherTrainer) {
    for (const peer::Case& c : peer::kCases) {
        SCOPED_TRACE(c.name);
        double tokens = 0, loss = 0;
        for (const auto& answer : c.now) tokens += static_cast<double>(answer.size());
        const auto answers = static_cast<double>(c.now.size());
        for (std::size_t i = 0; i < c.now.size(); ++i) {
            const auto n = static_cast<double>(c.now[i].size());
            const double weight = c.mean == peer::Mean::token      ? 1 / tokens
                                  : c.mean == peer::Mean::sequence ? 1 / (answers * n)
                                                                   : 1 / (answers * peer::kLongest);
            const std::vector<float> now(c.now[i].begin(), c.now[i].end()), old(c.old[i].begin(), c.old[i].end());
            const double ratio = answer_ratio(now, old);
            for (std::size_t t = 0; t < c.now[i].size(); ++t) {
                const auto token =
                    policy_loss({c.now[i][t], c.old[i][t], c.reference[i][t]}, c.advantage[i][t], c.options, ratio);
                loss += weight * token.loss;
                EXPECT_NEAR(weight * token.dloss_dlogp, c.gradient[i][t], 1e-7) << i << " " << t;
            }
        }
        EXPECT_NEAR(loss, c.loss, 1e-7);
    }
}

TEST(ImportanceWeights, AreTruncatedFromAboveAlone) {
    EXPECT_EQ(importance_weight(-1, -9, {}), 1) << "off";
    EXPECT_NEAR(importance_weight(-1, -1.5, {.truncate = 2}), std::exp(0.5), 1e-12);
    EXPECT_EQ(importance_weight(-1, -9, {.truncate = 2}), 2);
    EXPECT_NEAR(importance_weight(-9, -1, {.truncate = 2}), std::exp(-8), 1e-12);
}

TEST(ImportanceWeights, RejectAnswersWhoseMeanDifferenceIsTooLarge) {
    const std::vector<float> old{-1, -1}, near{-1.0625F, -0.9375F}, far{-1.25F, -1.25F};
    EXPECT_FALSE(is_rejected(old, far, {}));
    EXPECT_FALSE(is_rejected(old, near, {.truncate = 0, .reject = 0.125})) << "differences of both signs cancel";
    EXPECT_TRUE(is_rejected(old, far, {.truncate = 0, .reject = 0.125}));
    EXPECT_TRUE(is_rejected(far, old, {.truncate = 0, .reject = 0.125}));
    EXPECT_FALSE(is_rejected({}, {}, {.truncate = 0, .reject = 0.125}));
}

}  // namespace
}  // namespace tdrm::reward
