#include <algorithm>

#include "kernels.hpp"

namespace tdrm::gpu {
namespace {

struct Segment {
    int begin, length;
    bool answer;
};

void add_range(AttentionCase& c, const KeyRange& range, const std::function<std::int32_t(int row)>& seen, int rows) {
    c.ranges.push_back(range);
    for (int r = 0; r < kTileRows; ++r) c.limits.push_back(r < rows ? seen(r) : 0);
}

/// One tile of a segment's rows, which see the prompt and what comes before them.
void add_tile(AttentionCase& c, const Segment& segment, int first, int prompt) {
    const int rows = std::min(kTileRows, segment.length - first);
    c.tiles.push_back({static_cast<std::int32_t>(c.row_of.size()), rows, static_cast<std::int32_t>(c.ranges.size()),
                       segment.answer ? 2 : 1});
    for (int r = 0; r < rows; ++r) c.row_of.push_back(segment.begin + first + r);
    if (segment.answer)
        add_range(
            c, {0, prompt}, [&](int) { return prompt; }, rows);
    add_range(
        c, {segment.begin, first + rows}, [&](int r) { return first + r + 1; }, rows);
}

void add_keys(AttentionCase& c, const Segment& segment) {
    constexpr int parts_of_chunk = 32;
    for (int first = 0; first < segment.length; first += kKeyTileKeys) {
        KeyTile tile{segment.begin + first, std::min(kKeyTileKeys, segment.length - first),
                     static_cast<std::int32_t>(c.chunks.size()), 0};
        int in_chunk = parts_of_chunk;
        for (const QueryTile& query : c.tiles)
            for (int range = query.first_range; range < query.first_range + query.ranges; ++range) {
                if (c.ranges[static_cast<std::size_t>(range)].begin != segment.begin) continue;
                for (int row = 0; row < query.rows; row += kPartRows) {
                    const int count = std::min(kPartRows, query.rows - row);
                    const auto limits = c.limits.begin() + std::ptrdiff_t{range} * kTileRows + row;
                    if (*std::max_element(limits, limits + count) <= first) continue;
                    if (in_chunk == parts_of_chunk) {
                        c.chunks.push_back(
                            {tile.begin, first, tile.keys, static_cast<std::int32_t>(c.parts.size()), 0});
                        ++tile.chunks;
                        in_chunk = 0;
                    }
                    c.parts.push_back({query.first_row + row, count, range, row});
                    ++c.chunks.back().parts;
                    ++in_chunk;
                }
            }
        c.key_tiles.push_back(tile);
    }
}

}  // namespace

AttentionCase attention_case(const HeadShape& shape, int prompt, int answer, int answers) {
    AttentionCase c;
    c.shape = shape;
    std::vector<Segment> segments{{0, prompt, false}};
    for (int a = 0; a < answers; ++a) segments.push_back({prompt + a * answer, answer, true});
    c.tokens = prompt + answers * answer;
    for (const Segment& segment : segments) {
        for (int first = 0; first < segment.length; first += kTileRows) add_tile(c, segment, first, prompt);
        for (int i = 0; i < segment.length; ++i) c.positions.push_back((segment.answer ? prompt : 0) + i);
    }
    for (const Segment& segment : segments) add_keys(c, segment);
    return c;
}

}  // namespace tdrm::gpu
