// Which pages of a key/value cache hold which tokens. Local.
#pragma once

#include <cstdint>
#include <vector>

#include "tdrm/model/ops.hpp"

namespace tdrm::model {

/// A tree of segments, a prompt once for all its samples, and the pages of ops::kPageTokens tokens that each one has.
class PageTable {
public:
    /// @param max_tokens bound on the tokens of all open segments, each rounded up to whole pages
    explicit PageTable(std::int64_t max_tokens);

    [[nodiscard]] int num_pages() const { return num_pages_; }
    /// A new empty segment that sees the whole of `parent` (-1: none) and what the parent sees. From its first token on
    /// the parent mustn't grow.
    int open(int parent = -1);
    /// Frees a segment's pages. Its children must be closed already.
    void close(int segment);
    /// Makes room for one more token; @return its index within the segment. @throws BugError if no page is free
    int extend(int segment);

    [[nodiscard]] int parent(int segment) const { return at(segment).parent; }  ///< -1: none
    [[nodiscard]] int length(int segment) const { return at(segment).length; }
    /// Position of the segment's first token.
    [[nodiscard]] int base_position(int segment) const;
    [[nodiscard]] const std::vector<std::int32_t>& pages(int segment) const { return at(segment).pages; }
    /// Page that holds token `index` of the segment.
    [[nodiscard]] int page(int segment, int index) const {
        return at(segment).pages[static_cast<std::size_t>(index / ops::kPageTokens)];
    }
    [[nodiscard]] std::int64_t free_tokens() const;

    /// Whether the segment's tree turns by the frequencies of long sequences (Rotary). Roots say so.
    [[nodiscard]] bool is_long(int segment) const {
        return parent(segment) >= 0 ? is_long(parent(segment)) : at(segment).is_long;
    }
    void set_long(int root) { segments_[static_cast<std::size_t>(root)].is_long = true; }

private:
    struct Segment {
        int parent = -1;
        int base = 0;  ///< once it has a token
        int length = 0;
        bool is_long = false;
        std::vector<std::int32_t> pages;
    };
    [[nodiscard]] const Segment& at(int segment) const { return segments_[static_cast<std::size_t>(segment)]; }

    int num_pages_;
    std::vector<std::int32_t> free_pages_, free_segments_;
    std::vector<Segment> segments_;
};

}  // namespace tdrm::model
