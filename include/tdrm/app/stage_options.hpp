// Options that several kinds of stages share.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "tdrm/app/context.hpp"
#include "tdrm/base/options.hpp"
#include "tdrm/rollout/rollouts.hpp"
#include "tdrm/task/task.hpp"
#include "tdrm/train/trainer.hpp"

namespace tdrm::app {

/// Evaluation on held-out problems while training. Not part of a stage's identity.
struct EvalOptions {
    std::string problems;    ///< split; empty = no evaluation
    std::int64_t every = 0;  ///< updates; 0 = at the end only
    int samples = 1;         ///< answers per problem
    std::int64_t limit = 0;  ///< first problems of the split; 0 = all
    rollout::SamplerOptions sampler;
    void fields(Fields& f);
};

/// Where tags stand.
enum class TagPlace { leaf, trunk };
[[nodiscard]] constexpr auto enum_names(TagPlace) {
    return std::array<std::pair<TagPlace, std::string_view>, 2>{{{TagPlace::leaf, "leaf"}, {TagPlace::trunk, "trunk"}}};
}

/// How reward models of others (hf:DIR) are read; model::ReadOut in texts of the task's tokenizer.
struct ReadOutOptions {
    std::string tag, tail, positive, negative;
    TagPlace place = TagPlace::leaf;
    void fields(Fields& f);
};

/// Collective. A scorer of a value model; `options` count for models named hf:DIR only, others are read behind the
/// task's probe.
/// @throws ConfigError for texts that aren't tokens and for a model without the head; DataError if it lacks the tokens
[[nodiscard]] rollout::Scorer value_scorer(StageContext& context, const model::Model& model, const std::string& label,
                                           const ReadOutOptions& options, int unit_tokens);

/// pass@1 of the current policy, as an Evaluation of the training loop. The model must outlive it.
[[nodiscard]] train::Evaluation policy_evaluation(comm::Communicator& ranks, const task::Task& task,
                                                  const model::Model& policy, const EvalOptions& options,
                                                  std::uint64_t seed, std::int64_t updates);

/// Figures of judged answers: pass@1, majority vote, lengths, what went wrong.
[[nodiscard]] train::Metrics answer_metrics(const rollout::Trajectories& answers);

}  // namespace tdrm::app
