// How wide a search may be before a value model's noise chooses instead of the model.
#pragma once

#include <cstdint>
#include <span>

namespace tdrm::eval {

/// How a value model (logits) tells right from wrong answers of the same problem.
struct Separation {
    double gap = 0;  ///< Delta: mean over problems of mean value of right minus mean of wrong answers; NaN if no
                     ///< problem has both
    double noise =
        0;  ///< sigma: deviation within the right and within the wrong answers of a problem, pooled; NaN if unknown
    /// exp((Delta / sigma)^2 / 2). The largest of n values with noise sigma lies about sigma sqrt(2 ln n) above their
    /// mean, so among so many wrong answers one is expected to look as good as a right one (arXiv 2603.15377 shows that
    /// wider search stops to pay near exp(c (Delta / sigma)^2)). At least 1; NaN if gap or noise is unknown.
    double critical_width = 0;
};

/// @param offset answers of each problem, problems + 1 entries @param value, correct of each answer
[[nodiscard]] Separation separation(std::span<const std::int64_t> offset, std::span<const double> value,
                                    std::span<const std::uint8_t> correct);

}  // namespace tdrm::eval
