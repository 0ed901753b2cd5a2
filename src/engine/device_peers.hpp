// Connecting the devices of all ranks.
#pragma once

#include <functional>
#include <memory>

#include "tdrm/comm/communicator.hpp"
#include "tdrm/gpu/device.hpp"

namespace tdrm::engine {

/// Collective. Peers of the ranks' devices; null where sums go through the hosts: one rank, devices that connect with
/// nobody, or ranks that share one, of which rank 0 warns.
[[nodiscard]] std::unique_ptr<gpu::Peers> connect_devices(comm::Communicator& ranks, gpu::Device& device);

/// Collective. Queues exchanges and waits for them. @throws CommError with the device's words
void exchange(comm::Communicator& ranks, gpu::Peers& peers, const char* kind, std::size_t bytes,
              const std::function<void()>& queue);

}  // namespace tdrm::engine
