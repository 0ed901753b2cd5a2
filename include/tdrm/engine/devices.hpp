// Where engines compute.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "tdrm/engine/engine.hpp"
#include "tdrm/model/transformer.hpp"

namespace tdrm::engine {

/// What a user asks for.
enum class DeviceKind {
    automatic,  ///< the processor today; a GPU where there is one, once that has been tried on one
    cpu,        ///< fp32 (docs/adr/0001)
    cuda,       ///< a GPU, in bf16; hasn't run on hardware yet
    emulated,   ///< the code of `cuda` on the processor: for tests, slow
};
[[nodiscard]] constexpr auto enum_names(DeviceKind) {
    return std::array<std::pair<DeviceKind, std::string_view>, 4>{{{DeviceKind::automatic, "auto"},
                                                                   {DeviceKind::cpu, "cpu"},
                                                                   {DeviceKind::cuda, "cuda"},
                                                                   {DeviceKind::emulated, "emulated"}}};
}

/// The kind that there is for a wish. @throws ConfigError if there is none, saying why
[[nodiscard]] DeviceKind available(DeviceKind wished);
/// Where `make_engine` of this process makes engines from now on, and how processors multiply; at the start `cpu`,
/// fp32.
/// @throws ConfigError as `available`, or if nothing here multiplies bf16 numbers, or if it isn't a processor
void use_device(DeviceKind wished, model::Products products = model::Products::fp32);
/// The same for a plan, which needs no device: figures of memory (memory.hpp) are those of that kind from now on.
void plan_device(DeviceKind wished, model::Products products);
[[nodiscard]] DeviceKind device_in_use();
[[nodiscard]] model::Products products_in_use();
/// What the identity of a stage says of the device; empty for processors in fp32, which ranks compare at the start.
[[nodiscard]] std::string device_identity();

/// An engine on a device of a kind, whose weights are zero.
/// @throws ConfigError if there is no such device, or if it doesn't compute such a model
[[nodiscard]] std::unique_ptr<Engine> make_engine(const model::ModelSpec& spec, DeviceKind kind,
                                                  model::Use use = model::Use::training);

}  // namespace tdrm::engine
