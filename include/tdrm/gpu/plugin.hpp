// The library that has GPUs: opened at run time, so that one build of the program serves machines with and without.
#pragma once

#include <memory>
#include <string>

#include "tdrm/gpu/device.hpp"

namespace tdrm::gpu {

/// Of Device, Operation and Gemm. Sizes change it; the first number must, whenever anything else of them does.
inline constexpr int kPluginInterface = 3 + static_cast<int>(sizeof(Operation) + sizeof(Gemm)) * 1000;

/// Where the plugin is, without opening it (that takes 0.1 s and 200 MB); "": nowhere but perhaps where the loader
/// looks.
[[nodiscard]] std::string plugin_file();

/// What this machine has.
struct CudaStatus {
    std::string library;  ///< the plugin's file; empty: not found
    int devices = 0;      ///< visible to this process
    std::string problem;  ///< why there is none; empty if there is
};
[[nodiscard]] CudaStatus cuda_status();
/// Version of the NCCL library that the plugin has found, e.g. 2.28.9; "" without the plugin, or if it was built
/// without.
[[nodiscard]] std::string nccl_version();
/// @param ordinal among the process's visible devices @throws std::runtime_error with the reason
[[nodiscard]] std::unique_ptr<Device> cuda_device(int ordinal);

}  // namespace tdrm::gpu
