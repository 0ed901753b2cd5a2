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

TEST(ScoreOf, WithoutAStepItIsTheQuestionsLogit) {
    for (const auto& [at, word] : enum_names(ScoreAt{}))
        EXPECT_EQ(score_of(at, std::vector<float>{-2.5F}, 0), -2.5) << word;
}

TEST(ScoreOf, RefusesAStateThatIsntThere) {
    EXPECT_THROW((void)score_of(ScoreAt::penultimate, kLogits, 4), BugError);
    EXPECT_THROW((void)score_of(ScoreAt::last, {}, 0), BugError);
}

}  // namespace tdrm::reward
