#include "tdrm/eval/intervals.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "tdrm/base/errors.hpp"

namespace tdrm::eval {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double mean_of(std::span<const double> values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// Quantile of sorted values with linear interpolation.
double quantile(std::span<const double> sorted, double q) {
    const double position = q * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(position);
    const std::size_t above = std::min(below + 1, sorted.size() - 1);
    return std::lerp(sorted[below], sorted[above], position - static_cast<double>(below));
}

}  // namespace

Interval wilson(double successes, std::int64_t trials) {
    if (trials <= 0) return {kNan, kNan, kNan, 0};
    const auto n = static_cast<double>(trials);
    ensure(successes >= 0 && successes <= n, "there are at most as many successes as trials");
    const double share = successes / n;
    const double z2 = kZ95 * kZ95;
    const double centre = (share + z2 / (2 * n)) / (1 + z2 / n);
    const double half = kZ95 / (1 + z2 / n) * std::sqrt(share * (1 - share) / n + z2 / (4 * n * n));
    // At 0 and 1 an end is the share itself, but for rounding.
    return {share, successes == 0 ? 0 : centre - half, successes == n ? 1 : centre + half, trials};
}

Interval mean_interval(std::span<const double> values) {
    const auto count = static_cast<std::int64_t>(values.size());
    if (count == 0) return {kNan, kNan, kNan, 0};
    const double mean = mean_of(values);
    double squares = 0;
    for (const double value : values) squares += (value - mean) * (value - mean);
    const auto n = static_cast<double>(count);
    const double half = count > 1 ? kZ95 * std::sqrt(squares / (n - 1) / n) : kNan;
    return {mean, mean - half, mean + half, count};
}

Interval bootstrap_interval(std::span<const double> values, Random random, int resamples) {
    if (values.empty()) return {kNan, kNan, kNan, 0};
    ensure(resamples >= 1, "a bootstrap needs at least one resample");
    std::vector<double> means;
    for (int i = 0; i < resamples; ++i) {
        double sum = 0;
        for (std::size_t j = 0; j < values.size(); ++j) sum += values[random.next_below(values.size())];
        means.push_back(sum / static_cast<double>(values.size()));
    }
    std::sort(means.begin(), means.end());
    return {mean_of(values), quantile(means, 0.025), quantile(means, 0.975), static_cast<std::int64_t>(values.size())};
}

Interval paired_difference(std::span<const double> a, std::span<const double> b) {
    ensure(a.size() == b.size(), "paired values come in pairs");
    std::vector<double> difference(a.size());
    std::transform(a.begin(), a.end(), b.begin(), difference.begin(), std::minus<>());
    return mean_interval(difference);
}

}  // namespace tdrm::eval
