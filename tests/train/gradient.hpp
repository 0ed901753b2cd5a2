// The gradient of a whole batch against the slow twin, whatever the units: that holds the losses' denominators, the
// targets of value models, and what enters a policy's loss.
#pragma once

#include <gtest/gtest.h>

#include "twin.hpp"

namespace tdrm::train {

inline constexpr double kTwin = 1e-4;   // fp32 against double
inline constexpr double kUnits = 1e-5;  // sums of fp32 in another order

/// Compares the batch of `update` with the twin's loss and gradient, cut into one unit, a few, and a unit a sample.
/// @param few_tokens unit_tokens that make a few
template <class Make>
void expect_twin(const Learner& trainee, Make make, std::int64_t update, double loss,
                 const std::vector<double>& gradient, int few_tokens = 60) {
    std::vector<std::vector<double>> found;
    std::vector<std::size_t> units;
    for (const int unit_tokens : {100'000, few_tokens, 1}) {
        const std::unique_ptr<Objective> objective = make(unit_tokens);
        objective->prepare(update);
        const auto batch = gradient_of(trainee, *objective);
        EXPECT_NEAR(batch.metrics.get("loss"), loss, 1e-5 * (1 + std::abs(loss))) << unit_tokens;
        EXPECT_LT(distance(batch.gradient, gradient), kTwin) << unit_tokens;
        found.push_back(batch.gradient);
        units.push_back(batch.units);
    }
    EXPECT_EQ(units[0], 1U);
    EXPECT_TRUE(1 < units[1] && units[1] < units[2]) << units[1] << " " << units[2];
    for (const auto& other : found) EXPECT_LT(distance(other, found[0]), kUnits);
}

}  // namespace tdrm::train
