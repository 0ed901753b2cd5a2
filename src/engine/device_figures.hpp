// Figures of a gradient on a device: sums of squares, and the largest value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tdrm/engine/engine.hpp"
#include "tdrm/gpu/device.hpp"

namespace tdrm::engine {

/// Pieces are added while the device computes; what was found of all is downloaded once.
class DeviceFigures {
public:
    explicit DeviceFigures(gpu::Device& device) : device_(device), squares_(device), largest_(device) {}

    /// Forgets all pieces. @param pieces that are going to be added, at most
    void begin(const std::vector<Range>& pieces);
    void add(const Range& piece, const float* values);

    struct Found {
        std::vector<double> squares;  ///< of each piece, in the order in which they were added
        float largest = 0;            ///< |value|; NaN and infinity are larger than all others
        Range where;                  ///< that lies here
    };
    [[nodiscard]] Found find();

private:
    gpu::Device& device_;
    gpu::Memory<double> squares_;  ///< by block of gpu::kFigureBlock values
    gpu::Memory<std::uint32_t> largest_;
    std::vector<Range> pieces_;
    std::size_t blocks_ = 0;
};

}  // namespace tdrm::engine
