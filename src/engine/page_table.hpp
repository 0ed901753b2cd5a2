// Which pages of a key/value cache hold which tokens: the tree of segments of model::KvCache, without the numbers.
#pragma once

#include <cstdint>
#include <vector>

namespace tdrm::engine {

class PageTable {
public:
    /// @param max_tokens bound on the tokens of all open segments, each rounded up to whole pages
    explicit PageTable(std::int64_t max_tokens);

    [[nodiscard]] int num_pages() const { return num_pages_; }
    /// A new empty segment that sees the whole of `parent` (-1: none) and what the parent sees. From its first token on
    /// the parent mustn't grow.
    int open(int parent);
    /// Frees a segment's pages. Its children must be closed already.
    void close(int segment);
    /// Makes room for one more token; @return its index within the segment. @throws BugError if no page is free
    int extend(int segment);

    [[nodiscard]] int parent(int segment) const { return at(segment).parent; }
    [[nodiscard]] int length(int segment) const { return at(segment).length; }
    /// Position of the segment's first token.
    [[nodiscard]] int base_position(int segment) const;
    [[nodiscard]] const std::vector<std::int32_t>& pages(int segment) const { return at(segment).pages; }
    [[nodiscard]] std::int64_t free_tokens() const;

private:
    struct Segment {
        int parent = -1;
        int base = 0;  ///< once it has a token
        int length = 0;
        std::vector<std::int32_t> pages;
    };
    [[nodiscard]] const Segment& at(int segment) const { return segments_[static_cast<std::size_t>(segment)]; }

    int num_pages_;
    std::vector<std::int32_t> free_pages_, free_segments_;
    std::vector<Segment> segments_;
};

}  // namespace tdrm::engine
