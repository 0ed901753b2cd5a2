#include "tdrm/eval/value_report.hpp"

#include <cmath>

#include "tdrm/base/errors.hpp"

namespace tdrm::eval {
std::optional<Calibration> calibrate(std::span<const double> value_S, std::span<const double> truth_S,
                                     std::span<const std::size_t> problem_begin) {
    ensure(truth_S.empty() || truth_S.size() == value_S.size(), "truths come one per state");
    std::vector<double> value, truth;
    std::vector<std::size_t> begin;  // of each problem, among the states whose truth is known
    std::size_t problem = 0;
    for (std::size_t s = 0; s < truth_S.size(); ++s) {
        for (; problem < problem_begin.size() && problem_begin[problem] <= s; ++problem) begin.push_back(truth.size());
        if (std::isnan(truth_S[s])) continue;
        value.push_back(value_S[s]);
        truth.push_back(truth_S[s]);
    }
    if (truth.empty()) return std::nullopt;
    if (begin.empty()) begin.push_back(0);
    begin.push_back(truth.size());
    const auto bins = reliability_bins(value, truth);
    return Calibration{bins,
                       expected_calibration_error(bins),
                       brier_score(value, truth),
                       log_loss(value, truth),
                       roc_auc(value, truth),
                       roc_auc_within(value, truth, begin),
                       explained_variance(value, truth)};
}

std::optional<SiblingFigures> sibling_figures(std::span<const double> value_N, std::span<const double> truth_N,
                                              std::span<const std::int32_t> parent_N) {
    ensure(truth_N.size() == value_N.size() && parent_N.size() == value_N.size(), "a value and a truth for each node");
    std::vector<std::vector<std::size_t>> children(value_N.size());
    for (std::size_t n = 0; n < value_N.size(); ++n)
        if (parent_N[n] >= 0 && !std::isnan(truth_N[n])) children[static_cast<std::size_t>(parent_N[n])].push_back(n);
    SiblingFigures figures;
    double ordered = 0, unequal = 0;
    for (const auto& siblings : children)
        for (std::size_t i = 0; i < siblings.size(); ++i)
            for (std::size_t j = 0; j < i; ++j) {
                const double values = value_N[siblings[i]] - value_N[siblings[j]];
                const double truths = truth_N[siblings[i]] - truth_N[siblings[j]];
                figures.pairs += 1;
                figures.mse += (values - truths) * (values - truths);
                if (truths == 0) continue;
                unequal += 1;
                ordered += values == 0 ? 0.5 : (values > 0) == (truths > 0) ? 1 : 0;
            }
    if (figures.pairs == 0) return std::nullopt;
    figures.mse /= static_cast<double>(figures.pairs);
    figures.order = ordered / unequal;
    return figures;
}

ValueReport value_report(std::span<const double> value_S, std::span<const std::size_t> offset,
                         std::span<const double> outcome, std::span<const double> truth_S,
                         std::span<const std::size_t> problem_begin) {
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
    return {static_cast<std::int64_t>(value_S.size()), change / transitions,
            calibrate(value_S, outcome_S, problem_begin), calibrate(value_S, truth_S, problem_begin)};
}

}  // namespace tdrm::eval
