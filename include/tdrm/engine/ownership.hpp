// Which rank keeps what of a model in training.
#pragma once

#include <algorithm>
#include <cstdint>

#include "tdrm/engine/engine.hpp"

namespace tdrm::engine {

/// The parts of a model's flat arrays that this rank keeps, one behind the other: every ranks-th one from its own
/// number on. So the rank that writes a part of a commit is the one that keeps it. A model of fewer parts than ranks is
/// kept whole by every rank: dealing it out would save little and leave ranks idle.
class Ownership {
public:
    /// Everything.
    explicit Ownership(std::int64_t size) : size_(size) {}
    Ownership(std::int64_t size, const Shard& shard) : size_(size), part_(shard.part) {
        const std::int64_t parts = (size + part_ - 1) / part_;
        if (shard.ranks > 1 && parts >= shard.ranks) rank_ = shard.rank, ranks_ = shard.ranks;
    }

    /// Elements of a part.
    [[nodiscard]] std::int64_t part() const { return part_; }
    /// Whether parts are dealt out.
    [[nodiscard]] bool dealt() const { return ranks_ > 1; }
    /// Rank that keeps an element, if they are.
    [[nodiscard]] int owner(std::int64_t element) const { return static_cast<int>(element / part_ % ranks_); }
    /// Who needs the total of an element's gradient: its owner, or comm::kEverybody.
    [[nodiscard]] int receiver(std::int64_t element) const { return dealt() ? owner(element) : comm::kEverybody; }
    [[nodiscard]] bool keeps(std::int64_t element) const { return !dealt() || owner(element) == rank_; }
    /// Where an element lies that this rank keeps.
    [[nodiscard]] std::int64_t place(std::int64_t element) const {
        return dealt() ? element / part_ / ranks_ * part_ + element % part_ : element;
    }
    /// Elements that this rank keeps.
    [[nodiscard]] std::int64_t kept() const {
        std::int64_t count = 0;
        each({0, size_}, [&](const Range& range) { count += range.size(); });
        return count;
    }
    /// Calls visit(range) for each stretch of a range that this rank keeps and that lies in one piece.
    template <class Visit>
    void each(const Range& range, Visit&& visit) const {
        if (!dealt()) return visit(range);
        each_part(range, [&](const Range& piece) {
            if (keeps(piece.begin)) visit(piece);
        });
    }
    /// Calls visit(range) for each part's share of a range, whoever keeps it.
    template <class Visit>
    void each_part(const Range& range, Visit&& visit) const {
        for (std::int64_t begin = range.begin, end = 0; begin < range.end; begin = end) {
            end = std::min(range.end, (begin / part_ + 1) * part_);
            visit(Range{begin, end});
        }
    }

private:
    std::int64_t size_, part_ = 1;
    int rank_ = 0, ranks_ = 1;
};

}  // namespace tdrm::engine
