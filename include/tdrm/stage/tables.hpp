// Tables that stages write: trajectories with labels, values aligned to them, and results for people.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tdrm/rollout/rollouts.hpp"
#include "tdrm/stage/context.hpp"
#include "tdrm/stage/options.hpp"
#include "tdrm/stage/value_models.hpp"
#include "tdrm/store/file.hpp"
#include "tdrm/train/rl.hpp"

namespace tdrm::stage {

using Attributes = std::vector<std::pair<std::string, store::Attribute>>;

/// Names of task::Reason in the order of their numbers, joined by commas: the attribute verdict_reasons.
[[nodiscard]] std::string reason_names();

/// What a file of answers says about how they were made.
[[nodiscard]] Attributes answer_attributes(const StageContext& context, const Input& policy, const std::string& split,
                                           const engine::SamplerOptions& sampler);

/// Collective. Answers a whole split as a map and writes trajectories.h5 and labels.h5 (the truth of every state, where
/// the task knows it) with a manifest into `directory`; if they are there already, reads them.
/// @return the table, on every rank
[[nodiscard]] rollout::Trajectories rollout_map(StageContext& context, const rollout::RolloutPlan& plan,
                                                engine::Engine& policy, int slots, const std::string& label,
                                                const std::filesystem::path& directory, const Attributes& attributes);

/// What is known about the states of a table (as rollout::state_offsets) and its steps: labels.h5.
struct StateLabels {
    std::vector<float> truth;                 ///< in [0, 1], NaN where it isn't known; empty if nothing is
    std::vector<std::uint8_t> step_right;     ///< 1 right, 0 wrong, 255 not known
    std::vector<std::uint8_t> outcome_known;  ///< of each trajectory; empty = of all
    std::string kind;                         ///< what truth means: "reachable", "no_error_so_far" or "local"
    std::string source;                       ///< who says so: a task or a published format
};

/// Local. Writes `directory`/trajectories.h5, labels.h5 and the manifest.
void write_answers(const std::filesystem::path& directory, const task::Task& task, const rollout::Trajectories& answers,
                   const Attributes& attributes);
/// Local. The same with labels that come from elsewhere.
void write_answers(const std::filesystem::path& directory, const task::Task& task, const rollout::Trajectories& answers,
                   const StateLabels& labels, const Attributes& attributes);

/// Local. Writes /vocabulary: the ids among `tokens` with the bytes that each adds to a text, so that readers need no
/// tokenizer. @throws DataError for an id outside the vocabulary
void write_vocabulary(store::FileWriter& file, const task::Task& task,
                      std::initializer_list<std::span<const std::int32_t>> tokens);

/// Collective. Value logits of all states of a table as a map; writes values.h5 with a manifest into `directory`.
[[nodiscard]] std::vector<float> score_map(StageContext& context, const rollout::Trajectories& data, const Input& value,
                                           const std::string& label, const std::filesystem::path& directory,
                                           const ReadOutOptions& read_out = {});

/// Local. Labels of a finished stage's trajectories: those of its labels.h5 if it has one, else the task's own truth.
/// @throws DataError if they belong to other trajectories
[[nodiscard]] StateLabels load_labels(const StageContext& context, const Input& input,
                                      const rollout::Trajectories& data);
/// Local. The exact truth that a task knows about its answers; empty if it knows none.
[[nodiscard]] StateLabels state_labels(const task::Task& task, const rollout::Trajectories& data);

/// Local. A batch of an rl stage: trajectories with the parts of their reward, values of their states, advantages.
void write_rl_batch(const std::filesystem::path& path, const task::Task& task, const train::RlBatch& batch,
                    const Attributes& attributes);

[[nodiscard]] nlohmann::json metrics_json(const train::Metrics& metrics);
/// Local. results.json: what the report shows.
void write_results(const std::filesystem::path& directory, const nlohmann::json& results);

}  // namespace tdrm::stage
