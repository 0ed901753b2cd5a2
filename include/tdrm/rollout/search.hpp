// Tree search over steps: each live path is continued `branch` times by one step, a value model chooses.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "tdrm/rollout/answers.hpp"

namespace tdrm::rollout {

struct SearchPlan {
    const task::Task* task = nullptr;
    int branch = 8;  ///< continuations of the path, a step each
    int depth = 30;  ///< steps; the last one runs to the end of the answer
    engine::SamplerOptions sampler;
    std::uint64_t seed = 0;
};

/// A continuation that was looked at. Problems have one tree each; its root is parent -1.
struct SearchNode {
    std::int32_t parent = -1;  ///< index among the nodes of the same problem
    task::Tokens ids;          ///< of this step
    float value = 0;           ///< logit of the state after it
    bool terminal = false;     ///< ended, or out of tokens
    bool on_path = false;      ///< part of the answer that was chosen
};

struct SearchTree {
    std::vector<SearchNode> nodes;
    Trajectory answer;
};

/// Problems that are searched at a time: as many as keep the generator's slots busy. Doesn't influence results.
[[nodiscard]] int problems_together(int slots, int branch);
/// Tokens that the cache of the policy (and of the value model) holds at most: of all paths, and of all their children.
[[nodiscard]] std::int64_t search_tokens(const SearchPlan& plan, int slots, std::int64_t prompt, std::int64_t answer);

/// Local. Greedy search over problems: in each round every live path gets `branch` continuations, the best
/// one that goes on becomes the path. The answer is the terminal node with the largest value anywhere in the tree, the
/// later of equals (the published rule, method of arXiv 2509.15110); without one, the path as far as it got.
/// Keys: (seed, "search", problem, 0, hash of the branch indices), counter = position in the answer.
[[nodiscard]] std::vector<SearchTree> greedy_search(const SearchPlan& plan, Generator& generator, Scorer& scorer,
                                                    std::span<const task::Problem> problems);

}  // namespace tdrm::rollout
