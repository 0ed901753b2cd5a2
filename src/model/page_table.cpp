#include "tdrm/model/page_table.hpp"

#include "tdrm/base/errors.hpp"

namespace tdrm::model {

using ops::kPageTokens;

PageTable::PageTable(std::int64_t max_tokens)
    : num_pages_(static_cast<int>((max_tokens + kPageTokens - 1) / kPageTokens)) {
    // Low pages are handed out first, so that a lightly used cache touches little memory.
    for (int page = num_pages_ - 1; page >= 0; --page) free_pages_.push_back(page);
}

int PageTable::open(int parent) {
    int index = static_cast<int>(segments_.size());
    if (free_segments_.empty()) {
        segments_.emplace_back();
    } else {
        index = free_segments_.back();
        free_segments_.pop_back();
    }
    Segment& segment = segments_[static_cast<std::size_t>(index)];
    segment.parent = parent;
    segment.length = 0;
    segment.is_long = false;
    return index;
}

void PageTable::close(int segment) {
    auto& pages = segments_[static_cast<std::size_t>(segment)].pages;
    free_pages_.insert(free_pages_.end(), pages.rbegin(), pages.rend());
    pages.clear();
    free_segments_.push_back(segment);
}

int PageTable::base_position(int segment) const {
    if (length(segment) > 0) return at(segment).base;
    return parent(segment) < 0 ? 0 : base_position(parent(segment)) + length(parent(segment));
}

int PageTable::extend(int segment) {
    const int base = base_position(segment);
    Segment& grown = segments_[static_cast<std::size_t>(segment)];
    grown.base = base;
    if (grown.length % kPageTokens == 0) {
        ensure(!free_pages_.empty(), "the key/value cache has no free page");
        grown.pages.push_back(free_pages_.back());
        free_pages_.pop_back();
    }
    return grown.length++;
}

std::int64_t PageTable::free_tokens() const { return static_cast<std::int64_t>(free_pages_.size()) * kPageTokens; }

}  // namespace tdrm::model
