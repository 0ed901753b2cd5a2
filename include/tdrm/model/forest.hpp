// The token forest: the one batch form of training, scoring and search.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tdrm::model {

/// A run of consecutive tokens. It sees the first `cut` tokens of its parent, all that the parent sees, and its own
/// earlier tokens. Positions go on from the cut.
struct Segment {
    std::int32_t begin = 0;    ///< first token in the flat run
    std::int32_t length = 0;   ///< number of tokens, at least 1
    std::int32_t parent = -1;  ///< index of an earlier segment, or -1 for a root
    std::int32_t cut = 0;      ///< tokens of the parent that are visible, 0 to its length
};

/// Keys that a segment sees before its own: the first `count` tokens of `segment`.
struct VisibleRange {
    std::int32_t segment;
    std::int32_t count;
};

/// A flat run of tokens cut into segments; parents come before their children.
///
/// | use | segments |
/// | supervised fine-tuning | each sequence a root |
/// | a GRPO group | the prompt a root, its answers children |
/// | values of all prefixes | the solution one segment; at each step end a probe as a leaf with `cut` = that step end |
class Forest {
public:
    /// Appends a segment and returns its index. `cut` = -1 means the whole parent.
    /// @throws BugError for an empty segment, an unknown parent or a cut beyond it
    int add(std::span<const std::int32_t> tokens, int parent = -1, int cut = -1);

    /// Removes all segments, keeping the memory.
    void clear();

    /// Ranges that segment `s` sees besides itself, nearest ancestor first. O(depth).
    void visible(int s, std::vector<VisibleRange>& ranges) const;

    [[nodiscard]] int num_tokens() const { return static_cast<int>(tokens_.size()); }
    [[nodiscard]] const std::vector<std::int32_t>& tokens() const { return tokens_; }
    /// Position of each token: its number of visible predecessors.
    [[nodiscard]] const std::vector<std::int32_t>& positions() const { return positions_; }
    [[nodiscard]] const std::vector<Segment>& segments() const { return segments_; }
    /// Index in the flat run of token `i` of segment `s`.
    [[nodiscard]] int token_index(int s, int i) const { return segments_[static_cast<std::size_t>(s)].begin + i; }

private:
    std::vector<std::int32_t> tokens_;
    std::vector<std::int32_t> positions_;
    std::vector<Segment> segments_;
};

}  // namespace tdrm::model
