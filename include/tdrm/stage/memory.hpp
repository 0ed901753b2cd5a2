// How much memory a rank will need, before anything runs. Counts what grows with the model, its units and its slots.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tdrm/engine/lora.hpp"
#include "tdrm/model/spec.hpp"
#include "tdrm/task/task.hpp"
#include "tdrm/train/trainer.hpp"

namespace tdrm::stage {

struct MemoryTerm {
    std::string what;
    double bytes = 0;
};

/// Terms that are in memory together: the need of a rank at its peak.
class Memory {
public:
    Memory& add(std::string what, double bytes);
    Memory& add(const Memory& other);
    [[nodiscard]] bool empty() const { return terms_.empty(); }
    [[nodiscard]] double total() const;
    [[nodiscard]] const MemoryTerm& largest() const;

private:
    std::vector<MemoryTerm> terms_;
};

/// "1.2 GB"
[[nodiscard]] std::string bytes_text(double bytes);

/// What a stage may ask about the plan around it.
struct Planned {
    const task::Task& task;
    train::SumMode sum;
    int ranks;
    /// Sizes of the model that an option names; nothing if it is only known once that model was read.
    std::function<std::optional<model::ModelSpec>(std::string_view key)> model;
};

/// A model that doesn't learn. @param use passes: it only answers or scores
[[nodiscard]] Memory frozen_memory(const std::string& name, const model::ModelSpec& spec,
                                   model::Use use = model::Use::passes);
/// A model in training: parameters, gradient, the moments that a rank keeps, the sum over units, the activations of a
/// unit, a commit.
/// @param sample_tokens of the longest sample @param other_pass tokens of the longest pass that isn't training
[[nodiscard]] Memory training_memory(const model::ModelSpec& spec, int unit_tokens, int sample_tokens, int other_pass,
                                     const Planned& planned, const train::PrecisionOptions& precision,
                                     const engine::LoraOptions& lora = {});
/// The part of it that is needed while a unit is computed.
[[nodiscard]] Memory unit_memory(const model::ModelSpec& spec, int unit_tokens, int sample_tokens, int other_pass,
                                 engine::Recompute recompute);
/// Models, each with its passes, that are there one after the other while `room` bytes of something else are free.
[[nodiscard]] Memory paged_memory(const std::vector<Memory>& models, double room);
/// Scoring passes of `tokens` tokens.
[[nodiscard]] Memory scoring_memory(const model::ModelSpec& spec, int tokens);
/// The key/value cache of `slots` answers of this task, each at its greatest length: an upper bound.
[[nodiscard]] Memory generation_memory(const model::ModelSpec& spec, const task::Task& task, int slots, int max_tokens);
/// The passes of a model that only generates.
[[nodiscard]] Memory prefill_memory(const model::ModelSpec& spec, const task::Task& task, int slots);

}  // namespace tdrm::stage
