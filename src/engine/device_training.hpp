// What the engine of a device keeps of a model in training: as CpuTraining, in the device's memory.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "dealt_total.hpp"
#include "tdrm/comm/exact_sum.hpp"
#include "tdrm/engine/engine.hpp"
#include "tdrm/engine/ownership.hpp"
#include "tdrm/gpu/device.hpp"

namespace tdrm::engine {

/// Numbers in bf16 on a device, as fp32 here.
void download_rounded(gpu::Device& device, const gpu::bf16* from, std::span<float> out);
void upload_rounded(gpu::Device& device, gpu::bf16* to, std::span<const float> values);

/// Master weights are fp32, whatever the weights' format outside: products always read weights rounded to bf16. Sum,
/// norm and update go over the same pieces as on processors.
class DeviceTraining {
public:
    /// @param weights become the master weights
    DeviceTraining(gpu::Device& device, const model::Layout& layout, const TrainingSetup& setup,
                   gpu::Memory<gpu::bf16>& weights);

    void begin_update();
    void begin_unit();
    double end_unit(std::string_view unit);
    void collect(comm::Communicator& ranks, bool unit);
    double reduce(comm::Communicator& ranks);
    void update(const AdamWStep& step, comm::Communicator& ranks);

    /// Where the gradient of the open unit is added up.
    [[nodiscard]] gpu::Memory<float>& gradient() { return gradient_; }

    // As the engine's. Weights outside are the master weights, or what these are rounded to, which isn't kept here.
    [[nodiscard]] bool has(Array array) const { return numbers(array) != nullptr || rounded(array) != nullptr; }
    void read(Array array, std::int64_t first, std::span<float> out) const;
    void write(Array array, std::int64_t first, std::span<const float> values);

private:
    struct Figures {
        std::vector<double> squares;  ///< by piece, 0 of those that aren't wanted
        float largest = 0;
    };
    /// What is kept of an array in fp32, and in bf16; null: nothing.
    [[nodiscard]] const gpu::Memory<float>* numbers(Array array) const;
    [[nodiscard]] const gpu::Memory<gpu::bf16>* rounded(Array array) const;
    /// Of the trainable pieces of the gradient. @param kept only of those that this rank keeps
    [[nodiscard]] Figures figures(bool kept);
    /// The total over all ranks, piece by piece, between devices or through the hosts' memory. @tparam T of the total
    /// @param add the communicator's sum of such numbers
    template <class T>
    void sum_over_ranks(gpu::Memory<T>& total, comm::Communicator& ranks,
                        void (comm::Communicator::*add)(std::span<T>, int));
    /// Collective, the first time. What connects the ranks' devices; null: the hosts' memory does.
    [[nodiscard]] gpu::Peers* peers(comm::Communicator& ranks);
    /// Hands each rank the weights of the pieces that others keep.
    void share_weights(comm::Communicator& ranks);
    void update_range(const AdamWStep& step, Range range, bool decays);
    [[noreturn]] void refuse(std::string_view unit);

    gpu::Device& device_;
    const model::Layout& layout_;
    TrainingSetup setup_;
    std::vector<Range> pieces_;
    Ownership ownership_;  ///< of moments and master weights
    gpu::Memory<gpu::bf16>& weights_;
    gpu::Memory<float> master_, first_, second_, gradient_;
    gpu::Memory<gpu::bf16> first_rounded_, second_rounded_;  ///< in the place of the moments in fp32
    gpu::Memory<std::int64_t> exact_;
    gpu::Memory<float> fast_;
    gpu::Memory<double> squares_;
    gpu::Memory<std::uint32_t> largest_;
    std::optional<DealtTotal> dealt_;
    std::unique_ptr<gpu::Peers> peers_;
    bool connected_ = false;  ///< or tried to
    comm::ExactBound bound_;
};

}  // namespace tdrm::engine
