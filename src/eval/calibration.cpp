#include "tdrm/eval/calibration.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

#include "tdrm/base/errors.hpp"

namespace tdrm::eval {
namespace {

void check_probabilities(std::span<const double> values, const char* what) {
    for (const double value : values) {
        if (!(value >= 0 && value <= 1)) {
            throw DataError(cat("a ", what, " is ", value, ", outside [0, 1] (it should be a probability). ",
                                "Apply the sigmoid to logits first."));
        }
    }
}

void check_pairs(std::span<const double> prediction, std::span<const double> truth) {
    ensure(prediction.size() == truth.size() && !truth.empty(), "predictions and truths come in pairs");
    check_probabilities(prediction, "prediction");
    check_probabilities(truth, "truth");
}

}  // namespace

std::vector<ReliabilityBin> reliability_bins(std::span<const double> prediction, std::span<const double> truth,
                                             int bins) {
    check_pairs(prediction, truth);
    ensure(bins >= 1, "there is at least one bin");
    std::vector<ReliabilityBin> result(static_cast<std::size_t>(bins));
    for (std::size_t i = 0; i < prediction.size(); ++i) {
        const int index = std::min(static_cast<int>(prediction[i] * bins), bins - 1);
        ReliabilityBin& bin = result[static_cast<std::size_t>(index)];
        bin.count += 1;
        bin.mean_prediction += prediction[i];
        bin.mean_truth += truth[i];
    }
    for (int i = 0; i < bins; ++i) {
        ReliabilityBin& bin = result[static_cast<std::size_t>(i)];
        bin.low = static_cast<double>(i) / bins;
        bin.high = static_cast<double>(i + 1) / bins;
        bin.mean_prediction /= static_cast<double>(bin.count);  // 0 / 0 = NaN for an empty bin
        bin.mean_truth /= static_cast<double>(bin.count);
    }
    return result;
}

double expected_calibration_error(std::span<const ReliabilityBin> bins) {
    double sum = 0;
    double count = 0;
    for (const ReliabilityBin& bin : bins) {
        if (bin.count == 0) continue;
        sum += static_cast<double>(bin.count) * std::abs(bin.mean_prediction - bin.mean_truth);
        count += static_cast<double>(bin.count);
    }
    return sum / count;
}

double brier_score(std::span<const double> prediction, std::span<const double> truth) {
    check_pairs(prediction, truth);
    double sum = 0;
    for (std::size_t i = 0; i < truth.size(); ++i) sum += (prediction[i] - truth[i]) * (prediction[i] - truth[i]);
    return sum / static_cast<double>(truth.size());
}

double log_loss(std::span<const double> prediction, std::span<const double> truth) {
    check_pairs(prediction, truth);
    constexpr double kSmallest = 1e-12;
    double sum = 0;
    for (std::size_t i = 0; i < truth.size(); ++i) {
        const double p = std::clamp(prediction[i], kSmallest, 1 - kSmallest);
        sum -= truth[i] * std::log(p) + (1 - truth[i]) * std::log1p(-p);
    }
    return sum / static_cast<double>(truth.size());
}

double explained_variance(std::span<const double> prediction, std::span<const double> truth) {
    check_pairs(prediction, truth);
    const auto n = static_cast<double>(truth.size());
    double mean_truth = 0, mean_rest = 0;
    for (std::size_t i = 0; i < truth.size(); ++i) {
        mean_truth += truth[i] / n;
        mean_rest += (truth[i] - prediction[i]) / n;
    }
    double all = 0, rest = 0;
    for (std::size_t i = 0; i < truth.size(); ++i) {
        all += (truth[i] - mean_truth) * (truth[i] - mean_truth);
        rest += (truth[i] - prediction[i] - mean_rest) * (truth[i] - prediction[i] - mean_rest);
    }
    const bool equal = std::all_of(truth.begin(), truth.end(), [&](double y) { return y == truth[0]; });
    return equal ? std::numeric_limits<double>::quiet_NaN() : 1 - rest / all;
}

namespace {

/// Weights of pairs of a positive and a negative item.
struct Pairs {
    double won = 0;  ///< with the positive above, ties half
    double all = 0;
};

Pairs count_pairs(std::span<const double> score, std::span<const double> truth) {
    ensure(score.size() == truth.size() && !truth.empty(), "scores and truths come in pairs");
    check_probabilities(truth, "truth");
    if (std::any_of(score.begin(), score.end(), [](double s) { return std::isnan(s); })) {
        throw DataError("a score is NaN (it can't be ranked). Score the data again.");
    }
    std::vector<std::size_t> order(score.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return score[a] < score[b]; });
    double won = 0;        // weight of pairs with the positive above, ties half
    double pairs = 0;      // weight of all pairs of different items
    double positives = 0;  // weight below the present group of equal scores
    double negatives = 0;
    for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
        double group_positives = 0;
        double group_negatives = 0;
        double own_pairs = 0;  // of an item with itself
        for (; end < order.size() && score[order[end]] == score[order[begin]]; ++end) {
            const double y = truth[order[end]];
            group_positives += y;
            group_negatives += 1 - y;
            own_pairs += y * (1 - y);
        }
        const double ties = group_positives * group_negatives - own_pairs;
        won += group_positives * negatives + ties / 2;
        pairs += group_positives * negatives + positives * group_negatives + ties;
        positives += group_positives;
        negatives += group_negatives;
    }
    return {won, pairs};
}

double auc_of(const Pairs& pairs) {
    return pairs.all > 0 ? pairs.won / pairs.all : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

double roc_auc(std::span<const double> score, std::span<const double> truth) {
    return auc_of(count_pairs(score, truth));
}

double roc_auc_within(std::span<const double> score, std::span<const double> truth,
                      std::span<const std::size_t> group_begin) {
    ensure(!group_begin.empty() && group_begin.back() == score.size(), "items belong to groups");
    Pairs sum;
    for (std::size_t g = 0; g + 1 < group_begin.size(); ++g) {
        const std::size_t size = group_begin[g + 1] - group_begin[g];
        if (size == 0) continue;
        const Pairs pairs = count_pairs(score.subspan(group_begin[g], size), truth.subspan(group_begin[g], size));
        sum.won += pairs.won;
        sum.all += pairs.all;
    }
    return auc_of(sum);
}

}  // namespace tdrm::eval
