#include "device_head.hpp"

#include <algorithm>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/ledger.hpp"

namespace tdrm::engine {

using gpu::bf16;

DeviceHead::DeviceHead(gpu::Device& device, const model::ModelSpec& spec, const model::Layout& layout,
                       const bf16* weights)
    : device_(device),
      spec_(spec),
      layout_(layout),
      weights_(weights),
      logits_(device, "logits"),
      logp_(device),
      entropy_(device),
      coefficient_(device),
      values_(device),
      targets_(device),
      inner_(device) {}

float* DeviceHead::logits(const bf16* hidden, int rows) {
    ensure(rows <= kChunk, "logits are held in chunks");
    float* logits = logits_.resize(static_cast<std::size_t>(rows) * static_cast<std::size_t>(pitch()));
    device_.multiply({gpu::Product::nt, rows, spec_.vocab, spec_.width, hidden, spec_.width, at(layout_.head),
                      spec_.width, nullptr, logits, pitch(), 0, logit_scale()});
    ledger::count(ledger::Work::flop, 2.0 * spec_.vocab * spec_.width * rows);
    return logits;
}

void DeviceHead::read_chunk(const float* logits, std::span<const std::int32_t> targets, float temperature,
                            std::span<float> logp, std::span<float> entropy) {
    const std::size_t rows = targets.size();
    device_.run(gpu::LogSoftmax{logp_.resize(rows), entropy_.resize(rows), logits, targets_.assign(targets),
                                static_cast<int>(rows), spec_.vocab, pitch(), temperature});
    device_.download(logp.data(), logp_.data(), logp.size_bytes());
    device_.download(entropy.data(), entropy_.data(), entropy.size_bytes());
    device_.wait();
}

void DeviceHead::token_logprobs(const bf16* hidden, std::span<const std::int32_t> targets, float temperature,
                                std::span<float> logp, std::span<float> entropy) {
    for (std::size_t first = 0; first < targets.size(); first += kChunk) {
        const std::size_t count = std::min<std::size_t>(kChunk, targets.size() - first);
        const float* chunk = logits(hidden + first * width(), static_cast<int>(count));
        read_chunk(chunk, targets.subspan(first, count), temperature, logp.subspan(first, count),
                   entropy.subspan(first, count));
    }
}

void DeviceHead::token_loss(const bf16* hidden, std::span<const std::int32_t> targets, float temperature,
                            const TokenLoss& loss, bf16* d_hidden, const DeviceGradient& gradient) {
    std::vector<float> logp, entropy, coefficient;
    const bool learns = gradient.wants({layout_.head, layout_.head + std::int64_t{spec_.vocab} * spec_.width});
    for (std::size_t first = 0; first < targets.size(); first += kChunk) {
        const std::size_t count = std::min<std::size_t>(kChunk, targets.size() - first);
        const int rows = static_cast<int>(count);
        float* chunk = logits(hidden + first * width(), rows);
        logp.resize(count);
        entropy.resize(count);
        read_chunk(chunk, targets.subspan(first, count), temperature, logp, entropy);
        coefficient.clear();
        for (std::size_t r = 0; r < count; ++r)
            coefficient.push_back(loss(static_cast<int>(first + r), logp[r], entropy[r]));
        device_.run(gpu::LogSoftmaxBackward{chunk, logp_.data(), coefficient_.assign(coefficient), targets_.data(),
                                            rows, spec_.vocab, pitch(), temperature});
        const auto* d_logits = reinterpret_cast<const bf16*>(chunk);
        device_.multiply({gpu::Product::nn, rows, spec_.width, spec_.vocab, d_logits, 2 * pitch(), at(layout_.head),
                          spec_.width, d_hidden + first * width(), nullptr, spec_.width, 0, logit_scale()});
        if (learns)
            device_.multiply({gpu::Product::tn, spec_.vocab, spec_.width, rows, d_logits, 2 * pitch(),
                              hidden + first * width(), spec_.width, nullptr, gradient.at(layout_.head), spec_.width, 1,
                              logit_scale()});
        ledger::count(ledger::Work::flop, 4.0 * spec_.vocab * spec_.width * rows);
    }
}

const bf16* DeviceHead::head_input(const bf16* hidden, int rows) {
    if (!spec_.value_head.hidden) return hidden;
    const int width = spec_.width;
    bf16* inner = inner_.resize(static_cast<std::size_t>(rows) * this->width());
    device_.multiply({gpu::Product::nt, rows, width, width, hidden, width, at(layout_.head_hidden), width, inner,
                      nullptr, width, 0});
    device_.run(gpu::AddBias{inner, at(layout_.head_hidden_bias), rows, width, true});
    return inner;
}

void DeviceHead::read_labels(const bf16* hidden, std::span<float> z) {
    const auto labels = static_cast<std::size_t>(spec_.value_head.labels);
    const std::size_t rows = z.size() / labels;
    float* to = values_.resize(z.size());
    const bf16* x = head_input(hidden, static_cast<int>(rows));
    for (std::size_t l = 0; l < labels; ++l) {
        const auto label = static_cast<std::int64_t>(l);
        device_.run(gpu::ReadValues{to + l * rows, x, at(layout_.head + label * spec_.width), nullptr,
                                    layout_.head_bias >= 0 ? at(layout_.head_bias + label) : nullptr, nullptr,
                                    static_cast<int>(rows), spec_.width});
    }
    device_.download(z.data(), to, z.size_bytes());
    device_.wait();
}

void DeviceHead::values(const bf16* hidden, const model::ReadOut& read_out, std::span<float> values) {
    const std::size_t rows = values.size();
    if (read_out.reads_language_head()) {
        device_.run(gpu::ReadValues{values_.resize(rows), hidden, at(layout_.head + read_out.positive * spec_.width),
                                    at(layout_.head + read_out.negative * spec_.width), nullptr, nullptr,
                                    static_cast<int>(rows), spec_.width});
        device_.download(values.data(), values_.data(), values.size_bytes());
        device_.wait();
        for (float& value : values) value *= logit_scale();
        return;
    }
    const model::ValueHead& head = spec_.value_head;
    const auto labels = static_cast<std::size_t>(head.labels);
    std::vector<float> z(rows * labels);
    read_labels(hidden, z);
    const auto& bins = read_out.bins.empty() ? head.bins : read_out.bins;
    std::vector<double> of_row(labels);
    for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t l = 0; l < labels; ++l) of_row[l] = static_cast<double>(z[l * rows + r]);
        values[r] = static_cast<float>(model::head_value(head, of_row, bins));
    }
}

void DeviceHead::value_loss(const bf16* hidden, std::span<const float> d_values, bf16* d_hidden,
                            const DeviceGradient& gradient) {
    ensure(spec_.value_head == model::ValueHead{}, "only a value head of one row is trained");
    ensure(gradient.wants({layout_.head, layout_.head + spec_.width}), "a value head learns with what is below it");
    device_.run(gpu::ReadValuesBackward{d_hidden, gradient.at(layout_.head), hidden, at(layout_.head),
                                        values_.assign(d_values), static_cast<int>(d_values.size()), spec_.width});
}

}  // namespace tdrm::engine
