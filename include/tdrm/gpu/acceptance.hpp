// What a GPU is accepted by: docs/gpu.md.
#pragma once

#include <string>

namespace tdrm::gpu {

/// Compares a device's kernels with the emulated ones and its bits with themselves, and measures its speed. Prints
/// name, value, bound, ratio and verdict of each check.
/// @param kind "cuda", or "emulated", which is accepted by itself @param quick small shapes and no speeds
/// @return whether all results were right, whatever the speed @throws std::runtime_error without such a device
[[nodiscard]] bool accept(const std::string& kind, bool quick);

}  // namespace tdrm::gpu
