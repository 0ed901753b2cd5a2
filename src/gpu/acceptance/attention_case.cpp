#include <algorithm>

#include "kernels.hpp"

namespace tdrm::gpu {
namespace {

struct Segment {
    int begin, length;
    bool answer;
};

/// A case in the making.
class Maker {
public:
    Maker(const HeadShape& shape, int prompt, int answer, int answers, int window) : prompt_(prompt), window_(window) {
        case_.shape = shape;
        case_.tokens = prompt + answers * answer;
        std::vector<Segment> segments{{0, prompt, false}};
        for (int a = 0; a < answers; ++a) segments.push_back({prompt + a * answer, answer, true});
        for (const Segment& segment : segments) {
            for (int first = 0; first < segment.length; first += kTileRows) add_tile(segment, first);
            for (int i = 0; i < segment.length; ++i) case_.positions.push_back((segment.answer ? prompt : 0) + i);
        }
        for (const Segment& segment : segments) add_keys(segment);
    }
    [[nodiscard]] AttentionCase take() { return std::move(case_); }

private:
    /// A range whose keys have positions `base`, ...; row r, at position `position` + r, sees those before end(r).
    void add_range(const KeyRange& range, int base, int position, int rows, const std::function<int(int row)>& end) {
        case_.ranges.push_back(range);
        for (int r = 0; r < kTileRows; ++r) {
            const int first = window_ > 0 ? std::max(position + r - window_ + 1 - base, 0) : 0;
            const bool sees = r < rows && first < end(r);
            case_.seen.push_back(sees ? SeenKeys{first, end(r)} : SeenKeys{0, 0});
        }
    }
    /// One tile of a segment's rows, which see the prompt and what comes before them.
    void add_tile(const Segment& segment, int first) {
        const int rows = std::min(kTileRows, segment.length - first), base = segment.answer ? prompt_ : 0;
        case_.tiles.push_back({static_cast<std::int32_t>(case_.row_of.size()), rows,
                               static_cast<std::int32_t>(case_.ranges.size()), segment.answer ? 2 : 1});
        for (int r = 0; r < rows; ++r) case_.row_of.push_back(segment.begin + first + r);
        if (segment.answer) add_range({0, prompt_}, 0, base + first, rows, [&](int) { return prompt_; });
        add_range({segment.begin, first + rows}, base, base + first, rows, [&](int r) { return first + r + 1; });
    }
    /// Some of `count` rows see a key of a tile.
    [[nodiscard]] bool seen(int range, int row, int count, int first, int keys) const {
        const auto begin = case_.seen.begin() + std::ptrdiff_t{range} * kTileRows + row;
        return std::any_of(begin, begin + count,
                           [&](const SeenKeys& of) { return of.first < first + keys && of.end > first; });
    }
    void add_keys(const Segment& segment) {
        constexpr int parts_of_chunk = 32;
        for (int first = 0; first < segment.length; first += kKeyTileKeys) {
            KeyTile tile{segment.begin + first, std::min(kKeyTileKeys, segment.length - first), case_.num_shares, 0};
            int in_chunk = parts_of_chunk;
            for (const QueryTile& query : case_.tiles)
                for (int range = query.first_range; range < query.first_range + query.ranges; ++range) {
                    if (case_.ranges[static_cast<std::size_t>(range)].begin != segment.begin) continue;
                    for (int row = 0; row < query.rows; row += kPartRows) {
                        const int count = std::min(kPartRows, query.rows - row);
                        if (!seen(range, row, count, first, tile.keys)) continue;
                        if (in_chunk == parts_of_chunk) {
                            case_.chunks.push_back({tile.begin, tile.keys,
                                                    static_cast<std::int32_t>(case_.parts.size()), 0,
                                                    case_.num_shares});
                            case_.num_shares += tile.keys;
                            ++tile.chunks;
                            in_chunk = 0;
                        }
                        case_.parts.push_back({query.first_row + row, count, range, row});
                        ++case_.chunks.back().parts;
                        ++in_chunk;
                    }
                }
            case_.key_tiles.push_back(tile);
        }
    }

    AttentionCase case_;
    int prompt_, window_;
};

}  // namespace

AttentionCase attention_case(const HeadShape& shape, int prompt, int answer, int answers, int window) {
    return Maker(shape, prompt, answer, answers, window).take();
}

}  // namespace tdrm::gpu
