// Speeds of engines on a device, and the memory that they take.
#pragma once

#include "tdrm/engine/acceptance.hpp"
#include "tdrm/model/spec.hpp"

namespace tdrm::engine {

/// Of the smallest model that is measured.
[[nodiscard]] model::ModelSpec smallest_measured(DeviceKind kind);

/// Targets are computed for an H200 (docs/gpu.md). A small model in the place of the large ones on the emulated device.
void measure_models(gpu::Report& report, comm::Communicator& ranks, DeviceKind kind);

}  // namespace tdrm::engine
