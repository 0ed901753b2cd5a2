#include "tdrm/engine/adamw.hpp"

#include <algorithm>
#include <cmath>

#include "tdrm/base/bfloat16.hpp"

namespace tdrm::engine {
namespace {

void round_to_bfloat16(std::span<float> values, std::span<const float> master) {
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = to_float(to_bfloat16(master[i]));
}

}  // namespace

AdamW::AdamW(const model::Layout& layout, WeightFormat weights, std::span<float> values)
    : AdamW(layout, weights, values, Ownership(layout.size)) {}

AdamW::AdamW(const model::Layout& layout, WeightFormat weights, std::span<float> values, const Ownership& ownership)
    : tensors_(layout.tensors),
      weights_(weights),
      ownership_(ownership),
      first_(static_cast<std::size_t>(ownership.kept())),
      second_(first_.size()) {
    if (weights == WeightFormat::fp32) return;
    ownership_.each({0, layout.size}, [&](const Range& range) {
        master_.insert(master_.end(), values.begin() + range.begin, values.begin() + range.end);
    });
    round_to_bfloat16(values, values);
}

void AdamW::step(std::span<float> values, std::span<const float> gradient, const AdamWStep& step, Range range) {
    const auto beta1 = static_cast<float>(step.beta1);
    const auto beta2 = static_cast<float>(step.beta2);
    const double n = static_cast<double>(step.update) + 1;
    const auto step_size = static_cast<float>(step.lr / (1 - std::pow(step.beta1, n)));
    const auto second_scale = static_cast<float>(1 / std::sqrt(1 - std::pow(step.beta2, n)));
    const auto eps = static_cast<float>(step.eps);
    const auto gradient_scale = static_cast<float>(step.scale);
    for (const model::TensorInfo& tensor : tensors_) {
        const auto keep = static_cast<float>(1 - (tensor.is_vector() ? 0.0 : step.lr * step.weight_decay));
        const std::int64_t first = std::max(tensor.offset, range.begin);
        const std::int64_t last = std::min(tensor.offset + tensor.size(), range.end);
        if (first >= last) continue;
        const auto begin = static_cast<std::size_t>(first);
        const auto size = static_cast<std::size_t>(last - first);
        const auto place = static_cast<std::size_t>(ownership_.place(first));
        float* __restrict w = !keeps_master() ? values.data() + begin : master_.data() + place;
        float* __restrict m = first_.data() + place;
        float* __restrict v = second_.data() + place;
        const float* __restrict g = gradient.data() + begin;
        for (std::size_t i = 0; i < size; ++i) {
            const float grad = g[i] * gradient_scale;
            m[i] = beta1 * m[i] + (1 - beta1) * grad;
            v[i] = beta2 * v[i] + (1 - beta2) * grad * grad;
            w[i] = keep * w[i] - step_size * m[i] / (std::sqrt(v[i]) * second_scale + eps);
        }
    }
    if (!keeps_master()) return;
    const auto begin = static_cast<std::size_t>(range.begin), size = static_cast<std::size_t>(range.size());
    const auto place = static_cast<std::size_t>(ownership_.place(range.begin));
    round_to_bfloat16(values.subspan(begin, size), std::span<const float>(master_).subspan(place, size));
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

}  // namespace tdrm::engine
