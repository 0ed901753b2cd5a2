#include "tdrm/gpu/plugin.hpp"

#include <dlfcn.h>

#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <vector>

namespace tdrm::gpu {
namespace {

namespace fs = std::filesystem;

constexpr const char* kName = "libtdrm_cuda.so";
constexpr std::size_t kErrorBytes = 512;

struct Plugin {
    std::string file, problem;
    int (*devices)(int, char*, std::size_t) = nullptr;
    Device* (*open)(int, char*, std::size_t) = nullptr;
    int (*nccl)() = nullptr;
};

/// Beside the program, where an installation has it, or where the loader looks.
std::vector<fs::path> candidates() {
    std::error_code none;
    const fs::path folder = fs::read_symlink("/proc/self/exe", none).parent_path();
    return {folder / kName, folder.parent_path() / kName, folder.parent_path() / "lib" / "tdrm" / kName, kName};
}

Plugin open_plugin() {
    Plugin plugin;
    for (const fs::path& candidate : candidates()) {
        if (candidate.has_parent_path() && !fs::exists(candidate)) continue;
        void* library = dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr) {
            plugin.problem = dlerror();
            continue;
        }
        plugin.file = candidate.string();
        plugin.devices = reinterpret_cast<decltype(plugin.devices)>(dlsym(library, "tdrm_cuda_devices"));
        plugin.open = reinterpret_cast<decltype(plugin.open)>(dlsym(library, "tdrm_cuda_open"));
        plugin.nccl = reinterpret_cast<decltype(plugin.nccl)>(dlsym(library, "tdrm_cuda_nccl_version"));
        plugin.problem = plugin.devices == nullptr || plugin.open == nullptr ? "it isn't tdrm's" : "";
        break;
    }
    return plugin;
}

const Plugin& plugin() {
    static const Plugin opened = open_plugin();
    return opened;
}

}  // namespace

std::string plugin_file() {
    for (const fs::path& candidate : candidates())
        if (candidate.has_parent_path() && fs::exists(candidate)) return candidate.string();
    return "";
}

CudaStatus cuda_status() {
    CudaStatus status{plugin().file, 0, plugin().problem};
    if (!status.problem.empty()) return status;
    char error[kErrorBytes] = {};
    const int count = plugin().devices(kPluginInterface, error, kErrorBytes);
    status.devices = count < 0 ? 0 : count;
    if (count < 0) status.problem = error;
    if (count == 0) status.problem = "no device is visible";
    return status;
}

std::string nccl_version() {
    const int version = plugin().nccl == nullptr ? 0 : plugin().nccl();
    if (version == 0) return "";
    return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
           std::to_string(version % 100);
}

std::unique_ptr<Device> cuda_device(int ordinal) {
    const CudaStatus status = cuda_status();
    if (!status.problem.empty()) throw std::runtime_error(status.problem);
    char error[kErrorBytes] = {};
    std::unique_ptr<Device> device(plugin().open(ordinal, error, kErrorBytes));
    if (!device) throw std::runtime_error(error);
    return device;
}

}  // namespace tdrm::gpu
