#include "tdrm/model/forest.hpp"

#include "tdrm/base/errors.hpp"

namespace tdrm::model {

int Forest::add(std::span<const std::int32_t> tokens, int parent, int cut) {
    const int index = static_cast<int>(segments_.size());
    ensure(!tokens.empty(), "a forest segment is empty");
    ensure(parent < index, "a forest segment names a parent that doesn't exist yet");
    std::int32_t position = 0;
    if (parent >= 0) {
        const Segment& above = segments_[static_cast<std::size_t>(parent)];
        if (cut < 0) cut = above.length;
        ensure(cut <= above.length, "a forest segment's cut lies beyond its parent");
        position = positions_[static_cast<std::size_t>(above.begin)] + cut;
    } else {
        cut = 0;
    }
    segments_.push_back({num_tokens(), static_cast<std::int32_t>(tokens.size()), parent, cut});
    tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
    for (std::size_t i = 0; i < tokens.size(); ++i) positions_.push_back(position++);
    return index;
}

void Forest::clear() {
    tokens_.clear();
    positions_.clear();
    segments_.clear();
}

void Forest::visible(int s, std::vector<VisibleRange>& ranges) const {
    ranges.clear();
    const Segment* segment = &segments_[static_cast<std::size_t>(s)];
    while (segment->parent >= 0) {
        if (segment->cut > 0) ranges.push_back({segment->parent, segment->cut});
        segment = &segments_[static_cast<std::size_t>(segment->parent)];
    }
}

}  // namespace tdrm::model
