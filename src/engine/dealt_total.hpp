// Exact totals of a gradient, of the parts that this rank keeps, in this machine's memory.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "tdrm/comm/exact_sum.hpp"
#include "tdrm/engine/ownership.hpp"

namespace tdrm::engine {

/// Units are added over all ranks at once, part by part, so that no rank holds a total of the whole.
class DealtTotal {
public:
    DealtTotal(std::int64_t size, const Ownership& ownership)
        : size_(size), ownership_(ownership), total_(static_cast<std::size_t>(ownership.kept())) {}

    void clear() {
        std::ranges::fill(total_, 0);
        bound_.clear();
    }
    /// Local. A unit that is going to be collected, by its largest |value|.
    void expect(float largest, std::string_view unit) { bound_.add(largest, unit); }
    /// Collective. Adds a unit of each rank. @param unit its gradient; empty: this rank has none
    void collect(std::span<const float> unit, comm::Communicator& ranks) {
        std::vector<std::int64_t> for_others;
        ownership_.each_part({0, size_}, [&](const Range& range) {
            const auto first = static_cast<std::size_t>(range.begin), n = static_cast<std::size_t>(range.size());
            const bool mine = ownership_.keeps(range.begin);
            if (!mine) for_others.assign(n, 0);
            // The owner's total takes part in the sum, so it goes on from there.
            const std::span<std::int64_t> quanta = mine ? of(range) : std::span(for_others);
            if (!unit.empty()) comm::ExactSum::add(quanta, unit.subspan(first, n));
            ranks.exact_sum(quanta, ownership_.owner(range.begin));
        });
    }
    /// Collective. @throws DataError if the total may have overflowed
    void check(comm::Communicator& ranks) const { bound_.check(ranks); }
    /// Local. The total of a range within a part that this rank keeps.
    [[nodiscard]] std::span<std::int64_t> of(const Range& range) {
        return std::span(total_).subspan(static_cast<std::size_t>(ownership_.place(range.begin)),
                                         static_cast<std::size_t>(range.size()));
    }

private:
    std::int64_t size_;
    Ownership ownership_;
    std::vector<std::int64_t> total_;
    comm::ExactBound bound_;
};

}  // namespace tdrm::engine
