#include "tdrm/reward/grpo.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace tdrm::reward {
namespace {

/// The formula as published, without cases.
double loss_twin(double logp, double logp_old, double logp_ref, double a, const GrpoOptions& options) {
    const double rho = std::exp(logp - logp_old);
    const double clipped = std::min(std::max(rho, 1 - options.clip_low), 1 + options.clip_high);
    const double d = logp_ref - logp;
    return -std::min(rho * a, clipped * a) + options.beta * (std::exp(d) - d - 1);
}

}  // namespace

TEST(GrpoToken, HasThePublishedLossAndTheDerivativeOfFiniteDifferences) {
    const GrpoOptions options{.clip_low = 0.2, .clip_high = 0.28, .beta = 0.04};
    const double h = 1e-6;
    for (const double logp : {-3.0, -1.3, -1.1, -1.0, -0.9, -0.7, -0.2}) {
        for (const double a : {-1.5, 0.0, 0.7}) {
            const GrpoToken token = grpo_token(logp, -1, -1.2, a, options);
            EXPECT_NEAR(token.loss, loss_twin(logp, -1, -1.2, a, options), 1e-12);
            const double numeric =
                (loss_twin(logp + h, -1, -1.2, a, options) - loss_twin(logp - h, -1, -1.2, a, options)) / (2 * h);
            EXPECT_NEAR(token.dloss_dlogp, numeric, 1e-8) << "logp " << logp << " advantage " << a;
        }
    }
}

TEST(GrpoToken, OfTheSamplingPolicyIsPlainPolicyGradient) {
    const GrpoToken token = grpo_token(-0.4, -0.4, 0, 0.9);
    EXPECT_EQ(token.ratio, 1);
    EXPECT_EQ(token.loss, -0.9);
    EXPECT_EQ(token.dloss_dlogp, -0.9);
    EXPECT_FALSE(token.clipped_low || token.clipped_high);
    EXPECT_EQ(token.kl, 0);
}

TEST(GrpoToken, IsClippedOnlyWhereItWouldGoFurther) {
    EXPECT_TRUE(grpo_token(0, -1, 0, 1).clipped_high);
    EXPECT_EQ(grpo_token(0, -1, 0, 1).dloss_dlogp, 0);
    EXPECT_NEAR(grpo_token(0, -1, 0, 1).loss, -1.2, 1e-12);
    EXPECT_FALSE(grpo_token(0, -1, 0, -1).clipped_high);
    EXPECT_NEAR(grpo_token(0, -1, 0, -1).dloss_dlogp, std::exp(1), 1e-12);
    EXPECT_TRUE(grpo_token(-1, 0, 0, -1).clipped_low);
    EXPECT_FALSE(grpo_token(-1, 0, 0, 1).clipped_low);
}

TEST(GrpoToken, StaysFiniteWithoutAdvantageHoweverLargeTheRatio) {
    EXPECT_EQ(grpo_token(0, -1e4, 0, 0).loss, 0);
    EXPECT_EQ(grpo_token(0, -1e4, 0, 0).dloss_dlogp, 0);
}

TEST(GrpoToken, KeepsSmallDivergencesPrecise) {
    const double d = 1e-6;  // exp(d) - d - 1 = d^2 / 2 + ..., all lost if written so
    const GrpoToken token = grpo_token(-1, -1, -1 + d, 0, {.beta = 1});
    EXPECT_NEAR(token.kl / (d * d / 2), 1, 1e-3);
    EXPECT_GE(token.kl, 0);
}

}  // namespace tdrm::reward
