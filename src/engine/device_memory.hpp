// Memory that an engine on a device takes: the figures of tdrm/engine/memory.hpp for devices.
#pragma once

#include "tdrm/engine/lora.hpp"
#include "tdrm/engine/memory.hpp"

namespace tdrm::engine::on_device {

[[nodiscard]] WeightBytes weight_bytes(const model::ModelSpec& spec);
[[nodiscard]] TrainingBytes training_bytes(const model::ModelSpec& spec, const TrainingSetup& setup);
/// Of adapters on a device: frozen matrices, factors, their gradients.
[[nodiscard]] double adapter_bytes(const LoraSizes& sizes, int rank);
[[nodiscard]] double pass_bytes(const model::ModelSpec& spec, double tokens, double rows, Keep keep,
                                Recompute recompute = Recompute::none, double sequence = 0);
[[nodiscard]] double loss_bytes(const model::ModelSpec& spec, double rows);
[[nodiscard]] double decoder_bytes(const model::ModelSpec& spec, std::int64_t tokens, int slots);

}  // namespace tdrm::engine::on_device
