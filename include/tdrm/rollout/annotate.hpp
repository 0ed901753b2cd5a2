// How good the states of answers are under a policy, by letting it go on from them: Monte Carlo labels of steps
// (Math-Shepherd, arXiv 2312.08935), and the truth about V^pi where nobody can work it out.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "tdrm/rollout/answers.hpp"

namespace tdrm::rollout {

struct AnnotatePlan {
    const task::Task* task = nullptr;
    int tries = 8;            ///< continuations of a state
    std::int64_t budget = 0;  ///< generated tokens of a problem after which its states get no further try; 0: none
    engine::SamplerOptions sampler;
    std::uint64_t seed = 0;
};

/// Of each state s_0..s_T of each trajectory, in their order.
struct Annotation {
    std::vector<std::int32_t> successes, tries;
    std::int64_t generated = 0;  ///< tokens

    void append(const Annotation& more);
};

/// Local. Continues the states of the trajectories of problem rows [begin, end) to the end of the answer and judges
/// them. Equal states of a problem are one state: they get the same continuations. Each token of a prompt or an answer
/// is computed once. A state behind which nothing can follow (an end token, no room) is judged as it is, as if all
/// tries had said so. With a budget, all states of a problem get their first try, then their second, until it is spent.
/// Keys: (seed, "annotate", problem, hash of the state's tokens, try), counter = position in the answer.
[[nodiscard]] Annotation annotate(const AnnotatePlan& plan, Generator& generator, const Trajectories& data,
                                  std::size_t begin, std::size_t end, const std::function<void()>& on_finished = {});

/// Tokens of the cache that problems which are annotated together take at most, but where
/// one problem has more. @param prompt, answer tokens at most
[[nodiscard]] std::int64_t annotate_tokens(int slots, std::int64_t prompt, std::int64_t answer);

}  // namespace tdrm::rollout
