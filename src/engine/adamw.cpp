#include "tdrm/engine/adamw.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "tdrm/base/stochastic_rounding.hpp"

namespace tdrm::engine {
namespace {

void round_to_bfloat16(std::span<float> values, std::span<const float> master) {
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = to_float(to_bfloat16(master[i]));
}

}  // namespace

AdamW::AdamW(const model::Layout& layout, WeightFormat weights, std::span<float> values)
    : AdamW(layout, weights, values, Ownership(layout.size)) {}

AdamW::AdamW(const model::Layout& layout, WeightFormat weights, std::span<float> values, const Ownership& ownership,
             WeightFormat moments)
    : tensors_(layout.tensors), weights_(weights), moments_(moments), ownership_(ownership) {
    const auto kept = static_cast<std::size_t>(ownership.kept());
    first_.resize(kept, moments);
    second_.resize(kept, moments);
    if (weights == WeightFormat::fp32) return;
    ownership_.each({0, layout.size}, [&](const Range& range) {
        master_.insert(master_.end(), values.begin() + range.begin, values.begin() + range.end);
    });
    round_to_bfloat16(values, values);
}

void AdamW::Moment::resize(std::size_t n, WeightFormat format) {
    format == WeightFormat::fp32 ? exact.resize(n) : rounded.resize(n);
}

void AdamW::Moment::read(std::size_t place, std::span<float> out) const {
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = rounded.empty() ? exact[place + i] : to_float(rounded[place + i]);
}

void AdamW::Moment::write(std::size_t place, std::span<const float> values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (rounded.empty()) {
            exact[place + i] = values[i];
        } else {
            rounded[place + i] = to_bfloat16(values[i]);
        }
    }
}

void AdamW::read(Array array, std::int64_t place, std::span<float> out) const {
    const auto at = static_cast<std::size_t>(place);
    if (array == Array::master) {
        std::copy_n(master_.begin() + place, out.size(), out.begin());
    } else {
        (array == Array::first_moment ? first_ : second_).read(at, out);
    }
}

void AdamW::write(Array array, std::int64_t place, std::span<const float> values) {
    const auto at = static_cast<std::size_t>(place);
    if (array == Array::master) {
        std::copy(values.begin(), values.end(), master_.begin() + place);
    } else {
        (array == Array::first_moment ? first_ : second_).write(at, values);
    }
}

void AdamW::advance(float* __restrict w, float* __restrict m, float* __restrict v, const float* __restrict g,
                    std::size_t n, const Constants& by) {
    const auto [beta1, beta2, step_size, second_scale, eps, gradient_scale, keep] = by;
    for (std::size_t i = 0; i < n; ++i) {
        const float grad = g[i] * gradient_scale;
        m[i] = beta1 * m[i] + (1 - beta1) * grad;
        v[i] = beta2 * v[i] + (1 - beta2) * grad * grad;
        w[i] = keep * w[i] - step_size * m[i] / (std::sqrt(v[i]) * second_scale + eps);
    }
}

void AdamW::advance_rounded(float* w, std::size_t place, const float* g, std::size_t n, const Constants& by,
                            std::uint64_t element, std::uint64_t update) {
    constexpr std::size_t kBlock = 1024;  // stays in the first-level cache
    float m[kBlock], v[kBlock];
    for (std::size_t begin = 0; begin < n; begin += kBlock) {
        const std::size_t count = std::min(kBlock, n - begin);
        first_.read(place + begin, {m, count});
        second_.read(place + begin, {v, count});
        advance(w + begin, m, v, g + begin, count, by);
        for (std::size_t i = 0; i < count; ++i) {
            const std::uint32_t noise = rounding_noise(element + begin + i, update);
            first_.rounded[place + begin + i] = {rounded_by_chance(std::bit_cast<std::uint32_t>(m[i]), noise)};
            second_.rounded[place + begin + i] = {rounded_by_chance(std::bit_cast<std::uint32_t>(v[i]), noise >> 16U)};
        }
    }
}

void AdamW::step(std::span<float> values, std::span<const float> gradient, const AdamWStep& step, Range range) {
    const double n = static_cast<double>(step.update) + 1;
    Constants by{static_cast<float>(step.beta1),
                 static_cast<float>(step.beta2),
                 static_cast<float>(step.lr / (1 - std::pow(step.beta1, n))),
                 static_cast<float>(1 / std::sqrt(1 - std::pow(step.beta2, n))),
                 static_cast<float>(step.eps),
                 static_cast<float>(step.scale),
                 1};
    for (const model::TensorInfo& tensor : tensors_) {
        by.keep = static_cast<float>(1 - (tensor.is_vector() ? 0.0 : step.lr * step.weight_decay));
        const std::int64_t first = std::max(tensor.offset, range.begin);
        const std::int64_t last = std::min(tensor.offset + tensor.size(), range.end);
        if (first >= last) continue;
        const auto begin = static_cast<std::size_t>(first), size = static_cast<std::size_t>(last - first);
        const auto place = static_cast<std::size_t>(ownership_.place(first));
        float* w = keeps_master() ? master_.data() + place : values.data() + begin;
        if (moments_ == WeightFormat::fp32) {
            advance(w, first_.exact.data() + place, second_.exact.data() + place, gradient.data() + begin, size, by);
        } else {
            advance_rounded(w, place, gradient.data() + begin, size, by, begin,
                            static_cast<std::uint64_t>(step.update));
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
