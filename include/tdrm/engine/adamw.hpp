// AdamW on flat arrays in memory.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tdrm/engine/engine.hpp"
#include "tdrm/model/layout.hpp"

namespace tdrm::engine {

/// First and second moments beside the parameters; fp32, flat, in the parameters' layout. With bf16 weights also master
/// weights: what the updates add up in, since most of them are smaller than half a step of bf16.
class AdamW {
public:
    /// @param values the parameters to start from; with bf16 weights they become the master weights and are rounded
    AdamW(const model::Layout& layout, WeightFormat weights, std::span<float> values);

    /// Updates the elements of `range`; the others stay as they are. With bf16 weights the update happens to the master
    /// weights, and `values` are these rounded to nearest, ties to even. Local, deterministic, element by element.
    void step(std::span<float> values, std::span<const float> gradient, const AdamWStep& step, Range range);

    [[nodiscard]] std::span<float> first() { return first_; }
    [[nodiscard]] std::span<float> second() { return second_; }
    /// Empty with fp32 weights: the parameters are the master weights.
    [[nodiscard]] std::span<float> master() { return master_; }

private:
    std::vector<model::TensorInfo> tensors_;
    std::vector<float> first_, second_, master_;
};

/// Sum of squares in double, in fixed lanes, so that every rank gets the same bits.
[[nodiscard]] double squared_norm(std::span<const float> values);

}  // namespace tdrm::engine
