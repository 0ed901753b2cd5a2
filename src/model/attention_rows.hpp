// What the attention of either form does to rows of scores, and how it walks over a forest.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "simd.hpp"
#include "tdrm/model/ops.hpp"

namespace tdrm::model::ops {

using namespace simd;

/// Rows of a matrix, or of one head of it, `stride` floats apart.
template <class Float>
struct Rows {
    Float* data;
    std::ptrdiff_t stride;
    [[nodiscard]] Float* row(int r) const { return data + r * stride; }
};

/// Keys rounded up to whole vectors of scores.
inline int padded(int keys) { return (keys + kLanes - 1) / kLanes * kLanes; }

inline int count_columns(std::span<const KeyRun> runs) {
    int columns = 0;
    for (const KeyRun& run : runs) columns += padded(run.count);
    return columns;
}

constexpr float kMasked = -3.0e38F;

/// Scales the scores of row r of a tile and masks what it doesn't see; returns the highest.
inline float mask_row(float* row, int r, std::span<const KeyRun> runs, float scale) {
    const IntVec lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    Vec highest = broadcast(kMasked);
    for (const KeyRun& run : runs) {
        const int seen = std::min(run.count, run.seen + r);
        const int hidden = run.hidden + r;
        for (int first = 0; first < run.count; first += kLanes, row += kLanes) {
            Vec scaled = load(row) * scale;
            if (seen - first < kLanes) scaled = lane < seen - first ? scaled : broadcast(kMasked);
            if (hidden > first) scaled = lane < hidden - first ? broadcast(kMasked) : scaled;
            store(row, scaled);
            highest = max(highest, scaled);
        }
    }
    return max(highest);
}

/// What the scores of a row were divided by: the softmax is exp(score - top) / mass.
struct SoftmaxScale {
    float top, mass;
};

/// Replaces row r's scores by their softmax.
inline SoftmaxScale softmax_row(float* row, int r, int columns, std::span<const KeyRun> runs, float scale) {
    const float top = mask_row(row, r, runs, scale);
    Vec total{};
    for (int c = 0; c < columns; c += kLanes) {
        const Vec e = exp(load(row + c) - top);
        store(row + c, e);
        total += e;
    }
    const float mass = sum(total);
    const float inverse = 1.0F / mass;
    for (int c = 0; c < columns; c += kLanes) store(row + c, load(row + c) * inverse);
    return {top, mass};
}

/// p = softmax of the scores p, ds = p * (ds - out . dout) * scale, for row r of a tile.
inline void softmax_backward_row(float* p, float* ds, int r, std::span<const KeyRun> runs, int columns, float log_mass,
                                 const float* out, const float* dout, int head_dim, float scale) {
    mask_row(p, r, runs, scale);
    Vec products{};
    for (int h = 0; h < head_dim; h += kLanes)
        products += load_some(out + h, head_dim - h) * load_some(dout + h, head_dim - h);
    const float delta = sum(products);
    for (int c = 0; c < columns; c += kLanes) {
        const Vec probability = exp(load(p + c) - log_mass);
        store(p + c, probability);
        store(ds + c, probability * (load(ds + c) - delta) * scale);
    }
}

/// Where one key head of a forest lies: of segment s its keys, packed in blocks, and its values.
struct HeadPlace {
    const float* keys;
    std::ptrdiff_t key_block, key_group;  ///< floats of a block and of four keys
    const float* values;
    std::ptrdiff_t value_block, value_token;  ///< floats from a segment's first block, and token, to the next's
    std::ptrdiff_t value;                     ///< floats of one value
};

/// The tiles of query rows of a forest, and the runs of keys that each sees.
class ForestTiles {
public:
    /// @param block keys of a block, of which each segment has its own
    ForestTiles(const Forest& forest, int block, AttentionScratch& scratch) : forest_(forest), scratch_(scratch) {
        scratch.first_block.resize(forest.segments().size());
        for (std::size_t s = 0; s < forest.segments().size(); ++s) {
            scratch.first_block[s] = blocks_;
            blocks_ += (forest.segments()[s].length + block - 1) / block;
        }
    }

    [[nodiscard]] int blocks() const { return blocks_; }
    [[nodiscard]] int first_block(std::size_t segment) const { return scratch_.first_block[segment]; }

    /// Calls body(first token of the tile, rows, runs) for all tiles of at most `most` query rows.
    template <class Body>
    void walk(const AttentionShape& shape, int most, const HeadPlace& place, Body&& body) const {
        for (int s = 0; s < static_cast<int>(forest_.segments().size()); ++s) {
            const Segment& segment = forest_.segments()[static_cast<std::size_t>(s)];
            forest_.visible(s, scratch_.ranges);
            for (int first = 0; first < segment.length; first += most) {
                const int rows = std::min(most, segment.length - first);
                const int from = shape.first_seen(position(segment.begin + first));
                if (first == 0 || shape.window > 0) {
                    scratch_.runs.clear();
                    for (const VisibleRange& range : scratch_.ranges)
                        add(place, range.segment, range.count, range.count, from);
                }
                add(place, s, first + rows, first + 1, from);
                body(segment.begin + first, rows, std::span<const KeyRun>(scratch_.runs));
                scratch_.runs.pop_back();  // a tile sees itself, so its own run is there
            }
        }
    }

private:
    [[nodiscard]] int position(int token) const { return forest_.positions()[static_cast<std::size_t>(token)]; }
    /// Adds the run of a segment's first `count` keys, as far as they stand at `from` or behind it.
    void add(const HeadPlace& place, int segment, int count, int seen, int from) const {
        const auto s = static_cast<std::size_t>(segment);
        const int begin = forest_.segments()[s].begin;
        const std::ptrdiff_t block = first_block(s);
        KeyRun run{place.keys + block * place.key_block,
                   place.values + block * place.value_block + begin * place.value_token, count, seen};
        if (run.hide(from - position(begin), place.key_group, place.value)) scratch_.runs.push_back(run);
    }

    const Forest& forest_;
    AttentionScratch& scratch_;
    int blocks_ = 0;
};

}  // namespace tdrm::model::ops
