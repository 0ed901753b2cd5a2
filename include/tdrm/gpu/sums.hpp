// Operations of a device on flat arrays of one number per parameter.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tdrm/gpu/types.hpp"

namespace tdrm::gpu {

/// out = the nearest bf16
struct Round {
    bf16* out;
    const float* in;
    std::size_t n;
};
/// out = in, exactly
struct Widen {
    float* out;
    const bf16* in;
    std::size_t n;
};

/// total += round(values 2^48), to nearest, ties to even: as comm::ExactSum. |value| is below 2^15.
struct ExactAdd {
    std::int64_t* total;
    const float* values;
    std::size_t n;
};
/// out = total 2^-48, rounded once from double.
struct ExactToFloat {
    float* out;
    const std::int64_t* total;
    std::size_t n;
};
/// total += values
struct FastAdd {
    float* total;
    const float* values;
    std::size_t n;
};

/// Values that one block of GradientFigures covers.
inline constexpr std::size_t kFigureBlock = 65536;
[[nodiscard]] constexpr std::size_t figure_blocks(std::size_t n) { return (n + kFigureBlock - 1) / kFigureBlock; }
/// Of each block of kFigureBlock values: the sum of squares in double, and the bits of the largest |value|, which sort
/// as the numbers do, NaN and infinity last.
struct GradientFigures {
    double* squares;
    std::uint32_t* largest;
    const float* values;
    std::size_t n;
};

/// AdamW's step on master weights (engine::AdamW has the formula), and the weights rounded from them.
struct AdamWUpdate {
    bf16* weights;
    float* master;
    float* first;  ///< or, in half the size, rounded by chance:
    float* second;
    bf16* first_rounded;  ///< null: none
    bf16* second_rounded;
    const float* gradient;
    std::size_t n;
    float beta1, beta2;
    float step_size;     ///< lr / (1 - beta1^n)
    float second_scale;  ///< 1 / sqrt(1 - beta2^n)
    float eps;
    float keep;                     ///< 1 - lr decay
    float scale;                    ///< of the gradient
    std::uint64_t element, update;  ///< of the chances: the first one's place in the model, and which update it is
};

}  // namespace tdrm::gpu
