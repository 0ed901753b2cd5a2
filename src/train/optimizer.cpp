#include "tdrm/train/optimizer.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tdrm/base/bfloat16.hpp"
#include "tdrm/base/options.hpp"

namespace tdrm::train {

void OptimizerOptions::fields(Fields& f) {
    f("lr", lr, "peak learning rate", at_least(0));
    f("schedule", schedule, "constant, or down to zero at the horizon: linear, cosine");
    f("warmup", warmup, "share of the horizon over which the rate grows to its peak", between(0, 1));
    f("horizon", horizon, "updates until the rate is zero; 0 = the stage's updates", at_least(0));
    f("beta1", beta1, "decay of the first moment", between(0, 1));
    f("beta2", beta2, "decay of the second moment", between(0, 1));
    f("eps", eps, "added to the root of the second moment", at_least(0));
    f("weight_decay", weight_decay, "decoupled decay of matrices", at_least(0));
    f("clip", clip, "bound on the norm of the gradient; 0 = none", at_least(0));
}

void PrecisionOptions::fields(Fields& f) {
    f("weights", weights,
      "of the model: fp32, or bf16 (rounded after every update, stored in half the size; the optimiser keeps fp32)");
}

std::int64_t schedule_horizon(const OptimizerOptions& options, std::int64_t updates) {
    if (options.schedule == Schedule::constant && options.warmup == 0) return 0;
    return options.horizon > 0 ? options.horizon : updates;
}

double learning_rate(const OptimizerOptions& options, std::int64_t update, std::int64_t horizon) {
    const double warmup = options.warmup * static_cast<double>(horizon);
    const double done = static_cast<double>(update) + 1;
    if (done < warmup) return options.lr * done / warmup;
    if (options.schedule == Schedule::constant) return options.lr;
    const double rest = std::max(1.0, static_cast<double>(horizon) - warmup);
    const double progress = std::clamp((done - warmup) / rest, 0.0, 1.0);
    if (options.schedule == Schedule::linear) return options.lr * (1 - progress);
    return options.lr * 0.5 * (1 + std::cos(std::numbers::pi * progress));
}

namespace {

void round_to_bfloat16(std::span<float> values, std::span<const float> master) {
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = to_float(to_bfloat16(master[i]));
}

}  // namespace

AdamW::AdamW(const model::Layout& layout, WeightFormat weights, std::span<float> values)
    : tensors_(layout.tensors),
      first_(static_cast<std::size_t>(layout.size)),
      second_(static_cast<std::size_t>(layout.size)) {
    if (weights == WeightFormat::fp32) return;
    master_.assign(values.begin(), values.end());
    round_to_bfloat16(values, master_);
}

void AdamW::step(std::span<float> values, std::span<const float> gradient, const OptimizerOptions& options, double lr,
                 double scale, std::int64_t update) {
    const auto beta1 = static_cast<float>(options.beta1);
    const auto beta2 = static_cast<float>(options.beta2);
    const double n = static_cast<double>(update) + 1;
    const auto step_size = static_cast<float>(lr / (1 - std::pow(options.beta1, n)));
    const auto second_scale = static_cast<float>(1 / std::sqrt(1 - std::pow(options.beta2, n)));
    const auto eps = static_cast<float>(options.eps);
    const auto gradient_scale = static_cast<float>(scale);
    for (const model::TensorInfo& tensor : tensors_) {
        const auto keep = static_cast<float>(1 - (tensor.is_vector() ? 0.0 : lr * options.weight_decay));
        const auto begin = static_cast<std::size_t>(tensor.offset);
        const auto size = static_cast<std::size_t>(tensor.size());
        float* __restrict w = (master_.empty() ? values.data() : master_.data()) + begin;
        float* __restrict m = first_.data() + begin;
        float* __restrict v = second_.data() + begin;
        const float* __restrict g = gradient.data() + begin;
        for (std::size_t i = 0; i < size; ++i) {
            const float grad = g[i] * gradient_scale;
            m[i] = beta1 * m[i] + (1 - beta1) * grad;
            v[i] = beta2 * v[i] + (1 - beta2) * grad * grad;
            w[i] = keep * w[i] - step_size * m[i] / (std::sqrt(v[i]) * second_scale + eps);
        }
    }
    if (!master_.empty()) round_to_bfloat16(values, master_);
}

double squared_norm(std::span<const float> values) {
    constexpr std::size_t lanes = 8;
    double total[lanes]{};
    std::size_t i = 0;
    for (; i + lanes <= values.size(); i += lanes)
        for (std::size_t j = 0; j < lanes; ++j) {
            const auto x = static_cast<double>(values[i + j]);
            total[j] += x * x;
        }
    for (; i < values.size(); ++i) total[0] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
    double sum = 0;
    for (const double part : total) sum += part;
    return sum;
}

}  // namespace tdrm::train
