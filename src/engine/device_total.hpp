// The gradient of an update on a device, added up over units and ranks.
#pragma once

#include <cstdint>
#include <span>

#include "device_exchange.hpp"
#include "tdrm/engine/engine.hpp"
#include "tdrm/engine/ownership.hpp"
#include "tdrm/gpu/device.hpp"

namespace tdrm::engine {

/// Each rank adds its units to a total of its own, and those who need the sum get it from all in `exchange`; or totals
/// are dealt out (Sum::dealt): each rank has those of the parts that it keeps, and adds what it finds for other parts
/// to theirs at once. Pieces that are summed don't reach over parts, and all ranks exchange them in the same order.
class DeviceTotal {
public:
    /// @param sum dealt is exact where parts aren't dealt out
    DeviceTotal(gpu::Device& device, DeviceExchange& exchange, Sum sum, const model::Layout& layout,
                const Ownership& ownership);

    [[nodiscard]] bool dealt() const { return sum_ == Sum::dealt; }
    /// Local. Zeros, for another update.
    void clear();
    /// Local. Units are going to be added, on this rank or on others. @param pieces all that are summed
    void open(std::span<const Range> pieces);
    /// Local. Adds values of a piece to this rank's total. Not if dealt.
    void add(const Range& piece, const float* values);
    /// Collective. Hands what this rank has of a piece to those who need it. @param values what it has if dealt, null:
    /// nothing
    void exchange(const Range& piece, const float* values, comm::Communicator& ranks);
    /// Collective. Until everything is exchanged.
    void settle(comm::Communicator& ranks);
    /// Whether that was done since the last unit.
    [[nodiscard]] bool settled() const { return settled_; }
    /// Local, once settled. The gradient of a piece that this rank keeps, until the next call.
    [[nodiscard]] const float* gradient(const Range& piece) const;

    /// Bytes that it takes on such a rank.
    [[nodiscard]] static double bytes(const model::Layout& layout, Sum sum, const Ownership& ownership);

private:
    /// Room for n quanta on their way to another rank's total.
    [[nodiscard]] std::int64_t* stage(std::size_t n);
    void zero(const Range& piece);

    gpu::Device& device_;
    DeviceExchange& exchange_;
    Sum sum_;
    Ownership ownership_;
    gpu::Memory<std::int64_t> exact_;  ///< the total: of everything, or of what this rank keeps
    gpu::Memory<float> fast_;          ///< or this
    gpu::Memory<std::int64_t> staged_;
    gpu::Memory<float> gradient_;  ///< of a piece
    std::size_t in_stage_ = 0;
    bool settled_ = false;
    bool root_ = true;
};

}  // namespace tdrm::engine
