// Options that several kinds of stages share.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "tdrm/base/options.hpp"
#include "tdrm/rollout/answers.hpp"
#include "tdrm/stage/context.hpp"
#include "tdrm/task/task.hpp"
#include "tdrm/train/trainer.hpp"

namespace tdrm::stage {

/// Evaluation on held-out problems while training. Not part of a stage's identity.
struct EvalOptions {
    std::string problems;    ///< split; empty = no evaluation
    std::int64_t every = 0;  ///< updates; 0 = at the end only
    int samples = 1;         ///< answers per problem
    std::int64_t limit = 0;  ///< first problems of the split; 0 = all
    engine::SamplerOptions sampler;
    void fields(Fields& f);
};

/// Is told of an evaluation's answers, and may add figures. Local, the same on every rank.
using EvalListener =
    std::function<void(std::int64_t update, const rollout::Trajectories& answers, train::Metrics& out)>;

/// pass@1 of the current policy, as an Evaluation of the training loop. The model must outlive it.
[[nodiscard]] train::Evaluation policy_evaluation(comm::Communicator& ranks, const task::Task& task,
                                                  engine::Engine& policy, const EvalOptions& options, int slots,
                                                  std::uint64_t seed, std::int64_t updates, EvalListener listener = {});

/// Figures of judged answers: pass@1, the share of problems that any answer solves, mean length, share of cut ones.
[[nodiscard]] train::Metrics answer_metrics(const rollout::Trajectories& answers);

}  // namespace tdrm::stage
