#include "tdrm/stage/memory.hpp"

#include <algorithm>
#include <cstdio>

#include "tdrm/engine/devices.hpp"
#include "tdrm/engine/memory.hpp"
#include "tdrm/rollout/generator.hpp"

namespace tdrm::stage {
namespace {

constexpr double kProductBytes = 57e6;  ///< libtorch, which training loads, and its products at work, as measured

/// A unit ends where it comes closest to its even share of the batch: half a sample beyond, as a rule.
double longest_unit(int unit_tokens, int sample_tokens) {
    return std::max<double>(unit_tokens + sample_tokens / 2.0, sample_tokens);
}

}  // namespace

std::string bytes_text(double bytes) {
    char text[32];
    std::snprintf(text, sizeof text, bytes >= 1e9 ? "%.1f GB" : "%.0f MB", bytes / (bytes >= 1e9 ? 1e9 : 1e6));
    return text;
}

Memory& Memory::add(std::string what, double bytes) {
    terms_.push_back({std::move(what), bytes});
    return *this;
}

Memory& Memory::add(const Memory& other) {
    terms_.insert(terms_.end(), other.terms_.begin(), other.terms_.end());
    return *this;
}

double Memory::total() const {
    double bytes = 0;
    for (const MemoryTerm& term : terms_) bytes += term.bytes;
    return bytes;
}

const MemoryTerm& Memory::largest() const {
    return *std::max_element(terms_.begin(), terms_.end(),
                             [](const auto& a, const auto& b) { return a.bytes < b.bytes; });
}

Memory frozen_memory(const std::string& name, const model::ModelSpec& spec, model::Use use) {
    const auto bytes = engine::weight_bytes(spec, use);
    return Memory().add("parameters of " + name, bytes.weights).add("packed parameters of " + name, bytes.packed);
}

Memory training_memory(const model::ModelSpec& spec, int unit_tokens, int sample_tokens, int other_pass,
                       const Planned& planned, const train::PrecisionOptions& precision,
                       const engine::LoraOptions& lora) {
    // Of a device its own memory counts: the state of adapters, libtorch and commits lie in the host's.
    const bool on_device = engine::device_in_use() != engine::DeviceKind::cpu;
    const bool fast = planned.sum == train::SumMode::fast;
    engine::TrainingSetup setup{precision.weights, train::engine_sum(planned.sum), {}};
    setup.shard.ranks = planned.ranks;
    setup.moments = precision.moments;
    setup.gradient = engine::UnitGradient::by_layer;
    if (lora.active()) {
        setup.gradient = engine::UnitGradient::alone;
        setup.trainable = engine::lora_sizes(spec, lora).trainable;
    }
    const auto weights = engine::weight_bytes(spec, model::Use::training);
    const auto training = engine::training_bytes(spec, setup);
    Memory memory;
    memory.add("parameters", weights.weights).add("packed parameters", weights.packed);
    memory.add("gradient", training.gradient);
    if (!lora.active()) {
        memory.add("moments of AdamW", training.moments);
        memory.add("master weights", training.master).add(fast ? "fp32 sum" : "exact sum", training.sum);
    } else {
        memory.add("frozen matrices and adapters", engine::adapter_bytes(spec, lora, fast));
    }
    memory.add(unit_memory(spec, unit_tokens, sample_tokens, other_pass, precision.recompute));
    if (on_device) return memory;
    return memory.add("products of the backward pass", kProductBytes).add("a commit", engine::commit_bytes(spec));
}

Memory unit_memory(const model::ModelSpec& spec, int unit_tokens, int sample_tokens, int other_pass,
                   engine::Recompute recompute) {
    // Passes of one engine share their memory.
    const double tokens = longest_unit(unit_tokens, sample_tokens);
    const double unit = engine::pass_bytes(spec, tokens, tokens, engine::Keep::activations, recompute, sample_tokens);
    const double other = engine::pass_bytes(spec, other_pass, other_pass, engine::Keep::nothing);
    return Memory().add("activations of a unit", std::max(unit, other)).add("logits", engine::loss_bytes(spec, tokens));
}

Memory paged_memory(const std::vector<Memory>& models, double room) {
    double largest = 0;
    for (const Memory& model : models) largest = std::max(largest, model.total());
    return Memory().add("the largest paged model, beyond the room of a unit", std::max(0.0, largest - room));
}

Memory scoring_memory(const model::ModelSpec& spec, int tokens) {
    return Memory().add("activations of a scoring pass",
                        engine::pass_bytes(spec, tokens, tokens / 16.0, engine::Keep::nothing));
}

Memory generation_memory(const model::ModelSpec& spec, const task::Task& task, int slots, int max_tokens) {
    const int answer = max_tokens > 0 ? max_tokens : task.max_answer_tokens();
    return Memory().add(
        "key/value cache",
        engine::decoder_bytes(spec, rollout::generation_tokens(slots, task.max_prompt_tokens(), answer), slots));
}

Memory prefill_memory(const model::ModelSpec& spec, const task::Task& task, int slots) {
    const int tokens = std::max(slots, rollout::kPrefillTokens + task.max_prompt_tokens());
    return Memory().add("activations of a pass", engine::pass_bytes(spec, tokens, slots, engine::Keep::nothing));
}

}  // namespace tdrm::stage
