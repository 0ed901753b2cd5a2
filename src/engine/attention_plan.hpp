// How a forest's attention is cut into the blocks of a device (tdrm/gpu/attention.hpp).
#pragma once

#include <cstdint>
#include <vector>

#include "tdrm/gpu/attention.hpp"
#include "tdrm/model/forest.hpp"

namespace tdrm::engine {

/// What a row tile is made of: rows `first` to `first + count - 1` of one segment.
struct RowPiece {
    std::int32_t segment, first, count;
};

/// Tiles of query rows and what their rows see. O(rows x depth / 64).
struct QueryTiles {
    std::vector<gpu::QueryTile> tiles;
    std::vector<gpu::KeyRange> ranges;
    std::vector<std::int32_t> row_of, limits;
    std::vector<std::int32_t> range_segment;  ///< whose keys a range holds

    void clear();
    /// Appends a tile without rows.
    void open();
    [[nodiscard]] int room() const { return gpu::kTileRows - (tiles.empty() ? 0 : tiles.back().rows); }
    /// Appends a row to the last tile.
    void add_row(std::int32_t row);
    /// Appends a range of keys of `segment` to the last tile; its rows don't see it until `see` says so.
    void add_range(const gpu::KeyRange& range, std::int32_t segment);
    /// Row `row` of the last tile sees the first `keys` keys of the last range.
    void see(int row, std::int32_t keys) {
        limits[limits.size() - gpu::kTileRows + static_cast<std::size_t>(row)] = keys;
    }
};

/// The plan of a forest pass. Tiles hold rows of segments that have the same parent: short ones (probes, nodes of a
/// search) together, a long one's rows behind one another.
class AttentionPlan {
public:
    AttentionPlan(const model::Forest& forest, bool for_backward);

    [[nodiscard]] const QueryTiles& queries() const { return queries_; }
    [[nodiscard]] const std::vector<gpu::KeyTile>& key_tiles() const { return key_tiles_; }
    [[nodiscard]] const std::vector<gpu::KeyChunk>& chunks() const { return chunks_; }
    [[nodiscard]] const std::vector<gpu::QueryPart>& parts() const { return parts_; }

private:
    /// Tiles of all segments behind one parent (-1: the roots).
    void add_siblings(const model::Forest& forest, const std::vector<std::int32_t>& segments);
    void add_tile(const model::Forest& forest, const std::vector<RowPiece>& pieces);
    void plan_keys(const model::Forest& forest);

    QueryTiles queries_;
    std::vector<gpu::KeyTile> key_tiles_;
    std::vector<gpu::KeyChunk> chunks_;
    std::vector<gpu::QueryPart> parts_;
};

}  // namespace tdrm::engine
