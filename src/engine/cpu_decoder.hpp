// Cached decoding on processors.
#pragma once

#include <span>
#include <vector>

#include "cpu_engine.hpp"
#include "tdrm/model/kv_cache.hpp"

namespace tdrm::engine {

class CpuDecoder final : public Decoder {
public:
    CpuDecoder(CpuEngine& engine, std::int64_t max_tokens, const SamplerOptions& sampler)
        : engine_(engine), sampler_(sampler), cache_(engine.spec(), max_tokens, engine.model_.products()) {}

    int open(int parent) override { return cache_.open(parent); }
    void close(int segment) override;
    [[nodiscard]] std::int64_t free_tokens() const override { return cache_.free_tokens(); }

    void prefill(std::span<const Append> runs) override;
    void forget(int segment) override;
    [[nodiscard]] Choice draw(int segment, const Random& random, std::uint64_t counter) override;
    std::span<const Choice> step(std::span<const DecodeStep> steps) override;
    void values(std::span<const Append> runs, std::span<const std::int32_t> read, const model::ReadOut& read_out,
                std::span<float> logits) override;

private:
    /// Hidden states behind the last token of the runs in `read`.
    const float* append(std::span<const Append> runs, std::span<const std::int32_t> read);
    /// logits_RV of hidden states.
    const float* logits(const float* hidden, std::size_t rows);
    [[nodiscard]] std::size_t vocab() const { return static_cast<std::size_t>(engine_.spec().vocab); }

    CpuEngine& engine_;
    SamplerOptions sampler_;
    model::KvCache cache_;
    SamplerScratch scratch_;
    model::Floats logits_;
    std::vector<std::vector<float>> kept_;  ///< logits after a prefilled segment, by segment
    std::vector<std::int32_t> tokens_, segments_, rows_, read_;
    std::vector<Choice> choices_;
};

}  // namespace tdrm::engine
