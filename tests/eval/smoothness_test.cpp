#include "tdrm/eval/smoothness.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tdrm/base/errors.hpp"

namespace tdrm::eval {

TEST(Smoothness, KeepsTheLastTransitionApart) {
    const std::vector<double> values{0.5, 0.25, 0.5, 0.125}, targets{0.25, 0.5, 0.125, 0};
    const Smoothness sums = smoothness(values, 0, targets);
    EXPECT_EQ(sums.transitions, 2);
    EXPECT_DOUBLE_EQ(sums.mean_value_change(), 0.25);
    EXPECT_DOUBLE_EQ(sums.mean_terminal_change(), 0.375);
    EXPECT_DOUBLE_EQ(sums.mean_terminal_error(), 0.125);
    EXPECT_DOUBLE_EQ(sums.mean_td_error(), (0.25 + 0.25 + 0.375) / 3);
}

TEST(Smoothness, DividesByTheStepsShareOfTheTokenScale) {
    const std::vector<double> values{0.5, 0.25, 0.5, 0.125};
    const std::vector<std::int32_t> tokens{0, 64, 192, 256};
    const Smoothness sums = smoothness(values, 0, {}, tokens, 512);
    EXPECT_DOUBLE_EQ(sums.mean_value_change(), (0.25 * 8 + 0.25 * 4) / 2);
    EXPECT_DOUBLE_EQ(sums.mean_terminal_change(), 0.375 * 8);
    EXPECT_TRUE(std::isnan(sums.mean_td_error()));
    EXPECT_THROW((void)smoothness(values, 0, {}, std::vector<std::int32_t>{0, 5, 5, 9}), DataError);
}

TEST(Smoothness, AddsUpOverSolutionsOfAnyLength) {
    Smoothness sums = smoothness(std::vector<double>{0.5}, 1);
    EXPECT_EQ(sums.terminals, 0);
    sums += smoothness(std::vector<double>{0.5, 0.75}, 1);
    EXPECT_EQ(sums.transitions, 0);
    EXPECT_EQ(sums.terminals, 1);
    sums += smoothness(std::vector<double>{0.5, 0.75, 1}, 1);
    EXPECT_DOUBLE_EQ(sums.mean_value_change(), 0.25);
    EXPECT_DOUBLE_EQ(sums.mean_terminal_error(), 0.125);
}

}  // namespace tdrm::eval
