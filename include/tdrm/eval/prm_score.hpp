// Which steps are right and which wrong: PRMBench's figures (arXiv 2501.03124 and github.com/ssmisya/PRMBench).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tdrm::eval {

/// Steps by truth and verdict. Positive = right, so fp counts wrong steps that were called right.
struct StepCounts {
    std::int64_t tp = 0, fp = 0, tn = 0, fn = 0;
    StepCounts& operator+=(const StepCounts& other);
};

/// A step is called right if its value is above the threshold. @param error_steps indices from 0; those past the end
/// are ignored
[[nodiscard]] StepCounts count_steps(std::span<const double> value_T, std::span<const std::int64_t> error_steps,
                                     double threshold);

/// Published figures of a set of steps. A ratio of nothing to nothing is -1, and F1 is -1 if precision and recall add
/// up to 0, as in the official program: in a class without wrong steps (multi_solutions) the negative figures mean
/// nothing, and its F1 is what is reported.
struct PrmScore {
    double f1 = 0;              ///< 2 P R / (P + R), P = tp / (tp + fp), R = tp / (tp + fn)
    double negative_f1 = 0;     ///< the same with right and wrong exchanged: P = tn / (tn + fn), R = tn / (tn + fp)
    double prm_score = 0;       ///< (f1 + negative_f1) / 2
    double accuracy = 0;        ///< of all steps; -1 if there are none
    double accuracy_right = 0;  ///< of the right steps: tp / (tp + fn)
    double accuracy_wrong = 0;  ///< of the wrong steps: tn / (tn + fp)
};
[[nodiscard]] PrmScore prm_score(const StepCounts& counts);

}  // namespace tdrm::eval
