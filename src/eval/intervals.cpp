#include "tdrm/eval/intervals.hpp"

#include <cmath>
#include <cstddef>
#include <limits>

#include "tdrm/base/errors.hpp"
#include "tdrm/eval/moments.hpp"

namespace tdrm::eval {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

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
    const Moments found = moments(values);
    const double half = count > 1 ? kZ95 * found.error() : kNan;
    return {found.mean, found.mean - half, found.mean + half, count};
}

}  // namespace tdrm::eval
