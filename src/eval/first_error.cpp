#include "tdrm/eval/first_error.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "tdrm/base/errors.hpp"

namespace tdrm::eval {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

FirstErrorScore score_from(double right_erroneous, std::int64_t erroneous, double right_correct, std::int64_t correct) {
    FirstErrorScore score{erroneous, correct};
    score.accuracy_erroneous = right_erroneous / static_cast<double>(erroneous);  // 0 / 0 = NaN for an empty half
    score.accuracy_correct = right_correct / static_cast<double>(correct);
    const double sum = score.accuracy_erroneous + score.accuracy_correct;
    score.f1 = sum == 0 ? 0 : 2 * score.accuracy_erroneous * score.accuracy_correct / sum;
    return score;
}

/// Open below, closed above: the thresholds for which a row is right. Empty unless low < high.
struct RightThresholds {
    double low;
    double high;
};

RightThresholds right_thresholds(const FirstErrorRow& row) {
    const auto steps = static_cast<std::int64_t>(row.value_T.size());
    if (row.label < -1 || row.label >= steps) {
        throw DataError(cat("label ", row.label, " points past a solution of ", steps,
                            " steps (it is the index of the first wrong step). Leave the row out, or correct it."));
    }
    if (std::any_of(row.value_T.begin(), row.value_T.end(), [](double v) { return std::isnan(v); })) {
        throw DataError("a step value is NaN (it can't be compared). Score the solutions again.");
    }
    const auto before = row.value_T.first(static_cast<std::size_t>(row.label < 0 ? steps : row.label));
    const double least = before.empty() ? kInfinity : *std::min_element(before.begin(), before.end());
    return {row.label < 0 ? -kInfinity : row.value_T[static_cast<std::size_t>(row.label)], least};
}

/// How many of a set of rows are right at a threshold.
class RightCount {
public:
    explicit RightCount(const std::vector<RightThresholds>& rows) {
        for (const auto& [low, high] : rows) {
            if (!(low < high)) continue;
            low_.push_back(low);
            high_.push_back(high);
        }
        std::sort(low_.begin(), low_.end());
        std::sort(high_.begin(), high_.end());
    }
    [[nodiscard]] double at(double threshold) const {
        const auto below = [&](const std::vector<double>& ends) {
            return std::lower_bound(ends.begin(), ends.end(), threshold) - ends.begin();
        };
        return static_cast<double>(below(low_) - below(high_));
    }

private:
    std::vector<double> low_, high_;
};

}  // namespace

std::int64_t first_error(std::span<const double> value_T, double threshold) {
    const auto wrong = std::find_if(value_T.begin(), value_T.end(), [&](double v) { return v < threshold; });
    return wrong == value_T.end() ? -1 : wrong - value_T.begin();
}

FirstErrorScore first_error_score(std::span<const std::int64_t> predicted, std::span<const std::int64_t> label) {
    ensure(predicted.size() == label.size(), "predictions and labels come in pairs");
    std::int64_t erroneous = 0;
    double right_erroneous = 0;
    double right_correct = 0;
    for (std::size_t i = 0; i < label.size(); ++i) {
        if (predicted[i] < -1 || label[i] < -1) {
            throw DataError(cat("step index ", std::min(predicted[i], label[i]),
                                " (-1 means no error, 0 the first step). Correct the row."));
        }
        erroneous += label[i] >= 0 ? 1 : 0;
        if (predicted[i] == label[i]) (label[i] >= 0 ? right_erroneous : right_correct) += 1;
    }
    return score_from(right_erroneous, erroneous, right_correct, static_cast<std::int64_t>(label.size()) - erroneous);
}

FirstErrorScore first_error_score(std::span<const FirstErrorRow> rows, double threshold) {
    std::vector<std::int64_t> predicted, label;
    for (const FirstErrorRow& row : rows) {
        predicted.push_back(first_error(row.value_T, threshold));
        label.push_back(row.label);
    }
    return first_error_score(predicted, label);
}

Threshold best_threshold(std::span<const FirstErrorRow> rows) {
    std::vector<RightThresholds> erroneous, correct;
    std::vector<double> ends;
    for (const FirstErrorRow& row : rows) {
        const RightThresholds right = right_thresholds(row);
        (row.label >= 0 ? erroneous : correct).push_back(right);
        for (const double end : {right.low, right.high}) {
            if (std::isfinite(end)) ends.push_back(end);
        }
    }
    if (erroneous.empty() || correct.empty() || ends.empty()) {
        throw DataError(
            "a threshold can't be chosen (that needs solutions with and without an error). Give a subset with both.");
    }
    std::sort(ends.begin(), ends.end());
    ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
    const RightCount right_erroneous(erroneous), right_correct(correct);
    Threshold best{ends.front(), {.f1 = -1}};
    for (const double end : ends) {
        const FirstErrorScore score = score_from(right_erroneous.at(end), static_cast<std::int64_t>(erroneous.size()),
                                                 right_correct.at(end), static_cast<std::int64_t>(correct.size()));
        if (score.f1 > best.score.f1) best = {end, score};
    }
    return best;
}

}  // namespace tdrm::eval
