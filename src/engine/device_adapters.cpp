#include "device_adapters.hpp"

#include "tdrm/base/bfloat16.hpp"

namespace tdrm::engine {

DeviceAdapters::DeviceAdapters(DeviceEngine& engine, std::span<const Adapted> adapted, int rank, float scale)
    : engine_(engine),
      device_(*engine.device_),
      adapted_(adapted.begin(), adapted.end()),
      rank_(rank),
      wide_((rank + 7) / 8 * 8),
      scale_(scale),
      frozen_(device_, "frozen matrices"),
      a_(device_, "adapters"),
      b_(device_, "adapters"),
      rounded_(device_, "the gradient of a matrix"),
      da_(device_, "the gradient of adapters"),
      db_(device_, "the gradient of adapters") {
    std::size_t all = 0;
    for (const Adapted& m : adapted_) all += area(m);
    gpu::bf16* to = frozen_.resize(all);
    for (const Adapted& m : adapted_) {
        device_.copy(to, engine_.weights() + m.weight, area(m) * sizeof(gpu::bf16));
        to += area(m);
    }
}

void DeviceAdapters::upload(const Adapted& m, std::span<const float> factors) {
    const auto wide = static_cast<std::size_t>(wide_), rank = static_cast<std::size_t>(rank_);
    const auto outputs = static_cast<std::size_t>(m.outputs), inputs = static_cast<std::size_t>(m.inputs);
    const auto rounded = [](float x) { return gpu::bf16{to_bfloat16(x).bits}; };
    std::vector<gpu::bf16> a(wide * inputs), b(outputs * wide);  // 0 beyond the rank
    for (std::size_t i = 0; i < rank * inputs; ++i) a[i] = rounded(factors[static_cast<std::size_t>(m.a) + i]);
    for (std::size_t n = 0; n < outputs; ++n)
        for (std::size_t r = 0; r < rank; ++r)
            b[n * wide + r] = rounded(factors[static_cast<std::size_t>(m.b) + n * rank + r]);
    a_.assign(a);
    b_.assign(b);
}

void DeviceAdapters::merge(std::span<const float> factors) {
    gpu::bf16* weights = engine_.weights_to_change();
    const gpu::bf16* frozen = frozen_.data();
    for (const Adapted& m : adapted_) {
        upload(m, factors);
        gpu::bf16* to = weights + m.weight;
        device_.copy(to, frozen, area(m) * sizeof(gpu::bf16));
        device_.multiply({gpu::Product::nn, m.outputs, m.inputs, wide_, b_.data(), wide_, a_.data(), m.inputs, to,
                          nullptr, m.inputs, 1, scale_});
        frozen += area(m);
    }
}

void DeviceAdapters::project(std::span<const float> factors, std::span<float> gradient) {
    const auto wide = static_cast<std::size_t>(wide_), rank = static_cast<std::size_t>(rank_);
    std::vector<float> da, db;
    for (const Adapted& m : adapted_) {
        const auto outputs = static_cast<std::size_t>(m.outputs), inputs = static_cast<std::size_t>(m.inputs);
        upload(m, factors);
        const gpu::bf16* dw = rounded_.resize(area(m));
        device_.run(gpu::Round{rounded_.data(), engine_.training().gradient().data() + m.weight, area(m)});
        device_.multiply({gpu::Product::tn, wide_, m.inputs, m.outputs, b_.data(), wide_, dw, m.inputs, nullptr,
                          da_.resize(wide * inputs), m.inputs, 0, scale_});
        device_.multiply({gpu::Product::nt, m.outputs, wide_, m.inputs, dw, m.inputs, a_.data(), m.inputs, nullptr,
                          db_.resize(outputs * wide), wide_, 0, scale_});
        da.resize(rank * inputs);
        db.resize(outputs * wide);
        device_.download(da.data(), da_.data(), da.size() * sizeof(float));
        device_.download(db.data(), db_.data(), db.size() * sizeof(float));
        device_.wait();
        const auto to_a = gradient.subspan(static_cast<std::size_t>(m.a)),
                   to_b = gradient.subspan(static_cast<std::size_t>(m.b));
        for (std::size_t i = 0; i < da.size(); ++i) to_a[i] += da[i];
        for (std::size_t n = 0; n < outputs; ++n)
            for (std::size_t r = 0; r < rank; ++r) to_b[n * rank + r] += db[n * wide + r];
    }
}

}  // namespace tdrm::engine
