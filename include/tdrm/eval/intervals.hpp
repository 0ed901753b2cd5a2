// 95 % confidence intervals. Nothing to average gives NaN throughout.
#pragma once

#include <cstdint>
#include <span>

#include "tdrm/base/random.hpp"

namespace tdrm::eval {

inline constexpr double kZ95 = 1.959963984540054;  ///< two-sided 95 % quantile of the standard normal

struct Interval {
    double mean = 0;
    double low = 0;
    double high = 0;
    std::int64_t count = 0;  ///< of what was averaged
};

/// Wilson score interval of a share, `successes` of `trials`; within [0, 1], sensible at 0 and at `trials`.
[[nodiscard]] Interval wilson(double successes, std::int64_t trials);

/// mean +- 1.96 std / sqrt(n), std with ddof 1; a single value has no interval (low, high NaN).
[[nodiscard]] Interval mean_interval(std::span<const double> values);

/// Mean with the 2.5 % and 97.5 % quantiles (linear interpolation) of the means of resamples with replacement.
[[nodiscard]] Interval bootstrap_interval(std::span<const double> values, Random random, int resamples = 2000);

/// Interval of mean(a - b), where a[i] and b[i] are of the same problem. An interval that excludes 0 separates a from
/// b.
/// @throws BugError if lengths differ.
[[nodiscard]] Interval paired_difference(std::span<const double> a, std::span<const double> b);

}  // namespace tdrm::eval
