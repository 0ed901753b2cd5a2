// pass@k: the probability that at least one of k answers is right.
#pragma once

#include <cstdint>

namespace tdrm::eval {

/// Unbiased estimate 1 - C(n - c, k) / C(n, k) from c right answers among n, 1 <= k <= n (Chen et al. 2021).
/// @throws BugError for numbers out of range.
[[nodiscard]] double pass_at_k(std::int64_t n, std::int64_t c, std::int64_t k);

}  // namespace tdrm::eval
