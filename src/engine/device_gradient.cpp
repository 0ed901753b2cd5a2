#include "device_gradient.hpp"

#include <algorithm>

namespace tdrm::engine {
namespace {

constexpr std::int64_t kLine = 64;  ///< numbers of 256 bytes

bool is_tied(const model::Layout& layout) { return layout.head == layout.embedding; }

bool overlap(const std::vector<Range>& wanted, const Range& range) {
    if (wanted.empty()) return true;
    const auto next = std::upper_bound(wanted.begin(), wanted.end(), range.begin,
                                       [](std::int64_t begin, const Range& of) { return begin < of.end; });
    return next != wanted.end() && next->begin < range.end;
}

/// Numbers of room.
struct Rooms {
    std::int64_t ends, behind, layer;
    Rooms(const model::Layout& layout, const std::vector<Range>& slices, const std::vector<Range>& wanted) {
        const auto room = [&](const Range& slice) { return overlap(wanted, slice) ? slice.size() : 0; };
        const std::int64_t before = room(slices.back());
        behind = is_tied(layout) ? (before + kLine - 1) / kLine * kLine : 0;
        ends = std::max(before, behind + room(slices.front()));
        layer = 0;
        for (std::size_t s = 1; s + 1 < slices.size(); ++s) layer = std::max(layer, room(slices[s]));
    }
};

}  // namespace

std::vector<Range> backward_slices(const model::Layout& layout) {
    std::vector<Range> slices{{layout.final_norm.weight, layout.size}};
    std::int64_t end = slices.front().begin;
    for (auto layer = layout.layers.rbegin(); layer != layout.layers.rend(); ++layer) {
        const model::Norm& norm = layer->before_attention;
        slices.push_back({norm.exists() ? norm.weight : layer->qkv.weight, end});
        end = slices.back().begin;
    }
    slices.push_back({0, end});
    return slices;
}

DeviceGradient::DeviceGradient(gpu::Device& device, const model::Layout& layout, UnitGradient kept,
                               const std::vector<Range>& wanted)
    : device_(device),
      slices_(backward_slices(layout)),
      wanted_(wanted),
      whole_(kept == UnitGradient::whole),
      tied_(is_tied(layout)),
      behind_(0),
      ends_(device, "the gradient"),
      layer_(device, "the gradient of a layer") {
    if (whole_) {
        ends_.resize(static_cast<std::size_t>(layout.size));
    } else {
        const Rooms rooms(layout, slices_, wanted);
        behind_ = rooms.behind;
        ends_.resize(static_cast<std::size_t>(rooms.ends));
        layer_.resize(static_cast<std::size_t>(rooms.layer));
    }
    clear();
}

std::int64_t DeviceGradient::numbers(const model::Layout& layout, UnitGradient kept, const std::vector<Range>& wanted) {
    if (kept == UnitGradient::whole) return layout.size;
    const Rooms rooms(layout, backward_slices(layout), wanted);
    return rooms.ends + rooms.layer;
}

bool DeviceGradient::wants(const Range& range) const { return whole_ || overlap(wanted_, range); }

float* DeviceGradient::at(std::int64_t offset) const {
    if (whole_) return ends_.data() + offset;
    const auto slice = std::find_if(slices_.begin(), slices_.end(), [&](const Range& s) { return s.begin <= offset; });
    if (slice + 1 == slices_.end()) return ends_.data() + offset;
    const std::int64_t within = offset - slice->begin;
    return slice == slices_.begin() ? ends_.data() + behind_ + within : layer_.data() + within;
}

void DeviceGradient::zero(const Range& range) {
    if (wants(range)) device_.zero(at(range.begin), static_cast<std::size_t>(range.size()) * sizeof(float));
}

void DeviceGradient::clear() {
    if (whole_) return zero({0, slices_.front().end});
    zero(slices_[0]);
    zero(slices_[1]);
    if (tied_) zero(slices_.back());
}

void DeviceGradient::close(std::size_t slice) {
    if (whole_ || slice + 1 == slices_.size()) return;
    if (slice == 0 && !tied_) zero(slices_.back());
    if (slice > 0 && slice + 2 < slices_.size()) zero(slices_[slice + 1]);
}

}  // namespace tdrm::engine
