#include "tdrm/eval/value_report.hpp"

#include <cmath>

#include "tdrm/base/errors.hpp"

namespace tdrm::eval {
namespace {

/// Calibration over the states whose truth is known.
std::optional<Calibration> calibration(std::span<const double> value_S, std::span<const double> truth_S) {
    std::vector<double> value, truth;
    for (std::size_t s = 0; s < truth_S.size(); ++s) {
        if (std::isnan(truth_S[s])) continue;
        value.push_back(value_S[s]);
        truth.push_back(truth_S[s]);
    }
    if (truth.empty()) return std::nullopt;
    const auto bins = reliability_bins(value, truth);
    return Calibration{bins, expected_calibration_error(bins), brier_score(value, truth), log_loss(value, truth),
                       roc_auc(value, truth)};
}

}  // namespace

ValueReport value_report(std::span<const double> value_S, std::span<const std::size_t> offset,
                         std::span<const double> outcome, std::span<const double> truth_S) {
    ensure(offset.size() == outcome.size() + 1 && offset.back() == value_S.size(), "states belong to solutions");
    ensure(truth_S.empty() || truth_S.size() == value_S.size(), "truths come one per state");
    std::vector<double> outcome_S(value_S.size());
    double change = 0, transitions = 0;
    for (std::size_t i = 0; i < outcome.size(); ++i)
        for (std::size_t s = offset[i]; s < offset[i + 1]; ++s) {
            outcome_S[s] = outcome[i];
            if (s == offset[i] || s + 1 == offset[i + 1]) continue;
            change += std::abs(value_S[s] - value_S[s - 1]);
            transitions += 1;
        }
    return {static_cast<std::int64_t>(value_S.size()), change / transitions, calibration(value_S, outcome_S),
            calibration(value_S, truth_S)};
}

}  // namespace tdrm::eval
