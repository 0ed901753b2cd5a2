#include "tdrm/reward/score.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tdrm/base/errors.hpp"

namespace tdrm::reward {

const float kThird = static_cast<float>(std::log(0.5));  // logit of 1/3
const std::vector<float> kLogits{5, 0, kThird, 0};       // s_0 and the probabilities 1/2, 1/3, 1/2

TEST(ScoreOf, OneStateIsItsLogit) {
    EXPECT_EQ(score_of(ScoreAt::last, kLogits, 1), 0);
    EXPECT_EQ(score_of(ScoreAt::penultimate, kLogits, 2), double{kThird});
    EXPECT_EQ(score_of(ScoreAt::penultimate, kLogits, 0), 5);
}

TEST(ScoreOf, AllStepsAreTheirProbabilitiesWithoutTheQuestionsOwn) {
    EXPECT_NEAR(score_of(ScoreAt::minimum, kLogits, 0), 1.0 / 3, 1e-7);
    EXPECT_NEAR(score_of(ScoreAt::mean, kLogits, 0), 4.0 / 9, 1e-7);
    EXPECT_NEAR(score_of(ScoreAt::product, kLogits, 0), 1.0 / 12, 1e-7);
}

TEST(ScoreOf, SurvivalIsTheProductOfTheChancesOfNoError) {
    EXPECT_NEAR(score_of(ScoreAt::survival, kLogits, 0), std::log(1.0 / 2 * 2 / 3 * 1 / 2), 1e-7);
    EXPECT_NEAR(score_of(ScoreAt::survival, std::vector<float>{0.0F}, 0), std::log(0.5), 1e-12);
    // A thousand steps of which none looks bad don't underflow, and stay comparable.
    std::vector<float> sure(1000, -30.0F), doubtful(1000, 2.0F);
    EXPECT_LT(score_of(ScoreAt::survival, doubtful, 0), -2000);
    EXPECT_NEAR(score_of(ScoreAt::survival, sure, 0), -999 * std::exp(-30.0), 1e-14);
}

TEST(ScoreOf, WithoutAStepItIsTheQuestionsOnTheScaleOfTheOthers) {
    const std::vector<float> question{-2.5F};
    for (const ScoreAt at : {ScoreAt::last, ScoreAt::penultimate}) EXPECT_EQ(score_of(at, question, 0), -2.5);
    for (const ScoreAt at : {ScoreAt::minimum, ScoreAt::mean, ScoreAt::product})
        EXPECT_NEAR(score_of(at, question, 0), 1 / (1 + std::exp(2.5)), 1e-12);
}

TEST(ProbabilityOf, IsTheScoreBetweenZeroAndOne) {
    EXPECT_EQ(probability_of(ScoreAt::last, kLogits, 1), 0.5);
    EXPECT_NEAR(probability_of(ScoreAt::penultimate, kLogits, 2), 1.0 / 3, 1e-7);
    EXPECT_NEAR(probability_of(ScoreAt::mean, kLogits, 1), 4.0 / 9, 1e-7);
    EXPECT_NEAR(probability_of(ScoreAt::survival, kLogits, 1), 1.0 / 6, 1e-7);
    for (const auto& [at, word] : enum_names(ScoreAt{})) {
        const double p = probability_of(at, std::vector<float>{4.0F}, 0);
        EXPECT_NEAR(p, at == ScoreAt::survival ? 1 / (1 + std::exp(4.0)) : 1 / (1 + std::exp(-4.0)), 1e-12) << word;
    }
}

TEST(ScoreOf, RefusesAStateThatIsntThere) {
    EXPECT_THROW((void)score_of(ScoreAt::penultimate, kLogits, 4), BugError);
    EXPECT_THROW((void)score_of(ScoreAt::last, {}, 0), BugError);
}

}  // namespace tdrm::reward
