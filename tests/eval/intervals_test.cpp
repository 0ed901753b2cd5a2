#include "tdrm/eval/intervals.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "golden.hpp"

namespace tdrm::eval {

TEST(Wilson, AgreesWithStatsmodels) {
    for (const auto& [successes, expected] :
         {std::pair{0, golden::kWilson0Of20}, {7, golden::kWilson7Of20}, {20, golden::kWilson20Of20}}) {
        const Interval interval = wilson(successes, 20);
        EXPECT_DOUBLE_EQ(interval.mean, successes / 20.0);
        EXPECT_NEAR(interval.low, expected[0], 1e-12);
        EXPECT_NEAR(interval.high, expected[1], 1e-12);
    }
}

TEST(MeanInterval, AgreesWithScipy) {
    const Interval interval = mean_interval(golden::kTruth);
    EXPECT_NEAR(interval.low, golden::kMean95[0], 1e-12);
    EXPECT_NEAR(interval.high, golden::kMean95[1], 1e-12);
    EXPECT_EQ(interval.count, 60);
}

TEST(PairedDifference, AgreesWithScipy) {
    const Interval interval = paired_difference(golden::kPrediction, golden::kTruth);
    EXPECT_NEAR(interval.low, golden::kPaired95[0], 1e-12);
    EXPECT_NEAR(interval.high, golden::kPaired95[1], 1e-12);
}

TEST(BootstrapInterval, AgreesWithTheNormalOneAndIsAFunctionOfItsKey) {
    const Interval normal = mean_interval(golden::kPrediction);
    const Random random(random_key(3, "bootstrap"));
    const Interval bootstrap = bootstrap_interval(golden::kPrediction, random, 20000);
    EXPECT_DOUBLE_EQ(bootstrap.mean, normal.mean);
    EXPECT_NEAR(bootstrap.low, normal.low, 0.005);
    EXPECT_NEAR(bootstrap.high, normal.high, 0.005);
    EXPECT_EQ(bootstrap_interval(golden::kPrediction, random, 100).low,
              bootstrap_interval(golden::kPrediction, random, 100).low);
    const Interval constant = bootstrap_interval(std::vector<double>{2, 2}, random, 10);
    EXPECT_EQ(constant.low, 2);
    EXPECT_EQ(constant.high, 2);
}

TEST(Intervals, OfNothingAreUndefined) {
    EXPECT_TRUE(std::isnan(wilson(0, 0).mean));
    EXPECT_TRUE(std::isnan(mean_interval({}).mean));
    EXPECT_TRUE(std::isnan(bootstrap_interval({}, Random(random_key(1, "x"))).low));
    EXPECT_EQ(mean_interval(std::vector<double>{3}).mean, 3);
    EXPECT_TRUE(std::isnan(mean_interval(std::vector<double>{3}).low));
}

}  // namespace tdrm::eval
