// AdamW on flat arrays in memory.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tdrm/engine/engine.hpp"
#include "tdrm/engine/ownership.hpp"
#include "tdrm/model/layout.hpp"

namespace tdrm::engine {

/// First and second moments beside the parameters; fp32, flat, in the parameters' layout. With bf16 weights also master
/// weights: what the updates add up in, since most of them are smaller than half a step of bf16.
class AdamW {
public:
    /// @param values the parameters to start from; with bf16 weights they become the master weights and are rounded
    AdamW(const model::Layout& layout, WeightFormat weights, std::span<float> values);
    /// Of the parts that this rank keeps. `values` are the whole.
    AdamW(const model::Layout& layout, WeightFormat weights, std::span<float> values, const Ownership& ownership);

    /// Updates the elements of `range`, which is kept and lies in one part; the others stay as they are. With bf16
    /// weights the update happens to the master weights, and `values` are these rounded to nearest, ties to even.
    /// Local, deterministic, element by element.
    void step(std::span<float> values, std::span<const float> gradient, const AdamWStep& step, Range range);

    // As they are kept: element i at Ownership::place(i).
    [[nodiscard]] const std::vector<float>& first() const { return first_; }
    [[nodiscard]] const std::vector<float>& second() const { return second_; }
    /// Empty with fp32 weights: the parameters are the master weights.
    [[nodiscard]] const std::vector<float>& master() const { return master_; }
    [[nodiscard]] bool keeps_master() const { return weights_ == WeightFormat::bf16; }
    /// Of a model without parameters.
    [[nodiscard]] bool empty() const { return tensors_.empty(); }

private:
    std::vector<model::TensorInfo> tensors_;
    WeightFormat weights_;
    Ownership ownership_;
    std::vector<float> first_, second_, master_;
};

/// Sum of squares in double, in fixed lanes, so that every rank gets the same bits.
[[nodiscard]] double squared_norm(std::span<const float> values);

}  // namespace tdrm::engine
