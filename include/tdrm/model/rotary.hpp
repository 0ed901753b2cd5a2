// Rotary positions of the rows of a pass. Local.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "tdrm/model/layers.hpp"
#include "tdrm/model/ops.hpp"
#include "tdrm/model/spec.hpp"

namespace tdrm::model {

class PageTable;

/// Which frequencies sequences of a length turn by: lengths of one key have the same.
[[nodiscard]] int frequency_key(const RopeScaling& scaling, int length);

/// What a query is multiplied with at a position: 1 + query_growth ln(1 + floor(position / original_positions)).
[[nodiscard]] float query_scale(const ModelSpec& spec, int position);

/// Turns queries and keys by their positions. Where the frequencies depend on a sequence's length (longrope, dynamic),
/// a row turns by that of its tree: the longest sequence that shares its root.
class Rotary {
public:
    explicit Rotary(const ModelSpec& spec);

    [[nodiscard]] bool depends_on_length() const { return scaling_.depends_on_length(); }
    /// Says what the rows of the next passes are, and keeps the spans.
    /// @param lengths of their trees, only if frequencies depend on them
    void prepare(std::span<const std::int32_t> positions, std::span<const std::int32_t> lengths);
    /// Turns q and k of the rows q | k | v, and lets queries grow (ministral3). `direction` -1 is the transposed map,
    /// for gradients.
    void turn(float* qkv, const Layer& layer, int direction = 1) const;

private:
    [[nodiscard]] int key(int length) const { return frequency_key(scaling_, length); }
    void grow_queries(float* qkv, const ops::AttentionShape& shape) const;

    ModelSpec spec_;
    RopeScaling scaling_;
    std::map<int, ops::RotaryTable> global_;  ///< by key
    ops::RotaryTable local_;
    std::span<const std::int32_t> positions_, lengths_;
};

/// Of each token the length of its tree: the greatest position of all segments of its root, and one.
void tree_lengths(const Forest& forest, std::vector<std::int32_t>& lengths);

/// The same of tokens that were appended to cached segments: a length that has the frequencies of the token's tree. A
/// tree is long if its root was at its first pass, with longrope.
/// @param slots index of each token within its segment
/// @throws DataError if a token lies beyond the length where the frequencies of its tree change
void cached_lengths(PageTable& table, const RopeScaling& scaling, std::span<const std::int32_t> segments,
                    std::span<const std::int32_t> slots, std::span<const std::int32_t> positions,
                    std::vector<std::int32_t>& lengths);

}  // namespace tdrm::model
