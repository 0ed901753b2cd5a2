// AdamW on one flat buffer, and the schedule of its learning rate.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "tdrm/model/spec.hpp"

namespace tdrm {
class Fields;
}

namespace tdrm::train {

enum class Schedule { constant, linear, cosine };
[[nodiscard]] constexpr auto enum_names(Schedule) {
    using enum Schedule;
    return std::array<std::pair<Schedule, std::string_view>, 3>{
        {{constant, "constant"}, {linear, "linear"}, {cosine, "cosine"}}};
}

enum class WeightFormat { fp32, bf16 };
[[nodiscard]] constexpr auto enum_names(WeightFormat) {
    return std::array<std::pair<WeightFormat, std::string_view>, 2>{
        {{WeightFormat::fp32, "fp32"}, {WeightFormat::bf16, "bf16"}}};
}

/// Formats of numbers in training. Arithmetic, gradients and moments are fp32 in any case (docs/adr/0012).
struct PrecisionOptions {
    WeightFormat weights = WeightFormat::fp32;  ///< of the model that is computed with, evaluated and stored
    void fields(Fields& f);
};

/// Decoupled weight decay (Loshchilov & Hutter 2019), clipping by the global norm.
struct OptimizerOptions {
    double lr = 1e-3;
    Schedule schedule = Schedule::cosine;
    double warmup = 0.03;      ///< share of the horizon with a linearly growing rate
    std::int64_t horizon = 0;  ///< updates until the rate is zero; 0 = the stage's `updates`
    double beta1 = 0.9, beta2 = 0.95;
    double eps = 1e-8;
    double weight_decay = 0.01;  ///< of matrices; norms have none
    double clip = 1.0;           ///< bound on the norm of the gradient; 0 = none

    void fields(Fields& f);
};

/// The horizon that a training of `updates` updates has: the explicit one, else `updates`; 0 if the rate never depends
/// on it. Part of a stage's identity: more updates with the same horizon go on, another horizon is another training.
[[nodiscard]] std::int64_t schedule_horizon(const OptimizerOptions& options, std::int64_t updates);

/// Learning rate of an update (0-based): linear warm-up, then constant, or down to zero at the horizon.
[[nodiscard]] double learning_rate(const OptimizerOptions& options, std::int64_t update, std::int64_t horizon);

/// First and second moments beside the parameters; fp32, flat, in the parameters' layout. With bf16 weights also master
/// weights: what the updates add up in, since most of them are smaller than half a step of bf16.
class AdamW {
public:
    /// @param values the parameters to start from; with bf16 weights they become the master weights and are rounded
    AdamW(const model::Layout& layout, WeightFormat weights, std::span<float> values);

    /// values <- values - lr (m^ / (sqrt(v^) + eps) + decay values); `update` counts from 0 for the bias corrections;
    /// the gradient is multiplied by `scale` first (clipping). With bf16 weights this happens to the master weights,
    /// and `values` are these rounded to nearest, ties to even. Local, deterministic.
    void step(std::span<float> values, std::span<const float> gradient, const OptimizerOptions& options, double lr,
              double scale, std::int64_t update);

    [[nodiscard]] std::span<float> first() { return first_; }
    [[nodiscard]] std::span<float> second() { return second_; }
    /// Empty with fp32 weights: the parameters are the master weights.
    [[nodiscard]] std::span<float> master() { return master_; }

private:
    std::vector<model::TensorInfo> tensors_;
    std::vector<float> first_, second_, master_;
};

/// Sum of squares in double, in fixed blocks, so that every rank gets the same bits.
[[nodiscard]] double squared_norm(std::span<const float> values);

}  // namespace tdrm::train
