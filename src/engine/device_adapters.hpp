// Adapters on a device: what is merged and projected never leaves it. Factors and gradients are rounded to bf16 where
// they are multiplied, sums are fp32.
#pragma once

#include <cstddef>
#include <vector>

#include "device_engine.hpp"

namespace tdrm::engine {

class DeviceAdapters final : public AdapterProducts {
public:
    /// Keeps a copy of the matrices as they are now.
    DeviceAdapters(DeviceEngine& engine, const Adapters& adapters);

    void merge(std::span<const float> values) override;
    void backward(const model::Forest& forest, std::span<float> gradient) override;

private:
    /// Where what belongs to a matrix begins: its copy, its factors A and B, whose rank is rounded up to a multiple of
    /// eight; and their gradients, in the same order.
    struct Place {
        std::size_t frozen, a, b;
    };
    [[nodiscard]] static std::size_t area(const Adapted& m) {
        return static_cast<std::size_t>(m.outputs) * static_cast<std::size_t>(m.inputs);
    }
    void upload(std::span<const float> values);
    void project(std::size_t matrix);
    /// Of what lies in a slice.
    void project(const Range& slice);
    void download(std::span<float> gradient);

    DeviceEngine& engine_;
    gpu::Device& device_;
    Adapters adapters_;
    std::size_t wide_;  ///< the rank rounded up
    std::vector<Place> places_;
    std::size_t factors_ = 0, wholes_ = 0;  ///< numbers of all factors, and of all whole tensors behind them
    gpu::Memory<gpu::bf16> frozen_, values_, rounded_;
    gpu::Memory<float> gradient_;
};

}  // namespace tdrm::engine
