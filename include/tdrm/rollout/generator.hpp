// Batched generation: many sequences at once, prompts cached once per group, slots refilled as sequences end.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "tdrm/base/random.hpp"
#include "tdrm/engine/engine.hpp"

namespace tdrm::rollout {

/// A prompt and how often to continue it.
struct Request {
    std::vector<std::int32_t> prompt;  ///< at least one token
    std::vector<RandomKey> keys;       ///< one per sample; none: the prompt is cached only
    std::uint64_t first_counter = 0;   ///< counter of the first new token's draw: its position in the answer
    int max_tokens = 1;                ///< bound on new tokens
    /// Says after each new token of a sample whether to stop; an end token always stops. May be empty.
    std::function<bool(std::size_t sample, std::int32_t token)> stop = {};
    /// A cached segment that the prompt goes on from (Generator::open, or a kept one). It gets the prompt's tokens and
    /// stays open. -1: from nothing.
    int segment = -1;
    bool keep = false;  ///< the samples' segments stay open, for requests that go on from them
};

/// One continuation.
struct Continuation {
    std::vector<std::int32_t> ids;
    std::vector<float> logprob;
    std::vector<float> logprob_sampled;  ///< empty unless the sampler truncates
    bool ended = false;                  ///< the last id is an end token
    int segment = -1;                    ///< with Request::keep: the cached one, which holds all ids but the last
};

/// Prompts are prefilled together until there are so many tokens: enough for big matrix products.
inline constexpr int kPrefillTokens = 1024;

/// Tokens of the cache of a run: all slots at their longest, and the prompts that may be open with them, in whole
/// pages.
[[nodiscard]] std::int64_t generation_tokens(int slots, std::int64_t longest_prompt, std::int64_t longest_answer);

/// Generates with one model. Local. A continuation is a function of (model, request, its key): slots, neighbours, cache
/// and order don't enter (tested bit for bit).
class Generator {
public:
    /// @param end_tokens each ends a sequence; may be none @param slots sequences decoded together
    Generator(engine::Engine& engine, const engine::SamplerOptions& sampler, std::vector<std::int32_t> end_tokens,
              int slots = 256);

    /// result[i][j] continues requests[i] with its key j. @param on_finished called after each finished continuation
    std::vector<std::vector<Continuation>> run(std::span<const Request> requests,
                                               const std::function<void()>& on_finished = {});

    // For callers that keep segments: room for all that will be open together, each rounded up to pages, is reserved
    // before the first is opened.
    void reserve(std::int64_t tokens);
    [[nodiscard]] int slots() const { return static_cast<int>(slots_); }
    /// An empty segment behind a whole other one, from whose tokens a request may go on; -1: behind nothing.
    int open(int parent = -1);
    /// Those that go on from it must be closed already.
    void close(int segment);

private:
    struct Group;
    struct Slot;
    class Run;

    engine::Engine& engine_;
    engine::SamplerOptions sampler_;
    std::vector<std::int32_t> end_tokens_;
    std::size_t slots_;
    std::unique_ptr<engine::Decoder> decoder_;  ///< of the last run, for the next one if it is large enough
    int kept_ = 0;                              ///< segments that callers hold
};

}  // namespace tdrm::rollout
