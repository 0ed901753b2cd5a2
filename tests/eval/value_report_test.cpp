#include "tdrm/eval/value_report.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tdrm/base/errors.hpp"

namespace tdrm::eval {

const double kUnknown = std::nan("");
// Two solutions: three steps and a right outcome, one step and a wrong one.
const std::vector<double> kValues{0.5, 0.25, 0.75, 1, 0.5, 0};
const std::vector<std::size_t> kOffsets{0, 4, 6};

TEST(ValueReport, TakesTheOutcomeAsTheTruthOfEveryState) {
    const ValueReport report = value_report(kValues, kOffsets, std::vector<double>{1, 0}, {});
    EXPECT_EQ(report.states, 6);
    ASSERT_TRUE(report.outcome);
    EXPECT_DOUBLE_EQ(report.outcome->brier, (0.25 + 0.5625 + 0.0625 + 0 + 0.25 + 0) / 6);
    EXPECT_DOUBLE_EQ(report.outcome->auc, 6.5 / 8);
    EXPECT_FALSE(report.truth);
}

TEST(ValueReport, LeavesTheStepThatRevealsTheOutcomeOutOfTheChange) {
    const std::vector<double> outcome{1, 0};
    EXPECT_DOUBLE_EQ(value_report(kValues, kOffsets, outcome, {}).mean_value_change, (0.25 + 0.5) / 2);
    const std::vector<double> short_one{0.5, 0.75};
    EXPECT_TRUE(std::isnan(
        value_report(short_one, std::vector<std::size_t>{0, 2}, std::vector<double>{1}, {}).mean_value_change));
}

TEST(ValueReport, ComparesWithWhatIsKnownOnly) {
    const std::vector<double> truth{kUnknown, 1, 1, kUnknown, kUnknown, 0};
    const ValueReport report = value_report(kValues, kOffsets, std::vector<double>{kUnknown, kUnknown}, truth);
    EXPECT_FALSE(report.outcome);
    ASSERT_TRUE(report.truth);
    EXPECT_DOUBLE_EQ(report.truth->brier, (0.5625 + 0.0625 + 0) / 3);
    EXPECT_EQ(report.truth->auc, 1);
    std::int64_t counted = 0;
    for (const auto& bin : report.truth->bins) counted += bin.count;
    EXPECT_EQ(counted, 3);
    const std::vector<double> half{1, kUnknown};
    EXPECT_DOUBLE_EQ(value_report(kValues, kOffsets, half, {}).outcome->brier, (0.25 + 0.5625 + 0.0625 + 0) / 4);
}

TEST(ValueReport, RanksWithinProblemsAmongTheStatesThatAreKnown) {
    // Two problems of three states each; one state of the first isn't known.
    const std::vector<double> values{0.2, 0.3, 0.9, 0.6, 0.7, 0.8}, truth{0, 1, kUnknown, 1, 0, 1};
    const std::vector<std::size_t> offsets{0, 1, 3, 6}, problems{0, 3, 6};
    const std::vector<double> outcome(3, kUnknown);
    const auto report = value_report(values, offsets, outcome, truth, problems);
    EXPECT_DOUBLE_EQ(report.truth->auc_within, 2.0 / 3);  // .3 over .2; .6 under .7, .8 over .7
    EXPECT_DOUBLE_EQ(report.truth->auc, 4.0 / 6);
    EXPECT_DOUBLE_EQ(value_report(values, offsets, outcome, truth).truth->auc_within, 4.0 / 6);
    const std::vector<double> exact(values);
    EXPECT_DOUBLE_EQ(calibrate(values, exact, problems)->explained_variance, 1);
    EXPECT_EQ(calibrate(values, exact, problems)->brier, 0);
    EXPECT_FALSE(calibrate(values, std::vector<double>(6, kUnknown), problems));
}

TEST(SiblingFigures, AreOfTheChildrenOfOneStateAlone) {
    // A root with three children, of which one isn't known; the first child has two more; another root has an only
    // child.
    const std::vector<std::int32_t> parent{-1, 0, 0, 0, 1, 1, -1, 6};
    const std::vector<double> value{0.9, 0.5, 0.2, 0.7, 0.4, 0.4, 0.1, 1};
    const std::vector<double> truth{0, 0.6, 0.5, kUnknown, 1, 0, 0, 0};
    const auto figures = sibling_figures(value, truth, parent);
    ASSERT_TRUE(figures);
    EXPECT_EQ(figures->pairs, 2);
    EXPECT_NEAR(figures->mse, ((0.3 - 0.1) * (0.3 - 0.1) + 1) / 2, 1e-12);
    EXPECT_EQ(figures->order, 0.75);  // one right, one tie
    EXPECT_TRUE(std::isnan(sibling_figures(value, std::vector<double>(8, 0.5), parent)->order));
    EXPECT_FALSE(sibling_figures(value, truth, std::vector<std::int32_t>{-1, -1, -1, -1, -1, -1, -1, 0}));
    EXPECT_THROW((void)sibling_figures(value, truth, std::vector<std::int32_t>{-1}), BugError);
}

TEST(ValueReport, RefusesWhatDoesntFit) {
    EXPECT_THROW((void)value_report(kValues, kOffsets, std::vector<double>{1}, {}), BugError);
    EXPECT_THROW((void)value_report(kValues, kOffsets, std::vector<double>{1, 0}, std::vector<double>{1}), BugError);
}

}  // namespace tdrm::eval
