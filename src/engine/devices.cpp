#include "tdrm/engine/devices.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <stdexcept>

#include "cpu_engine.hpp"
#include "device_engine.hpp"
#include "processors.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/gpu/plugin.hpp"

namespace tdrm::engine {
namespace {

DeviceKind in_use = DeviceKind::cpu;
model::Products products_used = model::Products::fp32;
std::string name_in_use;

/// What launchers say in one of these variables.
int said_by_launcher(std::initializer_list<const char*> variables, int otherwise) {
    for (const char* variable : variables)
        if (const char* text = std::getenv(variable)) {
            int number = 0;
            if (std::from_chars(text, text + std::strlen(text), number).ec == std::errc{} && number >= 0) return number;
        }
    return otherwise;
}
/// Which of the ranks on this machine this one is; 0 alone.
int local_rank() {
    return said_by_launcher({"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID", "PALS_LOCAL_RANKID"}, 0);
}

/// One device a rank; with more ranks than devices they share.
std::unique_ptr<gpu::Device> open_gpu() {
    try {
        return gpu::cuda_device(local_rank() % std::max(1, gpu::cuda_status().devices));
    } catch (const std::runtime_error& error) {
        throw ConfigError(cat("run.device: cuda isn't possible here: ", error.what(),
                              ". Use cpu, or emulated to try the code of GPUs without one."));
    }
}

/// Runs on the processors beside the GPU from now on. @return the GPU's name
std::string settle_on_gpu() {
    const auto gpu = open_gpu();
    run_on(gpu->processors());
    return gpu->name();
}

}  // namespace

DeviceKind available(DeviceKind wished) {
    // Processors, until the code of GPUs has been seen to be right on one.
    if (wished == DeviceKind::automatic) return DeviceKind::cpu;
    if (wished == DeviceKind::cuda) (void)open_gpu();
    return wished;
}

void use_device(DeviceKind wished, model::Products products) {
    const auto unit = model::ops::bf16_unit();
    const DeviceKind kind = available(wished);
    const bool rounds = products == model::Products::bf16;
    if (rounds && kind != DeviceKind::cpu)
        throw ConfigError(
            "run.products says how processors multiply, but run.device is none (GPUs multiply bf16 numbers anyway). "
            "Leave "
            "products out.");
    if (rounds && unit == model::ops::Bf16Unit::none)
        throw ConfigError(
            "run.products: bf16 isn't possible here: this processor has neither AMX nor AVX512-BF16, or the system "
            "doesn't allow them (it would be slower than fp32). Use fp32, or other nodes.");
    in_use = kind;
    products_used = products;
    name_in_use = rounds                           ? cat("bf16 products by ", model::ops::name_of(unit))
                  : in_use == DeviceKind::cpu      ? ""
                  : in_use == DeviceKind::emulated ? gpu::emulated_device()->name()
                                                   : settle_on_gpu();
}

void plan_device(DeviceKind wished, model::Products products) {
    in_use = wished == DeviceKind::automatic ? DeviceKind::cpu : wished;
    products_used = products;
}

model::Products products_in_use() { return products_used; }

DeviceKind device_in_use() { return in_use; }

std::string device_identity() { return name_in_use; }

std::unique_ptr<Engine> make_engine(const model::ModelSpec& spec, DeviceKind kind, model::Use use) {
    switch (kind) {
        case DeviceKind::cuda:
            return std::make_unique<DeviceEngine>(spec, open_gpu());
        case DeviceKind::emulated:
            return std::make_unique<DeviceEngine>(spec, gpu::emulated_device());
        default:
            return std::make_unique<CpuEngine>(spec, products_used, use);
    }
}

std::unique_ptr<Engine> make_engine(const model::ModelSpec& spec, model::Use use) {
    return make_engine(spec, in_use, use);
}

}  // namespace tdrm::engine
