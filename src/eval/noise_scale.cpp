#include "tdrm/eval/noise_scale.hpp"

#include <cmath>
#include <limits>
#include <numeric>

namespace tdrm::eval {
namespace {
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
}

double NoiseScale::simple() const {
    const bool usable = std::isfinite(gradient_squared) && std::isfinite(trace) && gradient_squared > 0;
    return usable ? trace / gradient_squared : kNan;
}

NoiseScale noise_scale(std::span<const double> block_squared_norms, double batch_squared_norm, double block_samples,
                       double batch_samples) {
    const double blocks = static_cast<double>(block_squared_norms.size());
    const double block = std::accumulate(block_squared_norms.begin(), block_squared_norms.end(), 0.0) / blocks;
    const bool usable =
        block_samples > 0 && batch_samples > block_samples && std::isfinite(block) && std::isfinite(batch_squared_norm);
    if (!usable) return {kNan, kNan};
    return {(batch_samples * batch_squared_norm - block_samples * block) / (batch_samples - block_samples),
            (block - batch_squared_norm) / (1 / block_samples - 1 / batch_samples)};
}

}  // namespace tdrm::eval
