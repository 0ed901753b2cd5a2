// What engines on a device are accepted by, beside their kernels: docs/gpu.md.
#pragma once

#include "tdrm/comm/communicator.hpp"
#include "tdrm/engine/devices.hpp"
#include "tdrm/gpu/acceptance.hpp"

namespace tdrm::engine {

/// Small models of every family against processors and the emulated device, bits against themselves, then speeds of
/// models of 0.5B to 7B, and the memory that they take against what plans say. The emulated device has no speeds: it
/// goes through the same with a small model.
/// @param ranks of one @throws ConfigError without such a device
void accept_models(gpu::Report& report, comm::Communicator& ranks, DeviceKind kind);

}  // namespace tdrm::engine
