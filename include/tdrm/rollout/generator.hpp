// Batched generation: many sequences at once, prompts cached once per group, slots refilled as sequences end.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "tdrm/base/random.hpp"
#include "tdrm/model/kv_cache.hpp"
#include "tdrm/model/transformer.hpp"
#include "tdrm/rollout/sampler.hpp"

namespace tdrm::rollout {

/// A prompt and how often to continue it.
struct Request {
    std::vector<std::int32_t> prompt;
    std::vector<RandomKey> keys;      ///< one per sample
    std::uint64_t first_counter = 0;  ///< counter of the first new token's draw: its position in the answer
    int max_tokens = 1;               ///< bound on new tokens
    /// Says after each new token whether to stop, given all new tokens; an end token always stops. May be empty.
    std::function<bool(std::span<const std::int32_t>)> stop;
};

/// One continuation.
struct Continuation {
    std::vector<std::int32_t> ids;
    std::vector<float> logprob;
    std::vector<float> logprob_sampled;  ///< empty unless the sampler truncates
    bool ended = false;                  ///< the last id is an end token
};

/// Counters of one `run`, for speed figures.
struct GenerationStats {
    std::int64_t tokens = 0;         ///< new tokens
    std::int64_t prompt_tokens = 0;  ///< prefilled
    std::int64_t passes = 0;         ///< decoding passes
    std::int64_t rows = 0;           ///< of all decoding passes
};

/// Generates with one model. Local. A continuation is a function of (model, request, its key): slots, neighbours, cache
/// and order don't enter (tested bit for bit).
class Generator {
public:
    /// @param end_tokens each ends a sequence; may be none @param slots sequences decoded together
    Generator(const model::Model& model, const SamplerOptions& sampler, std::vector<std::int32_t> end_tokens,
              int slots = 256);

    /// result[i][j] continues requests[i] with its key j. @param on_finished called after each finished continuation
    std::vector<std::vector<Continuation>> run(std::span<const Request> requests,
                                               const std::function<void()>& on_finished = {});

    [[nodiscard]] const GenerationStats& stats() const { return stats_; }

private:
    struct Group;
    struct Slot;
    class Run;

    const model::Model* model_;
    model::Transformer transformer_;
    SamplerOptions sampler_;
    std::vector<std::int32_t> end_tokens_;
    std::size_t slots_;
    model::Workspace work_;
    SamplerScratch scratch_;
    GenerationStats stats_;
    std::vector<float> logits_;
    std::optional<model::KvCache> cache_;  ///< of the last run, for the next one if it is large enough
};

}  // namespace tdrm::rollout
