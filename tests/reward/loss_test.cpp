#include "tdrm/reward/loss.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace tdrm::reward {

TEST(StateLoss, IsTheCrossEntropyOfTheProbability) {
    for (const double z : {-5.0, -0.3, 0.0, 1.7, 6.0}) {
        for (const double y : {0.0, 0.3, 1.0}) {
            const double p = 1 / (1 + std::exp(-z));
            EXPECT_NEAR(state_loss(z, y).loss, -(y * std::log(p) + (1 - y) * std::log(1 - p)), 1e-12);
            EXPECT_NEAR(state_loss(z, y, 2.5).dloss_dlogit, 2.5 * (p - y), 1e-12);
        }
    }
}

TEST(StateLoss, HasTheDerivativeOfFiniteDifferences) {
    const double h = 1e-5;
    for (const double z : {-4.0, 0.2, 3.0}) {
        const double numeric = (state_loss(z + h, 0.4, 3).loss - state_loss(z - h, 0.4, 3).loss) / (2 * h);
        EXPECT_NEAR(state_loss(z, 0.4, 3).dloss_dlogit, numeric, 1e-8);
    }
}

TEST(StateLoss, KeepsItsGradientWhereTheLogitIsSaturated) {
    EXPECT_DOUBLE_EQ(state_loss(500, 0).loss, 500);
    EXPECT_DOUBLE_EQ(state_loss(500, 0).dloss_dlogit, 1);
    EXPECT_DOUBLE_EQ(state_loss(-500, 1).dloss_dlogit, -1);
    EXPECT_NEAR(state_loss(40, 1).loss / std::exp(-40.0), 1, 1e-12);
    EXPECT_NEAR(state_loss(40, 1).dloss_dlogit / -std::exp(-40.0), 1, 1e-12);
}

TEST(ValueLoss, SkipsStatesWithoutWeight) {
    const std::vector<float> logit{1, INFINITY, -2}, target{1, 0, 0}, weight{2, 0, 1};
    std::vector<float> derivative(3, 9);
    const double loss = value_loss(logit, target, weight, derivative);
    EXPECT_NEAR(loss, 2 * softplus(-1) + softplus(-2), 1e-12);
    EXPECT_EQ(derivative[1], 0);
    EXPECT_FLOAT_EQ(derivative[0], static_cast<float>(2 * (sigmoid(1) - 1)));
    EXPECT_FLOAT_EQ(derivative[2], static_cast<float>(sigmoid(-2)));
}

}  // namespace tdrm::reward
