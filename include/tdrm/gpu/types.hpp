// What a device's numbers are called on both sides.
#pragma once

#include <cstdint>

namespace tdrm::gpu {

/// A bfloat16 as it lies in memory.
struct bf16 {
    std::uint16_t bits;
};

/// Where work is queued: a cudaStream_t, or null.
using Stream = void*;

}  // namespace tdrm::gpu
