#include "tdrm/eval/calibration.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "golden.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/random.hpp"

namespace tdrm::eval {
namespace {

using golden::kPrediction;
using golden::kTruth;

/// The definition over all pairs of different items.
double auc_twin(const std::vector<double>& score, const std::vector<double>& truth) {
    double won = 0, pairs = 0;
    for (std::size_t i = 0; i < score.size(); ++i) {
        for (std::size_t j = 0; j < score.size(); ++j) {
            if (i == j) continue;
            const double weight = truth[i] * (1 - truth[j]);
            won += weight * (score[i] > score[j] ? 1 : score[i] == score[j] ? 0.5 : 0);
            pairs += weight;
        }
    }
    return won / pairs;
}

}  // namespace

TEST(Calibration, AgreesWithScikitLearn) {
    EXPECT_NEAR(brier_score(kPrediction, kTruth), golden::kBrier, 1e-12);
    EXPECT_NEAR(log_loss(kPrediction, kTruth), golden::kLogLoss, 1e-12);
    EXPECT_NEAR(roc_auc(kPrediction, kTruth), golden::kAuc, 1e-12);
    const auto bins = reliability_bins(kPrediction, kTruth, 5);
    ASSERT_EQ(bins.size(), 5U);
    for (std::size_t i = 0; i < 5; ++i) {
        EXPECT_NEAR(bins[i].mean_truth, golden::kBinTruth[i], 1e-12);
        EXPECT_NEAR(bins[i].mean_prediction, golden::kBinPrediction[i], 1e-12);
    }
    EXPECT_NEAR(expected_calibration_error(bins), golden::kEce, 1e-12);
    EXPECT_NEAR(explained_variance(kPrediction, kTruth), golden::kExplainedVariance, 1e-12);
}

TEST(ExplainedVariance, IsOneZeroOrBelow) {
    const std::vector<double> truth{0, 1, 0.5, 0.25};
    EXPECT_DOUBLE_EQ(explained_variance(truth, truth), 1);
    EXPECT_NEAR(explained_variance(std::vector<double>(4, 0.9), truth), 0, 1e-12);
    EXPECT_NEAR(explained_variance(std::vector<double>{0.25, 1, 0.75, 0.5}, std::vector<double>{0, 0.75, 0.5, 0.25}), 1,
                1e-12);  // an offset isn't seen
    EXPECT_LT(explained_variance(std::vector<double>{1, 0, 0.5, 0.75}, truth), 0);
    EXPECT_TRUE(std::isnan(explained_variance(std::vector<double>{0.5, 0.6}, std::vector<double>{1, 1})));
}

TEST(RocAucWithin, CountsThePairsOfEachGroupAlone) {
    Random random(random_key(7, "groups"));
    std::vector<double> score, truth;
    std::vector<std::size_t> begin{0};
    double won = 0, pairs = 0;
    for (int g = 0; g < 20; ++g) {
        std::vector<double> s, y;
        for (std::uint64_t n = random.next_below(6); n > 0; --n) {
            s.push_back(static_cast<double>(random.next_below(5)) + 10 * g);  // groups are far apart
            y.push_back(g % 3 == 0 ? random.next_uniform() : static_cast<double>(random.next_below(2)));
        }
        for (std::size_t i = 0; i < s.size(); ++i)
            for (std::size_t j = 0; j < s.size(); ++j) {
                if (i == j) continue;
                const double weight = y[i] * (1 - y[j]);
                won += weight * (s[i] > s[j] ? 1 : s[i] == s[j] ? 0.5 : 0);
                pairs += weight;
            }
        score.insert(score.end(), s.begin(), s.end());
        truth.insert(truth.end(), y.begin(), y.end());
        begin.push_back(score.size());
    }
    EXPECT_NEAR(roc_auc_within(score, truth, begin), won / pairs, 1e-12);
    EXPECT_NEAR(roc_auc_within(score, truth, std::vector<std::size_t>{0, score.size()}), roc_auc(score, truth), 1e-12);
    // Easy and hard groups told apart, but nothing within: pooled figures look good, this one doesn't.
    const std::vector<double> flat{0.9, 0.9, 0.9, 0.1, 0.1, 0.1}, mixed{1, 1, 0, 0, 0, 1};
    EXPECT_NEAR(roc_auc(flat, mixed), 2.0 / 3, 1e-12);
    EXPECT_EQ(roc_auc_within(flat, mixed, std::vector<std::size_t>{0, 3, 6}), 0.5);
    EXPECT_TRUE(std::isnan(roc_auc_within(flat, mixed, std::vector<std::size_t>{0, 1, 2, 3, 4, 5, 6})));
    EXPECT_THROW((void)roc_auc_within(flat, mixed, std::vector<std::size_t>{0, 3}), BugError);
}

TEST(ReliabilityBins, CoverTheirEndsAndMarkEmptyOnes) {
    const auto bins = reliability_bins(std::vector<double>{0, 0.5, 1, 1}, std::vector<double>{0, 1, 1, 0}, 4);
    EXPECT_EQ(bins[0].count, 1);
    EXPECT_EQ(bins[1].count, 0);
    EXPECT_TRUE(std::isnan(bins[1].mean_truth));
    EXPECT_EQ(bins[2].count, 1);
    EXPECT_EQ(bins[3].count, 2);
    EXPECT_DOUBLE_EQ(bins[3].low, 0.75);
    EXPECT_DOUBLE_EQ(bins[3].high, 1);
    EXPECT_DOUBLE_EQ(expected_calibration_error(bins), (0.5 + 2 * 0.5) / 4);
}

TEST(LogLoss, OfSoftTruthIsTheMixtureAndStaysFinite) {
    EXPECT_NEAR(log_loss(std::vector<double>{0.25}, std::vector<double>{0.5}),
                -0.5 * std::log(0.25) - 0.5 * std::log(0.75), 1e-12);
    EXPECT_NEAR(log_loss(std::vector<double>{0}, std::vector<double>{1}), -std::log(1e-12), 1e-9);
}

TEST(RocAuc, OfSoftTruthEqualsTheSumOverPairs) {
    Random random(random_key(1, "auc"));
    std::vector<double> score, truth;
    for (int i = 0; i < 80; ++i) {
        score.push_back(static_cast<double>(random.next_below(20)));
        truth.push_back(random.next_uniform());
    }
    EXPECT_NEAR(roc_auc(score, truth), auc_twin(score, truth), 1e-12);
}

TEST(RocAuc, OfOneClassIsUndefined) {
    EXPECT_TRUE(std::isnan(roc_auc(std::vector<double>{1, 2}, std::vector<double>{1, 1})));
    EXPECT_EQ(roc_auc(std::vector<double>{1, 2}, std::vector<double>{0, 1}), 1);
    EXPECT_EQ(roc_auc(std::vector<double>{2, 1}, std::vector<double>{0, 1}), 0);
    EXPECT_EQ(roc_auc(std::vector<double>{1, 1}, std::vector<double>{0, 1}), 0.5);
}

TEST(Calibration, RefusesNumbersThatAreNoProbabilities) {
    const std::vector<double> one{1}, logit{2.5}, nan{std::numeric_limits<double>::quiet_NaN()};
    EXPECT_THROW((void)brier_score(logit, one), DataError);
    EXPECT_THROW((void)log_loss(nan, one), DataError);
    EXPECT_THROW((void)roc_auc(nan, one), DataError);
    EXPECT_THROW((void)reliability_bins(one, logit), DataError);
    EXPECT_THROW((void)brier_score({}, {}), BugError);
}

}  // namespace tdrm::eval
