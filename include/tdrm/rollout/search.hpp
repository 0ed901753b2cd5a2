// Search over steps: a policy proposes next steps, a value model judges the states behind them. The driver draws,
// scores and counts for many problems at once; a kind of search only says which nodes go on (search_policy.hpp).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "tdrm/rollout/answers.hpp"

namespace tdrm::rollout {

/// Which nodes go on. V is the probability that the value model gives a state, N = `paths`, M = `branch`.
enum class SearchKind {
    greedy,  ///< one path; M continuations, the best that goes on becomes the path (arXiv 2509.15110)
    beam,    ///< the N / M best of all continuations, wherever they hang, get M each (arXiv 2408.03314)
    dvts,    ///< N / M greedy searches beside each other that never meet (diverse verifier tree search)
    smc,     ///< N particles, one continuation each, weighted by V(s') / V(s) and drawn anew when few carry the weight
    mcts,    ///< the most promising node by PUCT gets M continuations, whose values go up the tree
};
[[nodiscard]] constexpr auto enum_names(SearchKind) {
    using enum SearchKind;
    return std::array<std::pair<SearchKind, std::string_view>, 5>{
        {{greedy, "greedy"}, {beam, "beam"}, {dvts, "dvts"}, {smc, "smc"}, {mcts, "mcts"}}};
}

/// How one of the answers that a search found is chosen.
enum class SearchAnswer {
    best,      ///< the largest value, the later of equals
    vote,      ///< the answer that most have, its member of largest value
    weighted,  ///< the same, each counting V
};
[[nodiscard]] constexpr auto enum_names(SearchAnswer) {
    using enum SearchAnswer;
    return std::array<std::pair<SearchAnswer, std::string_view>, 3>{
        {{best, "best"}, {vote, "vote"}, {weighted, "weighted"}}};
}

struct SearchPlan {
    const task::Task* task = nullptr;
    SearchKind kind = SearchKind::greedy;
    SearchAnswer answer = SearchAnswer::best;
    int branch = 8;           ///< continuations of a node, a step each; smc has one for each particle
    int paths = 32;           ///< beam, dvts, smc: answers in the making; a multiple of branch for beam and dvts
    int simulations = 32;     ///< mcts: nodes that are continued
    double exploration = 1;   ///< mcts: c of PUCT, Q + c P sqrt(visits of the parent) / (1 + visits)
    double exponent = 1;      ///< smc: a of the weight (V(s') / V(s))^a
    int depth = 30;           ///< steps; the last one runs to the end of the answer
    int step_tokens = 0;      ///< a step is so many tokens; 0: the task's steps
    std::int64_t budget = 0;  ///< generated tokens of a problem after which no round begins; 0: none
    engine::SamplerOptions sampler;
    std::uint64_t seed = 0;
};

/// A continuation that was looked at. Problems have one tree each; its root, the prompt, is parent -1.
struct SearchNode {
    std::int32_t parent = -1;  ///< index among the nodes of the same problem
    task::Tokens ids;          ///< of this step
    float value = 0;           ///< logit of the state after it
    bool terminal = false;     ///< ended, or out of tokens
    bool on_path = false;      ///< part of the answer that was chosen
    bool ended = false;        ///< terminal by an end token
    bool correct = false;      ///< terminal, and the answer is right (nothing of the search knows it)
    std::int32_t visits =
        0;             ///< mcts: values that came up through it; smc: particles that stand on it; else 1 if it went on
    float weight = 0;  ///< smc: share of its particles in all weight, before they are drawn anew
};

/// Tokens that a search cost. Prefixes count once where they lie in a cache.
struct SearchCost {
    std::int64_t generated = 0;  ///< drawn tokens
    std::int64_t prompt = 0;     ///< tokens of prompts that the policy read
    std::int64_t scored = 0;     ///< tokens that the value model read, probes included
};

struct SearchTree {
    std::vector<SearchNode> nodes;  ///< parents before their children, children of a node beside each other
    Trajectory answer;
    SearchCost cost;
};

/// Continuations of a round of one problem at most.
[[nodiscard]] int search_width(const SearchPlan& plan);
/// Problems that are searched at a time: as many as keep the generator's slots busy and fit a cache of 2^18 tokens.
/// Doesn't influence results. @param prompt, answer tokens at most
[[nodiscard]] int problems_together(const SearchPlan& plan, int slots, std::int64_t prompt, std::int64_t answer);
/// Tokens that the cache of the policy (and of the value model) holds at most: of all paths, and of all their children.
[[nodiscard]] std::int64_t search_tokens(const SearchPlan& plan, int slots, std::int64_t prompt, std::int64_t answer);

/// Local. Searches problems. In each round the nodes that the kind of search names get their continuations, all
/// problems together. A tree is a function of (plan, models, problem): slots, neighbours and ranks don't enter. Keys:
/// (seed, "search", problem, 0, hash of the indices of the continuations on the way), counter = position in the answer.
/// If the budget ends before any answer has, the best open path runs to its end.
[[nodiscard]] std::vector<SearchTree> search(const SearchPlan& plan, Generator& generator, Scorer& scorer,
                                             std::span<const task::Problem> problems);

}  // namespace tdrm::rollout
