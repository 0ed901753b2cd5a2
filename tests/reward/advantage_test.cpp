#include "tdrm/reward/advantage.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/random.hpp"
#include "tdrm/reward/loss.hpp"

namespace tdrm::reward {

TEST(GroupAdvantage, ReproducesTheWorkedGroup) {
    const std::vector<double> rewards{1, 0, 0, 1};
    const auto advantages = group_advantages(rewards);
    for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(advantages[i], rewards[i] > 0 ? 0.86588 : -0.86588, 5e-6);
}

TEST(GroupAdvantage, EqualRewardsGiveZeroAdvantage) {
    for (const double reward : {0.1, 0.2 * -7.3 + 0.8, 1.0}) {
        EXPECT_EQ(group_advantages(std::vector<double>(7, reward)), std::vector<double>(7, 0.0));
    }
    EXPECT_EQ(group_advantages(std::vector<double>{5}), std::vector<double>{0});
    EXPECT_TRUE(group_advantages({}).empty());
}

TEST(GroupAdvantage, WithoutStdIsCentred) {
    EXPECT_EQ(group_advantages(std::vector<double>{1, 0, 0, 1}, {.divide_by_std = false}),
              (std::vector<double>{0.5, -0.5, -0.5, 0.5}));
}

TEST(GroupAdvantage, LeavesOneOutOfItsBaseline) {
    const std::vector<double> rewards{0.3, 1, -2, 0.7};
    const auto advantages = group_advantages(rewards, {.divide_by_std = false, .leave_one_out = true});
    for (std::size_t i = 0; i < 4; ++i) {
        const double others = (std::accumulate(rewards.begin(), rewards.end(), 0.0) - rewards[i]) / 3;
        EXPECT_NEAR(advantages[i], rewards[i] - others, 1e-12);
    }
}

TEST(GroupAdvantage, LeaveOneOutIsDividedByTheDeviationOfTheWholeGroup) {
    const std::vector<double> rewards{1, 0, 0, 1};
    const auto advantages = group_advantages(rewards, {.leave_one_out = true});
    const double deviation = std::sqrt(1.0 / 3);
    for (std::size_t i = 0; i < 4; ++i)
        EXPECT_NEAR(advantages[i], (rewards[i] > 0 ? 2.0 / 3 : -2.0 / 3) / (deviation + 1e-4), 1e-12);
}

TEST(StepAdvantage, OfLambdaOneIsRewardMinusBaseline) {
    const std::vector<double> values{0.2, 0.5, 0.9, 0.4};
    const auto advantages = step_advantages(values, 1);
    ASSERT_EQ(advantages.size(), 4U);
    for (std::size_t t = 0; t < 4; ++t) EXPECT_NEAR(advantages[t], 1 - values[t], 1e-12);
}

TEST(StepAdvantage, OfLambdaZeroIsTheTdError) {
    const std::vector<double> values{0.2, 0.5, 0.9, 0.4}, rewards{0.1, 0.2, 0.3};
    const auto advantages = step_advantages(values, 1, 0.9, 0, rewards);
    EXPECT_NEAR(advantages[0], 0.1 + 0.9 * 0.5 - 0.2, 1e-12);
    EXPECT_NEAR(advantages[1], 0.2 + 0.9 * 0.9 - 0.5, 1e-12);
    EXPECT_NEAR(advantages[2], 0.3 + 0.9 * 1 - 0.9, 1e-12);  // the reward, not V(s_3)
    EXPECT_NEAR(advantages[3], 1 - 0.4, 1e-12);
}

TEST(StepAdvantage, IsTheDiscountedSumOfTdErrors) {
    const std::vector<double> values{0.3, 0.1, 0.6, 0.8, 0.5};
    const double gamma = 0.9, lambda = 0.7;
    const auto advantages = step_advantages(values, 0, gamma, lambda);
    for (std::size_t t = 0; t < 4; ++t) {
        double sum = 0;
        for (std::size_t k = t; k < 4; ++k) {
            const double next = k + 1 == 4 ? 0 : values[k + 1];
            sum += std::pow(gamma * lambda, static_cast<double>(k - t)) * (gamma * next - values[k]);
        }
        EXPECT_NEAR(advantages[t], sum, 1e-12);
    }
}

TEST(TokenAdvantage, FollowsStepEndsAndGivesTheTailToTheLastState) {
    const std::vector<double> advantages{1, 2, 3};
    EXPECT_EQ(token_advantages(advantages, std::vector<std::int32_t>{2, 5}, 7),
              (std::vector<float>{1, 1, 2, 2, 2, 3, 3}));
    EXPECT_EQ(token_advantages(advantages, std::vector<std::int32_t>{2, 5}, 5), (std::vector<float>{1, 1, 2, 2, 2}));
    EXPECT_EQ(token_advantages(std::vector<double>{4}, {}, 3), (std::vector<float>{4, 4, 4}));
    EXPECT_THROW((void)token_advantages(advantages, std::vector<std::int32_t>{5, 2}, 7), BugError);
    EXPECT_THROW((void)token_advantages(advantages, std::vector<std::int32_t>{2, 9}, 7), BugError);
}

TEST(Whitening, GivesTokensMeanZeroAndVarianceOne) {
    const std::vector<double> tokens{3, 1, 0, 6};
    std::vector<double> advantages{0.5, -1, 100, 0.2};
    whiten(advantages, tokens);
    double mean = 0, square = 0;
    for (std::size_t i = 0; i < 4; ++i) {
        mean += tokens[i] * advantages[i] / 10;
        square += tokens[i] * advantages[i] * advantages[i] / 10;
    }
    EXPECT_NEAR(mean, 0, 1e-12);
    EXPECT_NEAR(square, 1, 1e-6);
    std::vector<double> none{1};
    whiten(none, std::vector<double>{0});
    EXPECT_EQ(none[0], 1);
}

TEST(ValueScore, IsTheLogitOrTheProbabilityOfThePenultimateOrTheLastState) {
    const std::vector<float> logits{0, 2, 5};
    EXPECT_EQ(value_score(logits, ScoreAt::penultimate, ValueScale::logit, 1), 2);
    EXPECT_EQ(value_score(logits, ScoreAt::last, ValueScale::logit, 1), 5);
    EXPECT_NEAR(value_score(logits, ScoreAt::penultimate, ValueScale::probability, 1), sigmoid(2), 1e-12);
    EXPECT_THROW((void)value_score(logits, ScoreAt::penultimate, ValueScale::logit, 3), BugError);
    EXPECT_THROW((void)value_score(logits, ScoreAt::mean, ValueScale::logit, 1), BugError);
}

}  // namespace tdrm::reward
