// 95 % confidence intervals. Nothing to average gives NaN throughout.
#pragma once

#include <cstdint>
#include <span>

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

}  // namespace tdrm::eval
