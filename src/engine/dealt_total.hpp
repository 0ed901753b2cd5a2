// Exact totals of a gradient, of the parts that this rank keeps, in this machine's memory.
#pragma once

#include <algorithm>
#include <functional>
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
    /// Collective. @param sum makes of quanta, which are 0, the sum of the ranks' units of a range; at its owner,
    /// others may get anything
    using SumUnits = std::function<void(const Range& range, int owner, std::span<std::int64_t> quanta)>;
    void collect(const SumUnits& sum) {
        std::vector<std::int64_t> quanta;
        ownership_.each_part({0, size_}, [&](const Range& range) {
            quanta.assign(static_cast<std::size_t>(range.size()), 0);
            sum(range, ownership_.owner(range.begin), quanta);
            if (!ownership_.keeps(range.begin)) return;
            const auto total = of(range);
            for (std::size_t i = 0; i < quanta.size(); ++i)  // modulo 2^64, as everywhere
                total[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(total[i]) +
                                                     static_cast<std::uint64_t>(quanta[i]));
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
