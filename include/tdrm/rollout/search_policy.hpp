// What one kind of search decides for one problem: which nodes of its tree go on, and which answers it offers. The
// driver (search.hpp) does everything else. A new kind is a class here, a word in SearchKind, and a naive twin in its
// test.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "tdrm/rollout/search.hpp"

namespace tdrm::rollout {

/// The prompt, as the parent of first steps.
inline constexpr std::int32_t kRoot = -1;

/// A node that gets continuations of one step each.
struct Expansion {
    std::int32_t node;
    int children;
};

/// A terminal node that an answer may be chosen from, and how often it counts.
struct SearchCandidate {
    std::int32_t node;
    double weight = 1;
};

class SearchPolicy {
public:
    virtual ~SearchPolicy() = default;

    /// The next round. Nothing: the search is over. A node is expanded once.
    [[nodiscard]] virtual std::vector<Expansion> expand(SearchTree& tree) = 0;
    /// The round was drawn and scored: nodes from `first` on are new, in the order of the expansions.
    virtual void update(SearchTree& tree, std::int32_t first) = 0;
    /// Nodes that may still be expanded. What isn't among them, nor above one of them, is forgotten by the caches.
    [[nodiscard]] virtual std::vector<std::int32_t> open() const = 0;
    /// By default all terminal nodes.
    [[nodiscard]] virtual std::vector<SearchCandidate> candidates(const SearchTree& tree) const;
};

/// @param problem id, for kinds that draw numbers of their own: (seed, "resample", problem, round)
[[nodiscard]] std::unique_ptr<SearchPolicy> make_search_policy(const SearchPlan& plan, std::uint64_t problem);

/// The node that is answered with, -1 for none: by the plan's rule among the policy's candidates.
/// @param answers of each node: equal ids for answers that say the same, -1 where it has none or isn't terminal; votes
/// only
[[nodiscard]] std::int32_t choose_answer(SearchAnswer rule, const SearchTree& tree,
                                         const std::vector<SearchCandidate>& candidates,
                                         const std::vector<std::int32_t>& answers);

}  // namespace tdrm::rollout
