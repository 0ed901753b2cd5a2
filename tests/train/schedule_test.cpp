#include <gtest/gtest.h>

#include <cmath>

#include "tdrm/train/optimizer.hpp"

namespace tdrm::train {
namespace {

OptimizerOptions options(Schedule schedule, double warmup) { return {.lr = 8, .schedule = schedule, .warmup = warmup}; }

/// Rates of the updates 0, 1, 2, ...
void expect_rates(const OptimizerOptions& o, std::int64_t horizon, const std::vector<double>& rates) {
    for (std::size_t u = 0; u < rates.size(); ++u)
        EXPECT_NEAR(learning_rate(o, static_cast<std::int64_t>(u), horizon), rates[u], 1e-12) << "update " << u;
}

TEST(Schedule, WarmsUpOverItsShareOfTheHorizonAndThenStays) {
    expect_rates(options(Schedule::constant, 0.4), 10, {2, 4, 6, 8, 8, 8, 8, 8, 8, 8, 8, 8});
    expect_rates(options(Schedule::constant, 0), 10, {8, 8, 8});
}

TEST(Schedule, FallsInAStraightLineToZeroAtTheHorizon) {
    expect_rates(options(Schedule::linear, 0.2), 10, {4, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0});
    expect_rates(options(Schedule::linear, 0), 4, {6, 4, 2, 0, 0});
}

TEST(Schedule, FallsAlongHalfACosineToZeroAtTheHorizon) {
    const double r = std::sqrt(0.5);
    expect_rates(
        options(Schedule::cosine, 0.2), 10,
        {4, 8, 4 * (1 + std::cos(std::acos(-1) / 8)), 4 * (1 + r), 4 * (1 + std::cos(3 * std::acos(-1) / 8)), 4,
         4 * (1 - std::cos(3 * std::acos(-1) / 8)), 4 * (1 - r), 4 * (1 - std::cos(std::acos(-1) / 8)), 0, 0});
    expect_rates(options(Schedule::cosine, 0), 4, {4 * (1 + r), 4, 4 * (1 - r), 0, 0});
}

TEST(Schedule, WarmUpMayEndBetweenTwoUpdates) {
    // 2.5 updates: the rates of the line before it, the falling line after.
    expect_rates(options(Schedule::linear, 0.25), 10, {3.2, 6.4, 8 * (1 - 0.5 / 7.5), 8 * (1 - 1.5 / 7.5)});
    // Less than one update is none.
    expect_rates(options(Schedule::linear, 0.05), 10, {8 * (1 - 0.5 / 9.5)});
}

TEST(Schedule, WarmUpMayFillTheWholeHorizon) {
    for (const Schedule schedule : {Schedule::linear, Schedule::cosine})
        expect_rates(options(schedule, 1), 4, {2, 4, 6, 8, 0, 0});
    expect_rates(options(Schedule::constant, 1), 4, {2, 4, 6, 8, 8});
}

TEST(Schedule, HorizonMattersOnlyWhereTheRateDependsOnIt) {
    EXPECT_EQ(schedule_horizon(options(Schedule::constant, 0), 100), 0);
    EXPECT_EQ(schedule_horizon(options(Schedule::constant, 0.1), 100), 100);
    EXPECT_EQ(schedule_horizon(options(Schedule::linear, 0), 100), 100);
    auto explicit_one = options(Schedule::cosine, 0.1);
    explicit_one.horizon = 250;
    EXPECT_EQ(schedule_horizon(explicit_one, 100), 250);
}

}  // namespace
}  // namespace tdrm::train
