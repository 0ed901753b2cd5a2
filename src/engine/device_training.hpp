// What the engine of a device keeps of a model in training: as CpuTraining, in the device's memory.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "tdrm/comm/exact_sum.hpp"
#include "tdrm/engine/engine.hpp"
#include "tdrm/gpu/device.hpp"

namespace tdrm::engine {

/// Master weights and moments are fp32, whatever the weights' format outside: products always read weights rounded to
/// bf16. Sum, norm and update go over the same pieces as on processors.
class DeviceTraining {
public:
    /// @param weights become the master weights
    DeviceTraining(gpu::Device& device, const model::Layout& layout, const TrainingSetup& setup,
                   gpu::Memory<gpu::bf16>& weights);

    void begin_update();
    void begin_unit();
    double end_unit(std::string_view unit);
    double reduce(comm::Communicator& ranks);
    void update(const AdamWStep& step);

    /// Weights outside are the master weights, or what these are rounded to.
    [[nodiscard]] bool rounded() const { return setup_.weights == WeightFormat::bf16; }
    [[nodiscard]] gpu::Memory<float>& gradient() { return gradient_; }
    [[nodiscard]] gpu::Memory<float>& first() { return first_; }
    [[nodiscard]] gpu::Memory<float>& second() { return second_; }
    [[nodiscard]] gpu::Memory<float>& master() { return master_; }
    /// Weights [first, first + n) are master weights rounded.
    void round(std::int64_t first, std::size_t n);

private:
    struct Figures {
        double squares;
        float largest;
    };
    /// Of the trainable part of the gradient.
    [[nodiscard]] Figures figures();
    /// The total over all ranks, piece by piece through this machine's memory. @tparam T of the total
    template <class T, class Add>
    void exchange(gpu::Memory<T>& total, comm::Communicator& ranks, Add&& add);
    void update_range(const AdamWStep& step, Range range, bool decays);
    [[noreturn]] void refuse(std::string_view unit);

    gpu::Device& device_;
    const model::Layout& layout_;
    TrainingSetup setup_;
    std::vector<Range> pieces_;
    gpu::Memory<gpu::bf16>& weights_;
    gpu::Memory<float> master_, first_, second_, gradient_;
    gpu::Memory<std::int64_t> exact_;
    gpu::Memory<float> fast_;
    gpu::Memory<double> squares_;
    gpu::Memory<std::uint32_t> largest_;
    comm::ExactBound bound_;
};

}  // namespace tdrm::engine
