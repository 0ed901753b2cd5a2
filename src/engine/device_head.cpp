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
      logits_(device),
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
                      spec_.width, nullptr, logits, pitch(), 0});
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
                            const TokenLoss& loss, bf16* d_hidden, float* gradient) {
    std::vector<float> logp, entropy, coefficient;
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
                          spec_.width, d_hidden + first * width(), nullptr, spec_.width, 0});
        device_.multiply({gpu::Product::tn, spec_.vocab, spec_.width, rows, d_logits, 2 * pitch(),
                          hidden + first * width(), spec_.width, nullptr, gradient + layout_.head, spec_.width, 1});
        ledger::count(ledger::Work::flop, 4.0 * spec_.vocab * spec_.width * rows);
    }
}

void DeviceHead::values(const bf16* hidden, const model::ReadOut& read_out, std::span<float> values) {
    if (!read_out.bins.empty() && read_out.bins != std::vector<double>{0, 1})
        throw ConfigError("devices don't read value heads with bins yet. Use run.device: cpu.");
    const int rows = static_cast<int>(values.size()), width = spec_.width;
    const auto row = [&](std::int64_t r) { return at(layout_.head + r * width); };
    const auto bias = [&](std::int64_t r) { return layout_.head_bias >= 0 ? at(layout_.head_bias + r) : nullptr; };
    gpu::ReadValues read{values_.resize(values.size()), hidden, nullptr, nullptr, nullptr, nullptr, rows, width};
    if (read_out.reads_language_head()) {
        read.plus = row(read_out.positive);
        read.minus = row(read_out.negative);
    } else {
        const model::ValueHead& head = spec_.value_head;
        if (head.hidden) {
            bf16* inner = inner_.resize(values.size() * this->width());
            device_.multiply({gpu::Product::nt, rows, width, width, hidden, width, at(layout_.head_hidden), width,
                              inner, nullptr, width, 0});
            device_.run(gpu::AddBias{inner, at(layout_.head_hidden_bias), rows, width, true});
            read.x = inner;
        }
        const bool two = head.labels == 2;
        read.plus = row(two ? 1 : 0);
        read.plus_bias = bias(two ? 1 : 0);
        read.minus = two ? row(0) : nullptr;
        read.minus_bias = two ? bias(0) : nullptr;
    }
    device_.run(read);
    device_.download(values.data(), values_.data(), values.size_bytes());
    device_.wait();
}

void DeviceHead::value_loss(const bf16* hidden, std::span<const float> d_values, bf16* d_hidden, float* gradient) {
    ensure(spec_.value_head == model::ValueHead{}, "only a value head of one row is trained");
    device_.run(gpu::ReadValuesBackward{d_hidden, gradient + layout_.head, hidden, at(layout_.head),
                                        values_.assign(d_values), static_cast<int>(d_values.size()), spec_.width});
}

}  // namespace tdrm::engine
