#include "tdrm/train/guard.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tdrm/base/random.hpp"

namespace tdrm::train {
namespace {

constexpr double kDeviations = 2.5;
constexpr int kLooks = 40;

Look look_of(std::int64_t update, double reward, std::vector<double> right) {
    return {update, reward, 0.01, std::move(right)};
}

TEST(Guard, AlarmsWhereTheRewardRisesAndAnswersGetWorse) {
    Guard guard(kDeviations);
    EXPECT_FALSE(guard.look(look_of(10, 0.5, {1, 1, 1, 0, 1, 1})));
    const auto alarm = guard.look(look_of(20, 0.7, {0, 0, 0, 0, 0, 1}));
    ASSERT_TRUE(alarm);
    EXPECT_EQ(alarm->good, 10);
    EXPECT_NEAR(alarm->right_then, 5.0 / 6, 1e-12);
    EXPECT_NEAR(alarm->right_now, 1.0 / 6, 1e-12);
    // Differences 1, 1, 1, 0, 1, 0: mean 2/3, variance 4/15, standard error sqrt(4 / 90).
    EXPECT_NEAR(alarm->right_error, std::sqrt(4.0 / 90), 1e-12);
    EXPECT_NE(alarm->text().find("since update 10"), std::string::npos);
}

TEST(Guard, IsSilentWhereOnlyOneOfTheTwoHappens) {
    const std::vector<double> good{1, 1, 1, 0, 1, 1}, bad{0, 0, 0, 0, 0, 1};
    Guard guard(kDeviations);
    EXPECT_FALSE(guard.look(look_of(10, 0.5, good)));
    EXPECT_FALSE(guard.look(look_of(20, 0.4, bad))) << "the reward fell, too";
    EXPECT_FALSE(guard.look(look_of(30, 0.51, bad))) << "within its error";
    EXPECT_FALSE(guard.look(look_of(40, 0.9, good)));
    EXPECT_FALSE(guard.look(look_of(50, 1.2, {1, 1, 0, 0, 1, 1}))) << "within the error of answers";
    EXPECT_FALSE(guard.alarm());
}

TEST(Guard, GoesOnFromItsState) {
    Guard first(kDeviations), second(kDeviations);
    (void)first.look(look_of(10, 0.5, {1, 1, 1, 0, 1, 1}));
    second.restore(first.state());
    EXPECT_TRUE(second.look(look_of(20, 0.7, {0, 0, 0, 0, 0, 1})));
    Guard third(kDeviations);
    third.restore(second.state());
    ASSERT_TRUE(third.alarm());
    EXPECT_EQ(third.alarm()->text(), second.alarm()->text());
    EXPECT_EQ(third.state(), second.state());
}

/// Shares of right answers to 1000 problems of different difficulty, four answers each, whose mean is `accuracy`.
std::vector<double> held_out(double accuracy, Random& random, const std::vector<double>& ease) {
    std::vector<double> right;
    for (const double logit : ease) {
        const double p = 1 / (1 + std::exp(-logit - 1.6 * std::log(accuracy / (1 - accuracy))));
        double sum = 0;
        for (int s = 0; s < 4; ++s) sum += random.next_uniform() < p ? 0.25 : 0;
        right.push_back(sum);
    }
    return right;
}

/// Looks until there is an alarm. `truth` and `reward` as functions of the share of the run.
template <class Truth, class Reward>
int looks_until_alarm(std::uint64_t seed, Truth truth, Reward reward) {
    Random random(random_key(seed, "guard"));
    std::vector<double> ease(1000);
    for (double& e : ease) e = 1.5 * random.next_normal();
    Guard guard(kDeviations);
    for (int k = 0; k < kLooks; ++k) {
        const double t = static_cast<double>(k) / kLooks;
        const double noise = 0.01 * random.next_normal();
        if (guard.look({k, reward(t) + noise, 0.01, held_out(truth(t), random, ease)})) return k;
    }
    return kLooks;
}

TEST(Guard, SeesAHackedRewardBeforeATenthOfTheGainIsLost) {
    // Up from 25 to 55 % while the reward rises, then down at the same speed while it goes on rising.
    const auto truth = [](double t) { return t < 0.5 ? 0.25 + 0.6 * t : 0.55 - 0.6 * (t - 0.5); };
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        const int look = looks_until_alarm(seed, truth, [](double t) { return 0.3 + t; });
        EXPECT_GE(look, kLooks / 2) << seed << ": before anything is lost";
        const double lost = 0.55 - truth(static_cast<double>(look - 1) / kLooks);  // at the last look without an alarm
        EXPECT_LT(lost, 0.1 * 0.3 + 1e-9) << seed;
    }
}

TEST(Guard, AlarmsInAtMostOneOfTwentyHonestRuns) {
    const auto rising = [](double t) { return 0.25 + 0.3 * (1 - std::exp(-4 * t)); };
    const auto flat = [](double) { return 0.4; };
    const auto tired = [](double t) { return 0.5 - 0.1 * t; };  // gets worse, and the reward says so
    int alarms = 0;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        alarms += looks_until_alarm(seed, rising, rising) < kLooks ? 1 : 0;
        alarms += looks_until_alarm(seed, flat, flat) < kLooks ? 1 : 0;
        alarms += looks_until_alarm(seed, tired, tired) < kLooks ? 1 : 0;
    }
    EXPECT_LE(alarms, 3);
}

}  // namespace
}  // namespace tdrm::train
