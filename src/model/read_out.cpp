#include "tdrm/model/read_out.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "tdrm/base/errors.hpp"
#include "tdrm/model/ops.hpp"
#include "tdrm/model/transformer.hpp"

namespace tdrm::model {
namespace {

double dot(const float* a, const float* b, std::int64_t n) {
    double total = 0;
    for (std::int64_t i = 0; i < n; ++i) total += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    return total;
}

/// log sum_k w_k exp(z_k) over the weights above 0.
double log_weighted_sum(std::span<const double> z, const auto& weight) {
    double top = -std::numeric_limits<double>::infinity();
    for (std::size_t k = 0; k < z.size(); ++k)
        if (weight(k) > 0) top = std::max(top, z[k] + std::log(weight(k)));
    double sum = 0;
    for (std::size_t k = 0; k < z.size(); ++k)
        if (weight(k) > 0) sum += std::exp(z[k] + std::log(weight(k)) - top);
    return top + std::log(sum);
}

/// ReLU(hidden W^T + b), the hidden layer of a value head.
std::vector<float> head_layer(const Model& model, const float* hidden, int rows) {
    const int width = model.spec().width;
    std::vector<float> inner(static_cast<std::size_t>(rows) * static_cast<std::size_t>(width));
    model.multiply(inner.data(), hidden, model.layout().head_hidden, width, width, rows);
    ops::add_bias(inner.data(), model.at(model.layout().head_hidden_bias), rows, width);
    for (float& x : inner) x = std::max(x, 0.0F);
    return inner;
}

}  // namespace

double head_logit(std::span<const double> z, std::span<const double> bins) {
    ensure(z.size() == bins.size(), "a head has a bin for each label");
    return log_weighted_sum(z, [&](std::size_t k) { return bins[k]; }) -
           log_weighted_sum(z, [&](std::size_t k) { return 1 - bins[k]; });
}

double head_value(const ValueHead& head, std::span<const double> z, std::span<const double> bins) {
    return head.labels == 1 ? (z[0] - head.mean) / head.std : head_logit(z, bins);
}

void value_logits(const Model& model, const float* hidden, int rows, float* logits, std::span<const double> bins) {
    const std::int64_t width = model.spec().width;
    const ValueHead& head = model.spec().value_head;
    const Layout& at = model.layout();
    if (bins.empty()) bins = head.bins;
    std::vector<float> inner;
    if (head.hidden) hidden = (inner = head_layer(model, hidden, rows)).data();
    std::vector<double> z(static_cast<std::size_t>(head.labels));
    for (int r = 0; r < rows; ++r, hidden += width) {
        for (int l = 0; l < head.labels; ++l)
            z[static_cast<std::size_t>(l)] =
                dot(hidden, model.at(at.head + l * width), width) +
                (at.head_bias >= 0 ? static_cast<double>(*model.at(at.head_bias + l)) : 0.0);
        logits[r] = static_cast<float>(head_value(head, z, bins));
    }
}

void value_backward(const Model& model, const float* hidden, std::span<const float> d_logits, float* d_hidden,
                    float* gradient) {
    ensure(model.spec().value_head == ValueHead{}, "only a value head of one row is trained");
    const auto width = static_cast<std::size_t>(model.spec().width);
    const float* w = model.at(model.layout().head);
    float* dw = gradient + model.layout().head;
    for (std::size_t r = 0; r < d_logits.size(); ++r)
        for (std::size_t i = 0; i < width; ++i) {
            d_hidden[r * width + i] = d_logits[r] * w[i];
            dw[i] += d_logits[r] * hidden[r * width + i];
        }
}

void read_values(const Model& model, const ReadOut& read_out, const float* hidden, int rows, float* logits) {
    if (!read_out.reads_language_head()) return value_logits(model, hidden, rows, logits, read_out.bins);
    const std::int64_t width = model.spec().width;
    const float* plus = model.at(model.layout().head + read_out.positive * width);
    const float* minus = model.at(model.layout().head + read_out.negative * width);
    for (int r = 0; r < rows; ++r, hidden += width) {
        double total = 0;
        for (std::int64_t i = 0; i < width; ++i)
            total += static_cast<double>(hidden[i]) * (static_cast<double>(plus[i]) - static_cast<double>(minus[i]));
        logits[r] = static_cast<float>(total);
    }
}

}  // namespace tdrm::model
