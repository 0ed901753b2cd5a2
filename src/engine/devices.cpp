#include "tdrm/engine/devices.hpp"

#include "cpu_engine.hpp"
#include "device_engine.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::engine {
namespace {

DeviceKind in_use = DeviceKind::cpu;

}  // namespace

DeviceKind available(DeviceKind wished) {
    if (wished == DeviceKind::cuda)
        throw ConfigError(
            "run.device: cuda isn't there yet (this version has the code of GPUs for the emulated device only). Use "
            "cpu, or emulated to try that code.");
    return wished == DeviceKind::automatic ? DeviceKind::cpu : wished;
}

void use_device(DeviceKind wished) { in_use = available(wished); }

DeviceKind device_in_use() { return in_use; }

std::unique_ptr<Engine> make_engine(const model::ModelSpec& spec, DeviceKind kind) {
    if (available(kind) == DeviceKind::emulated) return std::make_unique<DeviceEngine>(spec, gpu::emulated_device());
    return std::make_unique<CpuEngine>(spec);
}

std::unique_ptr<Engine> make_engine(const model::ModelSpec& spec) { return make_engine(spec, in_use); }

}  // namespace tdrm::engine
