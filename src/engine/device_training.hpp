// What the engine of a device keeps of a model in training: as CpuTraining, in the device's memory.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "device_exchange.hpp"
#include "device_figures.hpp"
#include "device_gradient.hpp"
#include "device_total.hpp"
#include "tdrm/comm/exact_sum.hpp"
#include "tdrm/engine/engine.hpp"
#include "tdrm/engine/ownership.hpp"
#include "tdrm/gpu/device.hpp"

namespace tdrm::engine {

/// Numbers in bf16 on a device, as fp32 here.
void download_rounded(gpu::Device& device, const gpu::bf16* from, std::span<float> out);
void upload_rounded(gpu::Device& device, gpu::bf16* to, std::span<const float> values);

/// Master weights are fp32, whatever the weights' format outside: products always read weights rounded to bf16. Sum,
/// norm and update go over the same pieces as on processors; those of a unit are cut at the slices of its gradient,
/// too.
class DeviceTraining {
public:
    /// @param weights become the master weights
    DeviceTraining(gpu::Device& device, const model::Layout& layout, const TrainingSetup& setup,
                   gpu::Memory<gpu::bf16>& weights);

    void begin_update();
    void begin_unit();
    void collect_behind(comm::Communicator& ranks);
    /// Local, or collective after `collect_behind`. The backward pass is done with the gradient's next slice.
    void slice_done();
    double end_unit(std::string_view unit);
    void collect(comm::Communicator& ranks);
    double reduce(comm::Communicator& ranks);
    void update(const AdamWStep& step, comm::Communicator& ranks);

    /// Local. Is called with each slice when its gradient is there; none: nobody.
    void observe(std::function<void(const Range& slice)> observer) { observer_ = std::move(observer); }
    /// Of the open unit.
    [[nodiscard]] const DeviceGradient& gradient() const { return gradient_; }

    // As the engine's. Weights outside are the master weights, or what these are rounded to, which isn't kept here.
    [[nodiscard]] bool has(Array array) const;
    void read(Array array, std::int64_t first, std::span<float> out) const;
    void write(Array array, std::int64_t first, std::span<const float> values);

private:
    /// What is kept of an array in fp32, and in bf16; null: nothing.
    [[nodiscard]] const gpu::Memory<float>* numbers(Array array) const;
    [[nodiscard]] const gpu::Memory<gpu::bf16>* rounded(Array array) const;
    /// Figures and sums of the next slice.
    void finish_slice();
    /// Collective. The next piece's total. @param values what this rank adds, if totals are dealt; null: nothing
    void exchange_piece(comm::Communicator& ranks, const float* values);
    /// Collective. What is left of it.
    void exchange_all(comm::Communicator& ranks);
    /// Whether ranks exchange once an update, whatever rounds there are: each holds totals of its own.
    [[nodiscard]] bool exchanges_once() const { return setup_.sum == Sum::dealt && !total_->dealt(); }
    void update_range(const AdamWStep& step, Range range, bool decays, const float* gradient);

    gpu::Device& device_;
    const model::Layout& layout_;
    TrainingSetup setup_;
    std::vector<Range> pieces_;
    Ownership ownership_;  ///< of moments and master weights
    gpu::Memory<gpu::bf16>& weights_;
    gpu::Memory<float> master_, first_, second_;
    gpu::Memory<gpu::bf16> first_rounded_, second_rounded_;  ///< in the place of the moments in fp32
    DeviceGradient gradient_;
    std::vector<Range> unit_pieces_;  ///< cut at the slices, too, and in their order
    std::vector<std::size_t> ends_;   ///< of each slice's in these
    std::optional<DeviceTotal> total_;
    DeviceFigures figures_;
    comm::ExactBound bound_;
    std::size_t finished_ = 0;   ///< slices of the open unit
    std::size_t exchanged_ = 0;  ///< pieces since the last `collect`
    bool reduced_ = false;       ///< the gradient is the update's
    std::function<void(const Range& slice)> observer_;
    comm::Communicator* behind_ = nullptr;  ///< with whom slices are exchanged as they are finished
    DeviceExchange exchange_;               ///< goes before what it may still be at work on
};

}  // namespace tdrm::engine
