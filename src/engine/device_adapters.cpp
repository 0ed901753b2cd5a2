#include "device_adapters.hpp"

#include <algorithm>

#include "tdrm/base/bfloat16.hpp"

namespace tdrm::engine {
namespace {

std::size_t at(std::int64_t offset) { return static_cast<std::size_t>(offset); }

}  // namespace

DeviceAdapters::DeviceAdapters(DeviceEngine& engine, const Adapters& adapters)
    : engine_(engine),
      device_(*engine.device_),
      adapters_(adapters),
      wide_((at(adapters.rank) + 7) / 8 * 8),
      frozen_(device_, "frozen matrices"),
      values_(device_, "adapters"),
      rounded_(device_, "the gradient of a matrix"),
      gradient_(device_, "the gradient of adapters") {
    std::size_t frozen = 0, largest = 0;
    for (const Adapted& m : adapters_.matrices) {
        const std::size_t a = factors_, b = a + wide_ * at(m.inputs);
        places_.push_back({frozen, a, b});
        factors_ = b + wide_ * at(m.outputs);
        frozen += area(m);
        largest = std::max(largest, area(m));
    }
    for (const Adapters::Whole& w : adapters_.whole) wholes_ += at(w.size);
    values_.resize(factors_);
    rounded_.resize(largest);
    gradient_.resize(factors_ + wholes_);
    frozen_.resize(frozen);
    for (std::size_t i = 0; i < places_.size(); ++i) {
        const Adapted& m = adapters_.matrices[i];
        device_.copy(frozen_.data() + places_[i].frozen, engine_.weights() + m.weight, area(m) * sizeof(gpu::bf16));
    }
}

void DeviceAdapters::upload(std::span<const float> values) {
    if (factors_ == 0) return;
    const auto rounded = [](float x) { return gpu::bf16{to_bfloat16(x).bits}; };
    const std::size_t rank = at(adapters_.rank);
    std::vector<gpu::bf16> all(factors_);  // 0 beyond the rank
    for (std::size_t i = 0; i < places_.size(); ++i) {
        const Adapted& m = adapters_.matrices[i];
        for (std::size_t k = 0; k < rank * at(m.inputs); ++k) all[places_[i].a + k] = rounded(values[at(m.a) + k]);
        for (std::size_t n = 0; n < at(m.outputs); ++n)
            for (std::size_t r = 0; r < rank; ++r)
                all[places_[i].b + n * wide_ + r] = rounded(values[at(m.b) + n * rank + r]);
    }
    values_.assign(all);
}

void DeviceAdapters::merge(std::span<const float> values) {
    gpu::bf16* weights = engine_.weights_to_change();
    upload(values);
    const int wide = static_cast<int>(wide_);
    for (std::size_t i = 0; i < places_.size(); ++i) {
        const Adapted& m = adapters_.matrices[i];
        gpu::bf16* to = weights + m.weight;
        device_.copy(to, frozen_.data() + places_[i].frozen, area(m) * sizeof(gpu::bf16));
        device_.multiply({gpu::Product::nn, m.outputs, m.inputs, wide, values_.data() + places_[i].b, wide,
                          values_.data() + places_[i].a, m.inputs, to, nullptr, m.inputs, 1, adapters_.scale});
    }
}

void DeviceAdapters::backward(const model::Forest& forest, std::span<float> gradient) {
    struct Watch {
        Watch(DeviceTraining& of, std::function<void(const Range&)> observer) : training(of) {
            training.observe(std::move(observer));
        }
        ~Watch() { training.observe({}); }
        Watch(const Watch&) = delete;
        Watch& operator=(const Watch&) = delete;
        DeviceTraining& training;
    } const watch(engine_.training(), [this](const Range& slice) { project(slice); });
    engine_.backward(forest);
    download(gradient);
}

void DeviceAdapters::project(const Range& slice) {
    const auto within = [&](std::int64_t offset) { return offset >= slice.begin && offset < slice.end; };
    for (std::size_t i = 0; i < places_.size(); ++i)
        if (within(adapters_.matrices[i].weight)) project(i);
    std::size_t to = factors_;
    for (const Adapters::Whole& w : adapters_.whole) {
        if (within(w.theirs))
            device_.copy(gradient_.data() + to, engine_.training().gradient().at(w.theirs), at(w.size) * sizeof(float));
        to += at(w.size);
    }
}

void DeviceAdapters::project(std::size_t matrix) {
    const Adapted& m = adapters_.matrices[matrix];
    const Place& place = places_[matrix];
    const int wide = static_cast<int>(wide_);
    device_.run(gpu::Round{rounded_.data(), engine_.training().gradient().at(m.weight), area(m)});
    device_.multiply({gpu::Product::tn, wide, m.inputs, m.outputs, values_.data() + place.b, wide, rounded_.data(),
                      m.inputs, nullptr, gradient_.data() + place.a, m.inputs, 0, adapters_.scale});
    device_.multiply({gpu::Product::nt, m.outputs, wide, m.inputs, rounded_.data(), m.inputs, values_.data() + place.a,
                      m.inputs, nullptr, gradient_.data() + place.b, wide, 0, adapters_.scale});
}

void DeviceAdapters::download(std::span<float> gradient) {
    std::vector<float> all(factors_ + wholes_);
    device_.download(all.data(), gradient_.data(), all.size() * sizeof(float));
    device_.wait();
    const std::size_t rank = at(adapters_.rank);
    for (std::size_t i = 0; i < places_.size(); ++i) {
        const Adapted& m = adapters_.matrices[i];
        for (std::size_t k = 0; k < rank * at(m.inputs); ++k) gradient[at(m.a) + k] += all[places_[i].a + k];
        for (std::size_t n = 0; n < at(m.outputs); ++n)
            for (std::size_t r = 0; r < rank; ++r)
                gradient[at(m.b) + n * rank + r] += all[places_[i].b + n * wide_ + r];
    }
    std::size_t from = factors_;
    for (const Adapters::Whole& w : adapters_.whole) {
        for (std::size_t k = 0; k < at(w.size); ++k) gradient[at(w.ours) + k] += all[from + k];
        from += at(w.size);
    }
}

}  // namespace tdrm::engine
