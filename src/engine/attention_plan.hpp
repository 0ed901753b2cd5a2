// How a forest's attention is cut into the blocks of a device (tdrm/gpu/attention.hpp).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tdrm/gpu/attention.hpp"
#include "tdrm/model/forest.hpp"

namespace tdrm::engine {

/// What a row tile is made of: rows `first` to `first + count - 1` of one segment.
struct RowPiece {
    std::int32_t segment, first, count;
};

/// What a window leaves of a segment's keys for a token: those from this one on.
/// @param base position of the segment's first key @param window 0: none
[[nodiscard]] constexpr std::int32_t first_in_window(std::int32_t position, std::int32_t base, int window) {
    return window > 0 && position - window + 1 > base ? position - window + 1 - base : 0;
}
/// Keys in front of `first` that a range may leave out.
[[nodiscard]] constexpr std::int32_t whole_steps(std::int32_t first) { return first / gpu::kKeyStep * gpu::kKeyStep; }

/// Tiles of query rows and what their rows see. O(rows x depth / 64).
struct QueryTiles {
    /// A row and its position, and the keys of a segment: where they lie, and the position of the first.
    struct Row {
        std::int32_t row, position;
    };
    struct Keys {
        std::int32_t segment, begin, base;
        int keys_a_place;  ///< that one of `begin` stands for: 1, or with pages kPageTokens
    };

    std::vector<gpu::QueryTile> tiles;
    std::vector<gpu::KeyRange> ranges;
    std::vector<std::int32_t> row_of;
    std::vector<gpu::SeenKeys> seen;
    std::vector<std::int32_t> range_segment, range_first;  ///< whose keys a range holds, from which one on

    /// Appends a tile.
    void open(std::span<const Row> rows);
    /// Appends a range to the last tile: row r sees the keys before number ends[r], as far as a window goes. Nothing
    /// where nobody sees any.
    void add_range(const Keys& keys, std::span<const Row> rows, std::span<const std::int32_t> ends, int window);
};

/// The plan of a forest pass. Tiles hold rows of segments that have the same parent: short ones (probes, nodes of a
/// search) together, a long one's rows behind one another.
class AttentionPlan {
public:
    /// Parts that one block of keys meets at most, and their rows: those of a shared prompt are seen by thousands, and
    /// many blocks keep a device busy.
    static constexpr std::size_t kPartsOfChunk = 32;
    static constexpr double kReadersOfChunk = static_cast<double>(kPartsOfChunk) * gpu::kPartRows;

    /// @param window tokens that a token looks back on, its own too; 0: all
    AttentionPlan(const model::Forest& forest, bool for_backward, int window = 0);

    [[nodiscard]] const QueryTiles& queries() const { return queries_; }
    [[nodiscard]] const std::vector<gpu::KeyTile>& key_tiles() const { return key_tiles_; }
    [[nodiscard]] const std::vector<gpu::KeyChunk>& chunks() const { return chunks_; }
    [[nodiscard]] const std::vector<gpu::QueryPart>& parts() const { return parts_; }
    [[nodiscard]] int num_shares() const { return num_shares_; }  ///< of keys' gradients

private:
    /// Tiles of all segments behind one parent (-1: the roots).
    void add_siblings(const model::Forest& forest, const std::vector<std::int32_t>& segments);
    void add_tile(const model::Forest& forest, const std::vector<RowPiece>& pieces);
    void plan_keys(const model::Forest& forest);
    /// Keys of a range's segment, from the first to the last that some of a tile's rows see.
    [[nodiscard]] gpu::SeenKeys seen_by_rows(std::int32_t range, std::int32_t row, std::int32_t count) const;

    int window_;
    QueryTiles queries_;
    std::vector<gpu::KeyTile> key_tiles_;
    std::vector<gpu::KeyChunk> chunks_;
    std::vector<gpu::QueryPart> parts_;
    int num_shares_ = 0;
};

}  // namespace tdrm::engine
