// Rotary positions of the rows of a pass, on a device: what model::Rotary is for processors.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "tdrm/gpu/device.hpp"
#include "tdrm/model/layers.hpp"
#include "tdrm/model/spec.hpp"

namespace tdrm::engine {

class DeviceRotary {
public:
    DeviceRotary(gpu::Device& device, const model::ModelSpec& spec);

    [[nodiscard]] bool depends_on_length() const { return spec_.rope_scaling.depends_on_length(); }
    /// Says what the rows of the next passes are.
    /// @param lengths of their trees, only if frequencies depend on them (model::Rotary)
    void prepare(std::span<const std::int32_t> positions, std::span<const std::int32_t> lengths);
    /// How the rows turn in layers of this kind.
    [[nodiscard]] gpu::Rotary of(model::Turning turning) const;

private:
    /// Cosines and sines of angles.
    struct Table {
        explicit Table(gpu::Device& device) : cosine(device), sine(device) {}
        gpu::Memory<float> cosine, sine;
        int angles = 0;
    };
    /// Positions 0 to `positions` - 1 at the frequencies of one key of lengths, from angle `first` on.
    struct Stretch {
        int first, positions;
    };
    /// Fills the table of all layers but those with a base of their own.
    void fill_global(const std::map<int, int>& positions_of_key);
    void fill_local(int positions);

    const model::ModelSpec& spec_;
    Table global_, local_;
    gpu::Memory<float> growth_;         ///< of queries, at the angles of the global table
    std::map<int, Stretch> stretches_;  ///< of the global table, by key
    gpu::Memory<std::int32_t> positions_, angles_;
};

}  // namespace tdrm::engine
