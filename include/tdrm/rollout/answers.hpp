// Answers of a policy to problems of a task, judged: what a rollout stage, an RL batch and an evaluation have in
// common.
#pragma once

#include <functional>
#include <span>
#include <string_view>

#include "tdrm/comm/communicator.hpp"
#include "tdrm/rollout/generator.hpp"
#include "tdrm/rollout/scorer.hpp"
#include "tdrm/rollout/trajectories.hpp"
#include "tdrm/task/task.hpp"

namespace tdrm::rollout {

/// How answers are drawn. Keys are (seed, purpose, problem id, visit, sample).
struct RolloutPlan {
    const task::Task* task = nullptr;
    std::string_view split;
    int samples = 1;
    engine::SamplerOptions sampler;
    std::uint64_t seed = 0;
    std::string_view purpose = "rollout";
    bool scripted = false;     ///< answers are the task's demonstrations instead of a model's
    bool forks = false;        ///< of scripted answers: the first of a draw is left by the others, each a step later
    double verdict_noise = 0;  ///< chance that a stored verdict is flipped (rollout::flip_verdicts)
};

/// An answer with its steps and its verdict. @param ended by an end token, not cut
[[nodiscard]] Trajectory judged(const task::Task& task, const task::Problem& problem, task::Tokens ids, bool ended);

/// Local. Answers to the given problems, in their order.
[[nodiscard]] Trajectories sample_answers(const RolloutPlan& plan, Generator& generator,
                                          std::span<const task::Draw> draws,
                                          const std::function<void()>& on_finished = {});

/// Local. Answers of the task's scripted policy, sample s of a visit being demonstration visit x samples + s. They have
/// no log-probs (NaN). With `forks` sample s > 0 begins with (s - 1) mod T of the T steps of sample 0, so that states
/// with equal parents, siblings, are found at every depth.
[[nodiscard]] Trajectories scripted_answers(const RolloutPlan& plan, std::span<const task::Draw> draws);

/// Problems [begin, end) of n that a rank takes: consecutive and even.
[[nodiscard]] std::pair<std::size_t, std::size_t> share(std::size_t n, int rank, int ranks);

/// Collective. The same, each rank answering its share; every rank gets the whole table.
[[nodiscard]] Trajectories sample_answers_together(comm::Communicator& ranks, const RolloutPlan& plan,
                                                   Generator& generator, std::span<const task::Draw> draws);

/// Figures of judged answers, at least one.
struct AnswerFigures {
    double right = 0;        ///< share of answers
    double solved = 0;       ///< share of problems with a right answer
    double mean_length = 0;  ///< tokens
    double cut = 0;          ///< share of answers that were cut for length
};
[[nodiscard]] AnswerFigures figures_of(const Trajectories& answers);

/// What a value model says of answers, and what it read for that.
struct Scores {
    std::vector<float> logits;                     ///< of all states: for trajectory after trajectory s_0..s_T
    std::vector<std::int64_t> scored_tokens = {};  ///< of each problem; the prompt again in each further pass
    std::vector<std::int64_t> shared_tokens = {};  ///< those among them that any number of its answers would take
};
/// Local. Scores the trajectories of problem rows [begin, end). `on_problem` is called before each problem.
[[nodiscard]] Scores score(Scorer& scorer, const Trajectories& data, std::size_t begin, std::size_t end,
                           const std::function<void()>& on_problem = {});
/// Collective. The logits of all trajectories, each rank scoring its share.
[[nodiscard]] std::vector<float> score_together(comm::Communicator& ranks, Scorer& scorer, const Trajectories& data);

}  // namespace tdrm::rollout
