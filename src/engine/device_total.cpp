#include "device_total.hpp"

#include <algorithm>

#include "device_gradient.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::engine {
namespace {

std::size_t size_of(const Range& range) { return static_cast<std::size_t>(range.size()); }

/// Numbers that wait for other ranks at a time: those of a layer do while the next one's are computed.
std::int64_t staged_numbers(const model::Layout& layout, std::int64_t part) {
    const auto slices = backward_slices(layout);
    std::int64_t staged = 0;
    for (std::size_t s = 0; s < slices.size(); ++s) {
        const bool layer = s > 0 && s + 1 < slices.size();
        staged = std::max(staged, layer ? slices[s].size() : std::min(slices[s].size(), part));
    }
    return staged;
}

}  // namespace

DeviceTotal::DeviceTotal(gpu::Device& device, DeviceExchange& exchange, Sum sum, const model::Layout& layout,
                         const Ownership& ownership)
    : device_(device),
      exchange_(exchange),
      sum_(sum == Sum::dealt && !ownership.dealt() ? Sum::exact : sum),
      ownership_(ownership),
      exact_(device, "the exact sum"),
      fast_(device, "the sum"),
      staged_(device, "what is summed on other ranks"),
      gradient_(device, "the gradient of a part") {
    const auto n = static_cast<std::size_t>(layout.size);
    if (sum_ == Sum::fast) {
        fast_.resize(n);
        return;
    }
    exact_.resize(dealt() ? static_cast<std::size_t>(ownership_.kept()) : n);
    if (dealt()) staged_.resize(static_cast<std::size_t>(staged_numbers(layout, ownership_.part())));
    gradient_.resize(static_cast<std::size_t>(std::min(layout.size, ownership_.part())));
}

void DeviceTotal::clear() {
    settled_ = false;
    if (sum_ == Sum::fast) return device_.zero(fast_.data(), fast_.capacity() * sizeof(float));
    device_.zero(exact_.data(), exact_.capacity() * sizeof(std::int64_t));
}

void DeviceTotal::zero(const Range& piece) {
    if (sum_ == Sum::fast) return device_.zero(fast_.data() + piece.begin, size_of(piece) * sizeof(float));
    device_.zero(exact_.data() + piece.begin, size_of(piece) * sizeof(std::int64_t));
}

void DeviceTotal::open(std::span<const Range> pieces) {
    // One rank goes on with what was exchanged, the others begin anew: together they have it once.
    if (settled_ && !dealt())
        for (const Range& piece : pieces)
            if (!(ownership_.dealt() ? ownership_.keeps(piece.begin) : root_)) zero(piece);
    settled_ = false;
}

void DeviceTotal::add(const Range& piece, const float* values) {
    ensure(!dealt(), "totals of its own are added to");
    if (sum_ == Sum::fast) return device_.run(gpu::FastAdd{fast_.data() + piece.begin, values, size_of(piece)});
    device_.run(gpu::ExactAdd{exact_.data() + piece.begin, values, size_of(piece)});
}

std::int64_t* DeviceTotal::stage(std::size_t n) {
    if (in_stage_ + n > staged_.capacity()) {
        exchange_.join();
        in_stage_ = 0;
    }
    std::int64_t* quanta = staged_.data() + in_stage_;
    in_stage_ += n;
    device_.zero(quanta, n * sizeof(std::int64_t));
    return quanta;
}

void DeviceTotal::exchange(const Range& piece, const float* values, comm::Communicator& ranks) {
    const std::size_t n = size_of(piece);
    const int receiver = ownership_.receiver(piece.begin);
    if (sum_ == Sum::fast) return exchange_.sum(fast_.data() + piece.begin, n, receiver, ranks);
    if (!dealt()) return exchange_.sum(exact_.data() + piece.begin, n, receiver, ranks);
    // The owner's total takes part in the sum, so it goes on from there.
    std::int64_t* quanta = ownership_.keeps(piece.begin) ? exact_.data() + ownership_.place(piece.begin) : stage(n);
    if (values != nullptr) device_.run(gpu::ExactAdd{quanta, values, n});
    exchange_.sum(quanta, n, receiver, ranks);
}

void DeviceTotal::settle(comm::Communicator& ranks) {
    exchange_.wait(ranks);
    in_stage_ = 0;
    root_ = ranks.root();
    settled_ = true;
}

double DeviceTotal::bytes(const model::Layout& layout, Sum sum, const Ownership& ownership) {
    const auto all = static_cast<double>(layout.size) * sizeof(std::int64_t);
    if (sum == Sum::fast) return all / 2;
    const auto part = static_cast<double>(std::min(layout.size, ownership.part())) * sizeof(float);
    if (sum == Sum::exact || !ownership.dealt()) return all + part;
    return static_cast<double>(ownership.kept() + staged_numbers(layout, ownership.part())) * sizeof(std::int64_t) +
           part;
}

const float* DeviceTotal::gradient(const Range& piece) const {
    if (sum_ == Sum::fast) return fast_.data() + piece.begin;
    const std::int64_t place = dealt() ? ownership_.place(piece.begin) : piece.begin;
    device_.run(gpu::ExactToFloat{gradient_.data(), exact_.data() + place, size_of(piece)});
    return gradient_.data();
}

}  // namespace tdrm::engine
