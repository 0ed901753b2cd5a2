// Finding the first wrong step (ProcessBench, arXiv 2412.06559).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tdrm::eval {

/// 0-based index of the first step whose value is below the threshold, -1 if there is none. value_T[k] is the value of
/// the state after step k, s_{k+1}.
[[nodiscard]] std::int64_t first_error(std::span<const double> value_T, double threshold);

struct FirstErrorScore {
    std::int64_t erroneous = 0;     ///< rows with label >= 0
    std::int64_t correct = 0;       ///< rows with label -1
    double accuracy_erroneous = 0;  ///< share of these where the index is exactly right; NaN if there are none
    double accuracy_correct = 0;    ///< share of these where -1 was predicted; NaN if there are none
    double f1 = 0;                  ///< harmonic mean of both, 0 if both are 0; NaN if a half is empty
};

/// Official score of a subset: labels and predictions are 0-based step indices, -1 = all right.
/// @throws BugError if lengths differ; DataError for an index below -1.
[[nodiscard]] FirstErrorScore first_error_score(std::span<const std::int64_t> predicted,
                                                std::span<const std::int64_t> label);

/// One solution: the values after each of its steps, and the label.
struct FirstErrorRow {
    std::span<const double> value_T;
    std::int64_t label = -1;
};
struct Threshold {
    double threshold = 0;
    FirstErrorScore score;
};
/// Score of all rows at a threshold.
[[nodiscard]] FirstErrorScore first_error_score(std::span<const FirstErrorRow> rows, double threshold);
/// The threshold with the highest F1 (the lowest such): choose it on one subset, use it on the others. A row is right
/// exactly for thresholds in (value of the labelled step, least value before it], so only these ends are tried.
/// O(n log n). @throws DataError for NaN values, a label outside the row, or if one of the halves is empty.
[[nodiscard]] Threshold best_threshold(std::span<const FirstErrorRow> rows);

}  // namespace tdrm::eval
