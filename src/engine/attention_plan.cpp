#include "attention_plan.hpp"

#include <algorithm>
#include <limits>

namespace tdrm::engine {
namespace {

using model::Forest;
using model::Segment;

std::int32_t size_of(const auto& list) { return static_cast<std::int32_t>(list.size()); }

const Segment& segment_of(const Forest& forest, int s) { return forest.segments()[static_cast<std::size_t>(s)]; }

}  // namespace

void QueryTiles::open(std::span<const Row> rows) {
    tiles.push_back({size_of(row_of), size_of(rows), size_of(ranges), 0});
    for (const Row& row : rows) row_of.push_back(row.row);
}

void QueryTiles::add_range(const Keys& keys, std::span<const Row> rows, std::span<const std::int32_t> ends,
                           int window) {
    std::vector<gpu::SeenKeys> of_rows(gpu::kTileRows, gpu::SeenKeys{0, 0});
    gpu::SeenKeys all{std::numeric_limits<std::int32_t>::max(), 0};
    for (std::size_t r = 0; r < rows.size(); ++r) {
        const std::int32_t first = first_in_window(rows[r].position, keys.base, window);
        if (first >= ends[r]) continue;
        of_rows[r] = {first, ends[r]};
        all = {std::min(all.first, first), std::max(all.end, ends[r])};
    }
    if (all.end == 0) return;
    const std::int32_t out = whole_steps(all.first);
    for (gpu::SeenKeys& of : of_rows)
        if (of.end > 0) of = {of.first - out, of.end - out};
    ranges.push_back({keys.begin + out / keys.keys_a_place, all.end - out});
    range_segment.push_back(keys.segment);
    range_first.push_back(out);
    seen.insert(seen.end(), of_rows.begin(), of_rows.end());
    ++tiles.back().ranges;
}

AttentionPlan::AttentionPlan(const Forest& forest, bool for_backward, int window) : window_(window) {
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
    std::vector<QueryTiles::Row> rows;
    for (const RowPiece& piece : pieces)
        for (int i = 0; i < piece.count; ++i) {
            const std::int32_t token = forest.token_index(piece.segment, piece.first + i);
            rows.push_back({token, forest.positions()[static_cast<std::size_t>(token)]});
        }
    queries_.open(rows);
    std::vector<std::int32_t> ends;
    const auto add = [&](std::int32_t s) {
        const std::int32_t begin = segment_of(forest, s).begin;
        queries_.add_range({s, begin, forest.positions()[static_cast<std::size_t>(begin)], 1}, rows, ends, window_);
    };
    // What lies above the parent is the same for all; of the parent each sees as far as its cut.
    std::vector<model::VisibleRange> above;
    const int parent = segment_of(forest, pieces[0].segment).parent;
    if (parent >= 0) forest.visible(parent, above);
    for (auto range = above.rbegin(); range != above.rend(); ++range) {  // from the root down
        ends.assign(rows.size(), range->count);
        add(range->segment);
    }
    if (parent >= 0) {
        ends.clear();
        for (const RowPiece& piece : pieces)
            ends.insert(ends.end(), static_cast<std::size_t>(piece.count), segment_of(forest, piece.segment).cut);
        add(parent);
    }
    std::size_t r = 0;
    for (const RowPiece& piece : pieces) {
        ends.assign(rows.size(), 0);
        for (int i = 0; i < piece.count; ++i) ends[r++] = piece.first + i + 1;
        add(piece.segment);
    }
}

gpu::SeenKeys AttentionPlan::seen_by_rows(std::int32_t range, std::int32_t row, std::int32_t count) const {
    gpu::SeenKeys all{std::numeric_limits<std::int32_t>::max(), 0};
    const std::size_t first = static_cast<std::size_t>(range) * gpu::kTileRows + static_cast<std::size_t>(row);
    for (std::size_t r = first; r < first + static_cast<std::size_t>(count); ++r)
        if (const gpu::SeenKeys& seen = queries_.seen[r]; seen.end > 0)
            all = {std::min(all.first, seen.first), std::max(all.end, seen.end)};
    const std::int32_t out = queries_.range_first[static_cast<std::size_t>(range)];
    return all.end == 0 ? gpu::SeenKeys{0, 0} : gpu::SeenKeys{all.first + out, all.end + out};
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
                const gpu::SeenKeys seen = seen_by_rows(range, row, count);
                const auto tiles = static_cast<std::size_t>(
                    first_tile[static_cast<std::size_t>(queries_.range_segment[static_cast<std::size_t>(range)])]);
                for (std::int32_t t = seen.first / gpu::kKeyTileKeys; t * gpu::kKeyTileKeys < seen.end; ++t)
                    seen_by[tiles + static_cast<std::size_t>(t)].push_back({tile.first_row + row, count, range, row});
            }
    std::size_t at = 0;
    for (std::size_t s = 0; s < first_tile.size(); ++s)
        for (std::int32_t first = 0; first < segment_of(forest, static_cast<int>(s)).length;
             first += gpu::kKeyTileKeys, ++at) {
            gpu::KeyTile& tile = key_tiles_[at];
            tile.first_share = num_shares_;
            for (std::size_t part = 0; part < seen_by[at].size(); part += kPartsOfChunk) {
                const auto count = static_cast<std::int32_t>(std::min(kPartsOfChunk, seen_by[at].size() - part));
                chunks_.push_back(
                    {tile.begin, tile.keys, size_of(parts_) + static_cast<std::int32_t>(part), count, num_shares_});
                num_shares_ += tile.keys;
                ++tile.chunks;
            }
            parts_.insert(parts_.end(), seen_by[at].begin(), seen_by[at].end());
        }
}

}  // namespace tdrm::engine
