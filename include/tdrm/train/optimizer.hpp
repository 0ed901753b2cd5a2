// Options of AdamW, and the schedule of its learning rate.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

#include "tdrm/engine/engine.hpp"

namespace tdrm {
class Fields;
}

namespace tdrm::engine {

[[nodiscard]] constexpr auto enum_names(WeightFormat) {
    return std::array<std::pair<WeightFormat, std::string_view>, 2>{
        {{WeightFormat::fp32, "fp32"}, {WeightFormat::bf16, "bf16"}}};
}
[[nodiscard]] constexpr auto enum_names(Recompute) {
    return std::array<std::pair<Recompute, std::string_view>, 3>{
        {{Recompute::none, "none"}, {Recompute::ffn, "ffn"}, {Recompute::block, "block"}}};
}

}  // namespace tdrm::engine

namespace tdrm::train {

enum class Schedule { constant, linear, cosine };
[[nodiscard]] constexpr auto enum_names(Schedule) {
    using enum Schedule;
    return std::array<std::pair<Schedule, std::string_view>, 3>{
        {{constant, "constant"}, {linear, "linear"}, {cosine, "cosine"}}};
}

/// Formats of numbers in training. Arithmetic and gradients are fp32 in any case (docs/adr/0012).
struct PrecisionOptions {
    engine::WeightFormat weights =
        engine::WeightFormat::fp32;  ///< of the model that is computed with, evaluated and stored
    engine::WeightFormat moments = engine::WeightFormat::fp32;
    engine::Recompute recompute = engine::Recompute::none;
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

/// The step of an update whose gradient has this norm: the learning rate of the schedule, the gradient scaled down to
/// `clip` where it is longer.
[[nodiscard]] engine::AdamWStep adamw_step(const OptimizerOptions& options, std::int64_t update, std::int64_t horizon,
                                           double norm);

}  // namespace tdrm::train
