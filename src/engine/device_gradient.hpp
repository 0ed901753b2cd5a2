// The gradient of a unit on a device: all of it, or as much as a backward pass works on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tdrm/engine/engine.hpp"
#include "tdrm/gpu/device.hpp"
#include "tdrm/model/layout.hpp"

namespace tdrm::engine {

/// Slices of the flat arrays in the order in which a backward pass is done with them: what lies behind the layers, the
/// layers from the last one to the first, what lies before them.
[[nodiscard]] std::vector<Range> backward_slices(const model::Layout& layout);

/// Of one model. Unless the gradient is whole, all layers share the room of one, and so do the two ends of the arrays,
/// but for a tied head, which adds to the embedding from the beginning. Slices of which nothing is wanted have no room.
class DeviceGradient {
public:
    /// @param wanted ascending ranges of what a gradient is needed of; none: everything
    DeviceGradient(gpu::Device& device, const model::Layout& layout, UnitGradient kept,
                   const std::vector<Range>& wanted);

    [[nodiscard]] const std::vector<Range>& slices() const { return slices_; }
    /// Whether it is kept until the next unit, to be read and written.
    [[nodiscard]] bool whole() const { return whole_; }
    /// Whether the gradient of some parameters of a range is needed.
    [[nodiscard]] bool wants(const Range& range) const;
    /// Where the gradient of the parameters from `offset` on is added up, as far as their slice goes.
    [[nodiscard]] float* at(std::int64_t offset) const;
    /// Zeros, for another unit.
    void clear();
    /// A slice's gradient is needed no more: its room is the next one's.
    void close(std::size_t slice);

    /// Numbers that it has room for.
    [[nodiscard]] static std::int64_t numbers(const model::Layout& layout, UnitGradient kept,
                                              const std::vector<Range>& wanted);

private:
    void zero(const Range& range);

    gpu::Device& device_;
    std::vector<Range> slices_, wanted_;
    bool whole_, tied_;
    std::int64_t behind_;      ///< where what lies behind the layers begins in the room of the ends
    gpu::Memory<float> ends_;  ///< or everything
    gpu::Memory<float> layer_;
};

}  // namespace tdrm::engine
