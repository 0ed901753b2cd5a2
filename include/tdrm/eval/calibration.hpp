// How far predicted probabilities agree with what happened, or with exact or Monte Carlo values (soft truth in [0, 1]).
// All take pairs (prediction, truth) of equal length, at least one; BugError otherwise, DataError for numbers outside
// [0, 1] or NaN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tdrm::eval {

struct ReliabilityBin {
    double low = 0;  ///< predictions in [low, high), the last bin with its upper end
    double high = 0;
    std::int64_t count = 0;
    double mean_prediction = 0;  ///< NaN if the bin is empty
    double mean_truth = 0;       ///< NaN if the bin is empty
};
/// Bins of equal width over [0, 1].
[[nodiscard]] std::vector<ReliabilityBin> reliability_bins(std::span<const double> prediction,
                                                           std::span<const double> truth, int bins = 10);

/// Expected calibration error: sum over bins of count / n * |mean prediction - mean truth|.
[[nodiscard]] double expected_calibration_error(std::span<const ReliabilityBin> bins);

/// mean (p - y)^2.
[[nodiscard]] double brier_score(std::span<const double> prediction, std::span<const double> truth);

/// -mean [y log p + (1 - y) log(1 - p)] in nats, p clamped to [1e-12, 1 - 1e-12].
[[nodiscard]] double log_loss(std::span<const double> prediction, std::span<const double> truth);

/// 1 - Var(y - p) / Var(y): the share of the truth's variance that predictions explain; 1 is perfect, 0 as good as any
/// constant, below 0 worse. Blind to a constant offset, which the calibration error shows. NaN if all truths are equal.
[[nodiscard]] double explained_variance(std::span<const double> prediction, std::span<const double> truth);

/// Area under the ROC curve: the probability that a positive is scored above a negative, equals counted half. With soft
/// truth each item is positive with weight y and negative with weight 1 - y, never paired with itself. Scores may be
/// any numbers. NaN if there are no positives or no negatives.
[[nodiscard]] double roc_auc(std::span<const double> score, std::span<const double> truth);

/// The same over the pairs within each group alone, all groups' pairs together: whether what belongs together is ranked
/// right, apart from telling easy groups from hard ones.
/// @param group_begin first item of each group, and the number of items at the end
[[nodiscard]] double roc_auc_within(std::span<const double> score, std::span<const double> truth,
                                    std::span<const std::size_t> group_begin);

}  // namespace tdrm::eval
