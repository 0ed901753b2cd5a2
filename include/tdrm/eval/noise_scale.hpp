// Gradient noise scale: how large a batch is worthwhile (McCandlish et al. 2018, arXiv 1812.06162, appendix A.1).
#pragma once

#include <cstdint>
#include <span>

namespace tdrm::eval {

/// Unbiased estimates from one batch; noisy, so average both over updates before taking the ratio.
struct NoiseScale {
    double gradient_squared = 0;  ///< |G|^2 of the true gradient; may come out negative
    double trace = 0;             ///< tr(Sigma), the variance of a single sample's gradient

    /// B_simple = tr(Sigma) / |G|^2 in samples; NaN unless |G|^2 is above 0 and both are finite.
    [[nodiscard]] double simple() const;
};

/// |G|^2 = (B |g_B|^2 - b |g_b|^2) / (B - b),  tr(Sigma) = (|g_b|^2 - |g_B|^2) / (1/b - 1/B)
/// @param block_squared_norms |g_b|^2 of the mean gradient of each block of b samples
/// @param batch_squared_norm |g_B|^2 of the mean gradient of all B samples
/// @returns NaN for both if B <= b, there is no block, or a norm isn't finite.
[[nodiscard]] NoiseScale noise_scale(std::span<const double> block_squared_norms, double batch_squared_norm,
                                     double block_samples, double batch_samples);

}  // namespace tdrm::eval
