// Cached decoding on a device: keys and values in pages, tokens drawn where their logits are.
#pragma once

#include <map>
#include <span>
#include <vector>

#include "device_engine.hpp"
#include "tdrm/model/page_table.hpp"

namespace tdrm::engine {

class DeviceDecoder final : public Decoder {
public:
    DeviceDecoder(DeviceEngine& engine, std::int64_t max_tokens, const SamplerOptions& sampler);

    int open(int parent) override { return table_.open(parent); }
    void close(int segment) override;
    [[nodiscard]] std::int64_t free_tokens() const override { return table_.free_tokens(); }

    void prefill(std::span<const Append> runs) override;
    void forget(int segment) override;
    [[nodiscard]] Choice draw(int segment, const Random& random, std::uint64_t counter) override;
    std::span<const Choice> step(std::span<const DecodeStep> steps) override;
    void values(std::span<const Append> runs, std::span<const std::int32_t> read, const model::ReadOut& read_out,
                std::span<float> logits) override;

private:
    /// Hidden states behind the last token of the runs in `read`.
    const gpu::bf16* append(std::span<const Append> runs, std::span<const std::int32_t> read);
    /// What single tokens see, each ranges of its own.
    struct OnceMemory {
        explicit OnceMemory(gpu::Device& device) : ranges(device), first_range(device), first_key(device) {}
        gpu::Memory<gpu::KeyRange> ranges;
        gpu::Memory<std::int32_t> first_range, first_key;
    };

    /// Makes room for the runs' tokens: fills tokens, positions, lengths and places.
    void extend(std::span<const Append> runs);
    /// A segment and those above it, root first, up to the last token: keys in `pages_`, and how many.
    struct Visible {
        QueryTiles::Keys keys;
        std::int32_t length;
    };
    void add_visible(int segment, std::vector<Visible>& visible);
    /// Where a segment's pages begin in `pages_`.
    std::int32_t first_page(int segment);
    /// The runs' attention: single tokens by the kernel for these, others in tiles. The bits are the same.
    [[nodiscard]] PassAttention attend_once(std::span<const Append> runs);
    [[nodiscard]] PassAttention attend_in_tiles(std::span<const Append> runs);
    void plan_once(std::span<const Append> runs, int window, OnceMemory& to);
    [[nodiscard]] QueryTiles plan_tiles(std::span<const Append> runs, int window);
    [[nodiscard]] PageTarget pages(int layer) const;
    /// Where a prefilled segment's logits go.
    gpu::Memory<float>& room_for(int segment);
    /// Draws from rows of logits, one number each; into choices_ from `first` on.
    void sample(const float* logits, std::span<const double> uniform, std::size_t first);

    DeviceEngine& engine_;
    gpu::Device& device_;
    SamplerOptions sampler_;
    model::PageTable table_;
    std::size_t layer_size_;  ///< numbers of all pages of one layer
    gpu::Memory<gpu::bf16> keys_, values_;
    std::map<int, gpu::Memory<float>> kept_;  ///< logits behind a prefilled segment
    std::vector<gpu::Memory<float>> spare_;   ///< of forgotten ones
    std::vector<Choice> choices_;

    // Of a pass.
    std::vector<std::int32_t> tokens_, segments_, slots_, positions_, lengths_, places_, pages_, last_;
    bool windowed_ = false;  ///< some token lies beyond the window
    std::map<int, std::int32_t> first_page_;
    DeviceQueryPlan plan_, window_plan_;
    OnceMemory once_, window_once_;
    gpu::Memory<std::int32_t> device_places_, device_pages_;
    gpu::Memory<double> uniform_;
    gpu::Memory<gpu::SampledToken> drawn_;
};

}  // namespace tdrm::engine
