#include "tdrm/eval/first_error.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/random.hpp"

namespace tdrm::eval {

TEST(FirstError, IsTheFirstStepBelowTheThreshold) {
    const std::vector<double> values{0.9, 0.5, 0.2, 0.1};
    EXPECT_EQ(first_error(values, 0.5), 2);
    EXPECT_EQ(first_error(values, 0.05), -1);
    EXPECT_EQ(first_error(values, 1), 0);
    EXPECT_EQ(first_error({}, 1), -1);
}

TEST(FirstErrorScore, IsTheHarmonicMeanOfBothHalves) {
    const std::vector<std::int64_t> label{-1, -1, -1, -1, 0, 2}, predicted{-1, -1, -1, 1, 0, 1};
    const FirstErrorScore score = first_error_score(predicted, label);
    EXPECT_EQ(score.erroneous, 2);
    EXPECT_EQ(score.correct, 4);
    EXPECT_DOUBLE_EQ(score.accuracy_erroneous, 0.5);
    EXPECT_DOUBLE_EQ(score.accuracy_correct, 0.75);
    EXPECT_DOUBLE_EQ(score.f1, 0.6);
}

TEST(FirstErrorScore, IsZeroIfNothingIsRightAndUndefinedWithoutAHalf) {
    EXPECT_EQ(first_error_score(std::vector<std::int64_t>{0, -1}, std::vector<std::int64_t>{-1, 0}).f1, 0);
    EXPECT_TRUE(std::isnan(first_error_score(std::vector<std::int64_t>{-1}, std::vector<std::int64_t>{-1}).f1));
    EXPECT_THROW((void)first_error_score(std::vector<std::int64_t>{-2}, std::vector<std::int64_t>{0}), DataError);
}

TEST(BestThreshold, BeatsEveryThresholdOfAGrid) {
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
        Random random(random_key(seed, "rows"));
        std::vector<std::vector<double>> values(40);
        std::vector<FirstErrorRow> rows;
        for (auto& row : values) {
            const auto steps = static_cast<std::int64_t>(1 + random.next_below(6));
            const auto label = static_cast<std::int64_t>(random.next_below(static_cast<std::uint64_t>(steps) + 1)) - 1;
            for (std::int64_t k = 0; k < steps; ++k) {
                const double quality = label >= 0 && k >= label ? 0 : 0.4;
                row.push_back(std::floor(10 * (quality + 0.6 * random.next_uniform())) / 10);  // with many equals
            }
            rows.push_back({row, label});
        }
        const Threshold best = best_threshold(rows);
        EXPECT_DOUBLE_EQ(best.score.f1, first_error_score(rows, best.threshold).f1);
        EXPECT_GT(best.score.f1, 0);
        for (double threshold = -0.05; threshold < 1.1; threshold += 0.01) {
            EXPECT_LE(first_error_score(rows, threshold).f1, best.score.f1 + 1e-12);
        }
    }
}

TEST(BestThreshold, RefusesRowsThatDecideNothing) {
    const std::vector<double> values{0.5};
    EXPECT_THROW((void)best_threshold(std::vector<FirstErrorRow>{{values, 0}}), DataError);
    EXPECT_THROW((void)best_threshold(std::vector<FirstErrorRow>{{values, 1}, {values, -1}}), DataError);
    const std::vector<double> broken{std::numeric_limits<double>::quiet_NaN()};
    EXPECT_THROW((void)best_threshold(std::vector<FirstErrorRow>{{broken, 0}, {values, -1}}), DataError);
}

}  // namespace tdrm::eval
