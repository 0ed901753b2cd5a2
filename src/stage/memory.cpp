#include "tdrm/stage/memory.hpp"

#include <algorithm>
#include <cstdio>

#include "tdrm/model/ops.hpp"

namespace tdrm::stage {
namespace {

constexpr double kFloat = sizeof(float);
constexpr double kHeadRows = 512;       ///< rows of logits that exist at a time
constexpr double kPrefillPrompts = 64;  ///< prompts that may be open beside those of the slots

double parameters(const model::ModelSpec& spec) { return static_cast<double>(model::Layout(spec).size); }

/// The matrices that a model which computes also holds in packed form (docs/adr/0013).
double packed_parameters(const model::ModelSpec& s) {
    const double width = s.width;
    const double layer = width * s.qkv_width() + s.query_width() * width + 3 * width * s.ffn;
    const double head = s.head == model::Head::language ? width * s.vocab : s.value_head.hidden ? width * width : 0;
    return s.layers * layer + head;
}

/// Floats of one token in the buffers that all layers share, and in what a layer keeps for its backward pass.
struct TokenFloats {
    explicit TokenFloats(const model::ModelSpec& s)
        : kept(2.0 * s.width + 2 + s.qkv_width() + s.heads + s.query_width() + 2.0 * s.ffn),
          forward(2.0 * s.width + s.ffn + s.qkv_width() + s.query_width() + 2.0 * s.ffn + s.heads),
          backward(2.0 * s.width + s.ffn + s.qkv_width() + s.query_width() + 4.0 * s.width) {}
    double kept, forward, backward;
};

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

Memory frozen_memory(const std::string& name, const model::ModelSpec& spec) {
    return Memory()
        .add("parameters of " + name, parameters(spec) * kFloat)
        .add("packed parameters of " + name, packed_parameters(spec) * kFloat);
}

Memory training_memory(const model::ModelSpec& spec, int unit_tokens, int sample_tokens, train::SumMode sum,
                       const train::PrecisionOptions& precision) {
    const double n = parameters(spec);
    const double tokens = unit_tokens + sample_tokens;  // a unit ends with a whole sample
    const TokenFloats floats(spec);
    Memory memory;
    memory.add("parameters", n * kFloat).add("packed parameters", packed_parameters(spec) * kFloat);
    memory.add("gradient", n * kFloat).add("moments of AdamW", 2 * n * kFloat);
    if (precision.weights == engine::WeightFormat::bf16) memory.add("master weights", n * kFloat);
    memory.add(sum == train::SumMode::fast ? "fp32 sum" : "exact sum",
               sum == train::SumMode::fast ? n * kFloat : n * sizeof(std::int64_t));
    memory.add("activations of a unit",
               tokens * (spec.layers * floats.kept + floats.forward + floats.backward) * kFloat);
    memory.add("logits", spec.head == model::Head::value ? 0 : kHeadRows * spec.vocab * kFloat);
    return memory;
}

Memory scoring_memory(const model::ModelSpec& spec, int tokens) {
    const TokenFloats floats(spec);
    return Memory().add("activations of a scoring pass", 1.0 * tokens * (floats.forward + 4.0 * spec.width) * kFloat);
}

Memory generation_memory(const model::ModelSpec& spec, const task::Task& task, int slots) {
    const double page = model::ops::kPageTokens;
    const double tokens =
        slots * (task.max_answer_tokens() + page) + (slots + kPrefillPrompts) * (task.max_prompt_tokens() + page);
    return Memory()
        .add("key/value cache", 2.0 * spec.layers * spec.kv_width() * tokens * kFloat)
        .add("logits of all slots", static_cast<double>(slots) * spec.vocab * kFloat);
}

}  // namespace tdrm::stage
