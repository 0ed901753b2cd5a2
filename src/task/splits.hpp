// Disjoint splits of a generated task. Private to the room.
#pragma once

#include <functional>
#include <string>
#include <unordered_set>
#include <vector>

#include "tdrm/base/random.hpp"
#include "tdrm/task/task.hpp"

namespace tdrm::task {

/// Number that names a drawn problem up to the order of its parts. Equal numbers are never in two splits.
using CanonicalDraw = std::function<std::uint64_t(Random&)>;

/// Problems are drawn from random streams keyed by (seed, split, draw). A distinct split keeps the draws that gave a
/// problem that no smaller one gave; a repeating split is made on demand and only avoids the distinct splits.
class Splits {
public:
    /// @throws ConfigError if a split is larger than what is left of the space.
    Splits(const SplitSizes& sizes, const std::vector<std::string>& repeating, std::uint64_t seed, CanonicalDraw draw);

    [[nodiscard]] std::vector<std::string> names() const;
    [[nodiscard]] std::int64_t size(std::string_view split) const { return find(split).size; }
    [[nodiscard]] std::int64_t distinct(std::string_view name) const;
    /// The random stream from which problem `index` is drawn, and the problem's id.
    [[nodiscard]] std::pair<Random, std::uint64_t> at(std::string_view name, std::int64_t index) const;

private:
    struct Split {
        std::string name;
        std::int64_t size;
        bool repeating;
        std::uint64_t first_id;
        std::uint64_t purpose;
        std::vector<std::uint32_t> draws;  // of a distinct split: which draw gave problem i
    };
    [[nodiscard]] const Split& find(std::string_view name) const;
    [[nodiscard]] Random stream(const Split& split, std::uint64_t draw, std::uint64_t attempt) const;
    [[nodiscard]] Random draw_repeating(const Split& split, std::int64_t index) const;
    void fill(Split& split);

    std::uint64_t seed_;
    CanonicalDraw draw_;
    std::vector<Split> splits_;
    std::unordered_set<std::uint64_t> taken_;  // canonical problems of the distinct splits
};

/// All problems with split names and sizes, one sentence each.
[[nodiscard]] std::vector<std::string> validate_splits(const SplitSizes& sizes);

}  // namespace tdrm::task
