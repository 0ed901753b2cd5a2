// What the values of many solutions' states are worth: how true they are, and how smooth.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tdrm/eval/calibration.hpp"

namespace tdrm::eval {

/// Values against what is known about their states.
struct Calibration {
    std::vector<ReliabilityBin> bins;
    double ece = 0;
    double brier = 0;  ///< mean squared difference; against an exact value the mean squared error
    double log_loss = 0;
    double auc = 0, auc_within = 0;  ///< pooled; over pairs of states of one problem
    double explained_variance = 0;
};

/// Over the states whose truth is known; nothing if none is.
/// @param truth_S in [0, 1], NaN where it isn't known
/// @param problem_begin first state of each problem, and the number of states at the end
[[nodiscard]] std::optional<Calibration> calibrate(std::span<const double> value_S, std::span<const double> truth_S,
                                                   std::span<const std::size_t> problem_begin);

/// How well values tell the children of one state apart, which is what a choice of the next step asks of them.
struct SiblingFigures {
    std::int64_t pairs = 0;
    double mse = 0;    ///< mean of ((V(a) - V(b)) - (truth(a) - truth(b)))^2 over pairs of siblings
    double order = 0;  ///< share of the pairs with different truths whose values are in that order, ties counting half;
                       ///< NaN without such a pair
};

/// Over all pairs of states with the same parent whose truths are known; nothing if there is none. Arrays by node of a
/// tree of states. @param parent_N -1 for a root
[[nodiscard]] std::optional<SiblingFigures> sibling_figures(std::span<const double> value_N,
                                                            std::span<const double> truth_N,
                                                            std::span<const std::int32_t> parent_N);

struct ValueReport {
    std::int64_t states = 0;
    double mean_value_change = 0;  ///< mean |V(s_{t+1}) - V(s_t)| before the last state, where the outcome is revealed;
                                   ///< NaN without such a step
    std::optional<Calibration> outcome, truth;  ///< nothing where nothing is known
};

/// @param value_S probabilities of the states of all solutions, one behind the other
/// @param offset first state of each solution, and the number of states at the end
/// @param outcome of each solution in [0, 1], NaN where it isn't known
/// @param truth_S of each state in [0, 1], NaN where it isn't known; empty = of none
/// @param problem_begin as above; empty = all states are of one problem
/// @throws BugError if lengths don't fit; DataError for numbers outside [0, 1]
[[nodiscard]] ValueReport value_report(std::span<const double> value_S, std::span<const std::size_t> offset,
                                       std::span<const double> outcome, std::span<const double> truth_S,
                                       std::span<const std::size_t> problem_begin = {});

}  // namespace tdrm::eval
