// Adapters on a device: what is merged and projected never leaves it. Factors and gradients are rounded to bf16 where
// they are multiplied, sums are fp32.
#pragma once

#include <vector>

#include "device_engine.hpp"

namespace tdrm::engine {

class DeviceAdapters final : public AdapterProducts {
public:
    /// Keeps a copy of the matrices as they are now.
    DeviceAdapters(DeviceEngine& engine, std::span<const Adapted> adapted, int rank, float scale);

    void merge(std::span<const float> factors) override;
    void project(std::span<const float> factors, std::span<float> gradient) override;

private:
    [[nodiscard]] static std::size_t area(const Adapted& m) {
        return static_cast<std::size_t>(m.outputs) * static_cast<std::size_t>(m.inputs);
    }
    /// The factors of one matrix, of a rank that is a multiple of eight.
    void upload(const Adapted& m, std::span<const float> factors);

    DeviceEngine& engine_;
    gpu::Device& device_;
    std::vector<Adapted> adapted_;
    int rank_, wide_;  ///< and the rank rounded up
    float scale_;
    gpu::Memory<gpu::bf16> frozen_, a_, b_, rounded_;
    gpu::Memory<float> da_, db_;
};

}  // namespace tdrm::engine
