// AdamW on flat arrays in memory.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tdrm/base/bfloat16.hpp"
#include "tdrm/engine/engine.hpp"
#include "tdrm/engine/ownership.hpp"
#include "tdrm/model/layout.hpp"

namespace tdrm::engine {

/// First and second moments beside the parameters, flat, in the parameters' layout. With bf16 weights also master
/// weights: what the updates add up in, since most of them are smaller than half a step of bf16.
class AdamW {
public:
    /// @param values the parameters to start from; with bf16 weights they become the master weights and are rounded
    AdamW(const model::Layout& layout, WeightFormat weights, std::span<float> values);
    /// Of the parts that this rank keeps. `values` are the whole. @param moments bf16: stored in half the size, rounded
    /// by chance
    AdamW(const model::Layout& layout, WeightFormat weights, std::span<float> values, const Ownership& ownership,
          WeightFormat moments = WeightFormat::fp32);

    /// Updates the elements of `range`, which is kept and lies in one part; the others stay as they are. With bf16
    /// weights the update happens to the master weights, and `values` are these rounded to nearest, ties to even.
    /// Local, deterministic, element by element.
    void step(std::span<float> values, std::span<const float> gradient, const AdamWStep& step, Range range);

    // Moments and master weights as they are kept: from element i on at place = Ownership::place(i).
    void read(Array array, std::int64_t place, std::span<float> out) const;
    void write(Array array, std::int64_t place, std::span<const float> values);
    /// Empty with fp32 weights: the parameters are the master weights.
    [[nodiscard]] const std::vector<float>& master() const { return master_; }
    [[nodiscard]] bool keeps_master() const { return weights_ == WeightFormat::bf16; }
    /// Of a model without parameters.
    [[nodiscard]] bool empty() const { return tensors_.empty(); }

private:
    /// One moment of what is kept; one of the two is empty.
    struct Moment {
        std::vector<float> exact;
        std::vector<BFloat16> rounded;
        void resize(std::size_t n, WeightFormat format);
        void read(std::size_t place, std::span<float> out) const;
        void write(std::size_t place, std::span<const float> values);
    };
    struct Constants {
        float beta1, beta2, step_size, second_scale, eps, gradient_scale, keep;
    };
    static void advance(float* w, float* m, float* v, const float* g, std::size_t n, const Constants& by);
    /// The same through fp32 copies of rounded moments.
    void advance_rounded(float* w, std::size_t place, const float* g, std::size_t n, const Constants& by,
                         std::uint64_t element, std::uint64_t update);

    std::vector<model::TensorInfo> tensors_;
    WeightFormat weights_, moments_;
    Ownership ownership_;
    Moment first_, second_;
    std::vector<float> master_;
};

/// Sum of squares in double, in fixed lanes, so that every rank gets the same bits.
[[nodiscard]] double squared_norm(std::span<const float> values);

}  // namespace tdrm::engine
