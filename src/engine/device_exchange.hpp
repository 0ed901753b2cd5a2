// Exchanging numbers between the devices of all ranks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "tdrm/comm/communicator.hpp"
#include "tdrm/gpu/device.hpp"

namespace tdrm::engine {

/// Collective. Peers of the ranks' devices; null where numbers go through the hosts: one rank, devices that connect
/// with nobody, or ranks that share one, of which rank 0 warns.
[[nodiscard]] std::unique_ptr<gpu::Peers> connect_devices(comm::Communicator& ranks, gpu::Device& device);

/// From device to device, beside what they compute, where they connect; else through the hosts' memory, at once.
/// Numbers on their way mustn't be touched before `join`. All but that is collective.
/// @throws CommError with the device's words; nothing can be exchanged from then on
class DeviceExchange {
public:
    explicit DeviceExchange(gpu::Device& device) : device_(device) {}

    /// Adds in place. @param receiver as the communicator's sums: who isn't has nothing of use afterwards
    template <class T>
    void sum(T* values, std::size_t n, int receiver, comm::Communicator& ranks);
    void broadcast(gpu::bf16* values, std::size_t n, int from, comm::Communicator& ranks);
    /// Local. What the device is asked for next comes after all of this.
    void join();
    /// Until everything is there.
    void wait(comm::Communicator& ranks);

private:
    /// The first time it connects. If that failed nobody knows what the others do.
    [[nodiscard]] gpu::Peers* peers(comm::Communicator& ranks);

    gpu::Device& device_;
    std::unique_ptr<gpu::Peers> peers_;
    enum class Connected { not_yet, failed, done } connected_ = Connected::not_yet;
    std::size_t bytes_ = 0;  ///< on their way
};

}  // namespace tdrm::engine
