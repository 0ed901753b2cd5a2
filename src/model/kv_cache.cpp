#include "tdrm/model/kv_cache.hpp"

#include "tdrm/base/errors.hpp"

namespace tdrm::model {

KvCache::KvCache(const ModelSpec& spec, std::int64_t max_tokens, Products products)
    : num_pages_(static_cast<int>((max_tokens + ops::kPageTokens - 1) / ops::kPageTokens)),
      page_cells_(static_cast<std::size_t>(ops::attention_kernels(products).page_cells(spec.kv_heads, spec.head_dim))) {
    const std::size_t cells =
        static_cast<std::size_t>(spec.layers) * static_cast<std::size_t>(num_pages_) * page_cells_;
    keys_.resize(cells);
    values_.resize(cells);
    // Low pages are handed out first, so that a lightly used cache touches little memory.
    for (int page = num_pages_ - 1; page >= 0; --page) free_pages_.push_back(page);
}

double KvCache::bytes(const ModelSpec& spec, std::int64_t max_tokens, Products products) {
    const auto page = static_cast<double>(ops::attention_kernels(products).page_cells(spec.kv_heads, spec.head_dim));
    return 2.0 * spec.layers * page / ops::kPageTokens * static_cast<double>(max_tokens) * sizeof(float);
}

int KvCache::open(int parent) {
    int index = static_cast<int>(segments_.size());
    if (free_segments_.empty()) {
        segments_.emplace_back();
    } else {
        index = free_segments_.back();
        free_segments_.pop_back();
    }
    CachedSegment& segment = segments_[static_cast<std::size_t>(index)];
    segment.parent = parent;
    segment.length = 0;
    segment.is_long = false;
    return index;
}

int KvCache::base_position(int segment) const {
    const CachedSegment& found = segments_[static_cast<std::size_t>(segment)];
    if (found.length > 0) return found.base;
    return found.parent < 0 ? 0 : base_position(found.parent) + length(found.parent);
}

void KvCache::close(int segment) {
    CachedSegment& found = segments_[static_cast<std::size_t>(segment)];
    free_pages_.insert(free_pages_.end(), found.pages.rbegin(), found.pages.rend());
    found.pages.clear();
    free_segments_.push_back(segment);
}

int KvCache::extend(int segment) {
    CachedSegment& found = segments_[static_cast<std::size_t>(segment)];
    if (found.length == 0) found.base = base_position(segment);
    if (found.length % ops::kPageTokens == 0) {
        ensure(!free_pages_.empty(), "the key/value cache has no free page");
        found.pages.push_back(free_pages_.back());
        free_pages_.pop_back();
    }
    return found.length++;
}

void KvCache::visible(int segment, int first, int last, int from, std::vector<ops::KeyRun>& runs) const {
    const CachedSegment& found = segments_[static_cast<std::size_t>(segment)];
    if (found.parent >= 0) {
        const int before = length(found.parent);
        visible(found.parent, before - 1, before - 1, from, runs);
    }
    for (int begin = 0; begin <= last; begin += ops::kPageTokens) {
        const std::size_t page = at(0, found.pages[static_cast<std::size_t>(begin / ops::kPageTokens)]);
        ops::KeyRun run{keys_.data() + page, values_.data() + page, std::min(ops::kPageTokens, last + 1 - begin),
                        first + 1 - begin};
        if (run.hide(from - found.base - begin, 0, 0)) runs.push_back(run);  // a page is hidden whole, or not moved
    }
}

}  // namespace tdrm::model
