// Memory that an engine on the device in use takes: what `--dry-run` adds up. The figures stand beside the buffers.
#pragma once

#include <cstdint>

#include "tdrm/engine/engine.hpp"
#include "tdrm/engine/lora.hpp"
#include "tdrm/model/spec.hpp"

namespace tdrm::engine {

/// Bytes of a model that computes: its weights, and matrices in the form in which products read them.
struct WeightBytes {
    double weights, packed;
};
[[nodiscard]] WeightBytes weight_bytes(const model::ModelSpec& spec, model::Use use);

/// Bytes of one fp32 array of the optimiser's state, on the rank that keeps most of it.
[[nodiscard]] double kept_bytes(const model::ModelSpec& spec, const Shard& shard);
/// Bytes of a model in training beside its weights.
struct TrainingBytes {
    double gradient, moments, master, sum;
};
[[nodiscard]] TrainingBytes training_bytes(const model::ModelSpec& spec, const TrainingSetup& setup);

/// Bytes of adapters in training beside the model and its gradient.
[[nodiscard]] double adapter_bytes(const model::ModelSpec& spec, const LoraOptions& lora, bool fast);

/// Bytes of forward passes of at most `tokens` tokens whose head reads `rows`, with what they keep.
/// @param sequence tokens of the longest; longer ones take more in the backward pass on devices
[[nodiscard]] double pass_bytes(const model::ModelSpec& spec, double tokens, double rows, Keep keep,
                                Recompute recompute = Recompute::none, double sequence = 0);
/// Bytes of the logits that a loss over `rows` rows holds at a time.
[[nodiscard]] double loss_bytes(const model::ModelSpec& spec, double rows);
/// Bytes of a decoder for `tokens` tokens and `slots` sequences at a time.
[[nodiscard]] double decoder_bytes(const model::ModelSpec& spec, std::int64_t tokens, int slots);
/// Bytes that a commit of such a model takes while it is written.
[[nodiscard]] double commit_bytes(const model::ModelSpec& spec);

}  // namespace tdrm::engine
