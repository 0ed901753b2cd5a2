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

TEST(Intervals, OfNothingAreUndefined) {
    EXPECT_TRUE(std::isnan(wilson(0, 0).mean));
    EXPECT_TRUE(std::isnan(mean_interval({}).mean));
    EXPECT_EQ(mean_interval(std::vector<double>{3}).mean, 3);
    EXPECT_TRUE(std::isnan(mean_interval(std::vector<double>{3}).low));
}

}  // namespace tdrm::eval
