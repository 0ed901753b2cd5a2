// Paged key/value cache whose sequences are segments of a tree: a prompt is cached once for all its samples.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tdrm/model/buffer.hpp"
#include "tdrm/model/ops.hpp"
#include "tdrm/model/spec.hpp"

namespace tdrm::model {

/// Pages hold kPageTokens tokens of one segment. Memory is reserved at once but touched only as pages are used.
class KvCache {
public:
    /// @param max_tokens bound on the tokens of all open segments, each rounded up to whole pages
    /// @param products of the model that computes; with bf16 keys and values are rounded
    KvCache(const ModelSpec& spec, std::int64_t max_tokens, Products products = Products::fp32);

    /// Memory of such a cache once it was full.
    [[nodiscard]] static double bytes(const ModelSpec& spec, std::int64_t max_tokens, Products products);

    /// A new empty segment that sees the whole of `parent` (-1: none) and what the parent sees. From its first token on
    /// the parent mustn't grow.
    int open(int parent = -1);
    /// Frees a segment's pages. Its children must be closed already.
    void close(int segment);
    /// Makes room for one more token; @return its index within the segment. @throws BugError if no page is free
    int extend(int segment);

    [[nodiscard]] int length(int segment) const { return segments_[static_cast<std::size_t>(segment)].length; }
    /// Position of the segment's first token.
    [[nodiscard]] int base_position(int segment) const;
    /// Page that holds token `index` of the segment.
    [[nodiscard]] int page(int segment, int index) const {
        return segments_[static_cast<std::size_t>(segment)].pages[static_cast<std::size_t>(index / ops::kPageTokens)];
    }
    /// Appends what tokens `first` to `last` of the segment see, roots first: each page a run, as layer 0 holds it.
    /// @param from position of the first key that token `first` sees; each further token's is one further
    void visible(int segment, int first, int last, int from, std::vector<ops::KeyRun>& runs) const;

    /// Whether the segment's tree turns by the frequencies of long sequences (Rotary). Roots say so.
    [[nodiscard]] bool is_long(int segment) const {
        const CachedSegment& s = segments_[static_cast<std::size_t>(segment)];
        return s.parent >= 0 ? is_long(s.parent) : s.is_long;
    }
    void set_long(int root) { segments_[static_cast<std::size_t>(root)].is_long = true; }
    [[nodiscard]] bool has_parent(int segment) const {
        return segments_[static_cast<std::size_t>(segment)].parent >= 0;
    }

    [[nodiscard]] float* keys(int layer, int page) { return keys_.data() + at(layer, page); }
    [[nodiscard]] float* values(int layer, int page) { return values_.data() + at(layer, page); }
    /// From a page as layer 0 holds it to the same page in another layer.
    [[nodiscard]] std::ptrdiff_t layer_offset(int layer) const { return static_cast<std::ptrdiff_t>(at(layer, 0)); }
    [[nodiscard]] std::int64_t free_tokens() const {
        return static_cast<std::int64_t>(free_pages_.size()) * ops::kPageTokens;
    }

private:
    struct CachedSegment {
        int parent = -1;
        int base = 0;  ///< once it has a token
        int length = 0;
        bool is_long = false;
        std::vector<std::int32_t> pages;
    };
    [[nodiscard]] std::size_t at(int layer, int page) const {
        return (static_cast<std::size_t>(layer) * static_cast<std::size_t>(num_pages_) +
                static_cast<std::size_t>(page)) *
               page_cells_;
    }

    int num_pages_;
    std::size_t page_cells_;
    Floats keys_, values_;
    std::vector<std::int32_t> free_pages_, free_segments_;
    std::vector<CachedSegment> segments_;
};

}  // namespace tdrm::model
