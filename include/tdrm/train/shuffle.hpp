// Orders without state: the k-th draw of a stage is a function of (seed, k).
#pragma once

#include <cstdint>

#include "tdrm/task/task.hpp"

namespace tdrm::train {

/// Draws all n items in a random order, then all again in another, and so on.
class Shuffle {
public:
    /// @param n number of items, at least 1
    Shuffle(std::uint64_t seed, std::int64_t n);
    /// The k-th draw, k from 0. A keyed permutation (Feistel network with cycle walking): O(1), nothing is stored.
    [[nodiscard]] task::Draw operator()(std::int64_t k) const;

private:
    std::uint64_t seed_;
    std::int64_t n_;
    int half_bits_;
};

}  // namespace tdrm::train
