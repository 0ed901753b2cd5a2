#include "attention_plan.hpp"

#include <algorithm>

namespace tdrm::engine {
namespace {

using model::Forest;
using model::Segment;

/// Parts that one block of keys meets at most: those of a shared prompt are seen by thousands of rows, and many blocks
/// keep a device busy.
constexpr std::size_t kPartsOfChunk = 32;

std::int32_t size_of(const auto& list) { return static_cast<std::int32_t>(list.size()); }

const Segment& segment_of(const Forest& forest, int s) { return forest.segments()[static_cast<std::size_t>(s)]; }

}  // namespace

void QueryTiles::clear() {
    tiles.clear();
    ranges.clear();
    row_of.clear();
    limits.clear();
    range_segment.clear();
}

void QueryTiles::open() { tiles.push_back({size_of(row_of), 0, size_of(ranges), 0}); }

void QueryTiles::add_row(std::int32_t row) {
    row_of.push_back(row);
    ++tiles.back().rows;
}

void QueryTiles::add_range(const gpu::KeyRange& range, std::int32_t segment) {
    ranges.push_back(range);
    range_segment.push_back(segment);
    limits.resize(limits.size() + gpu::kTileRows, 0);
    ++tiles.back().ranges;
}

AttentionPlan::AttentionPlan(const Forest& forest, bool for_backward) {
    std::vector<std::vector<std::int32_t>> children(forest.segments().size() + 1);  // the last: roots
    for (std::int32_t s = 0; s < size_of(forest.segments()); ++s) {
        const int parent = segment_of(forest, s).parent;
        children[parent < 0 ? children.size() - 1 : static_cast<std::size_t>(parent)].push_back(s);
    }
    for (const auto& siblings : children) add_siblings(forest, siblings);
    if (for_backward) plan_keys(forest);
}

void AttentionPlan::add_siblings(const Forest& forest, const std::vector<std::int32_t>& segments) {
    std::vector<RowPiece> pieces;
    int rows = 0;
    const auto close = [&] {
        if (rows > 0) add_tile(forest, pieces);
        pieces.clear();
        rows = 0;
    };
    for (const std::int32_t s : segments) {
        const int length = segment_of(forest, s).length;
        if (length > gpu::kTileRows - rows) close();  // a short segment isn't cut, a long one starts a tile
        for (int first = 0; first < length; first += gpu::kTileRows) {
            const int count = std::min(gpu::kTileRows, length - first);
            pieces.push_back({s, first, count});
            rows += count;
            if (rows == gpu::kTileRows) close();
        }
    }
    close();
}

void AttentionPlan::add_tile(const Forest& forest, const std::vector<RowPiece>& pieces) {
    queries_.open();
    for (const RowPiece& piece : pieces)
        for (int i = 0; i < piece.count; ++i) queries_.add_row(forest.token_index(piece.segment, piece.first + i));
    // What lies above the parent is the same for all; of the parent each sees as far as its cut.
    std::vector<model::VisibleRange> above;
    const int parent = segment_of(forest, pieces[0].segment).parent;
    if (parent >= 0) forest.visible(parent, above);
    std::reverse(above.begin(), above.end());  // from the root down
    const int rows = queries_.tiles.back().rows;
    for (const auto& [segment, count] : above) {
        queries_.add_range({segment_of(forest, segment).begin, count}, segment);
        for (int r = 0; r < rows; ++r) queries_.see(r, count);
    }
    std::int32_t longest = 0;
    for (const RowPiece& piece : pieces) longest = std::max(longest, segment_of(forest, piece.segment).cut);
    if (longest > 0) {
        queries_.add_range({segment_of(forest, parent).begin, longest}, parent);
        int r = 0;
        for (const RowPiece& piece : pieces)
            for (int i = 0; i < piece.count; ++i) queries_.see(r++, segment_of(forest, piece.segment).cut);
    }
    int r = 0;
    for (const RowPiece& piece : pieces) {
        queries_.add_range({segment_of(forest, piece.segment).begin, piece.first + piece.count}, piece.segment);
        for (int i = 0; i < piece.count; ++i) queries_.see(r++, piece.first + i + 1);
    }
}

void AttentionPlan::plan_keys(const Forest& forest) {
    std::vector<std::int32_t> first_tile;  // of each segment
    for (const Segment& segment : forest.segments()) {
        first_tile.push_back(size_of(key_tiles_));
        for (int first = 0; first < segment.length; first += gpu::kKeyTileKeys)
            key_tiles_.push_back({segment.begin + first, std::min(gpu::kKeyTileKeys, segment.length - first), 0, 0});
    }
    std::vector<std::vector<gpu::QueryPart>> seen_by(key_tiles_.size());
    for (const gpu::QueryTile& tile : queries_.tiles)
        for (std::int32_t range = tile.first_range; range < tile.first_range + tile.ranges; ++range)
            for (std::int32_t row = 0; row < tile.rows; row += gpu::kPartRows) {
                const std::int32_t count = std::min(gpu::kPartRows, tile.rows - row);
                const auto limits = queries_.limits.begin() + std::ptrdiff_t{range} * gpu::kTileRows + row;
                const std::int32_t most = *std::max_element(limits, limits + count);
                auto key_tile = static_cast<std::size_t>(
                    first_tile[static_cast<std::size_t>(queries_.range_segment[static_cast<std::size_t>(range)])]);
                for (std::int32_t first = 0; first < most; first += gpu::kKeyTileKeys)
                    seen_by[key_tile++].push_back({tile.first_row + row, count, range, row});
            }
    std::size_t at = 0;
    for (std::size_t s = 0; s < first_tile.size(); ++s)
        for (std::int32_t first = 0; first < segment_of(forest, static_cast<int>(s)).length;
             first += gpu::kKeyTileKeys, ++at) {
            gpu::KeyTile& tile = key_tiles_[at];
            tile.first_chunk = size_of(chunks_);
            for (std::size_t part = 0; part < seen_by[at].size(); part += kPartsOfChunk) {
                const auto count = static_cast<std::int32_t>(std::min(kPartsOfChunk, seen_by[at].size() - part));
                chunks_.push_back(
                    {tile.begin, first, tile.keys, size_of(parts_) + static_cast<std::int32_t>(part), count});
            }
            tile.chunks = size_of(chunks_) - tile.first_chunk;
            parts_.insert(parts_.end(), seen_by[at].begin(), seen_by[at].end());
        }
}

}  // namespace tdrm::engine
