// The two maps that several kinds of stages have in common: answers of a policy, values of a table.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tdrm/rollout/answers.hpp"
#include "tdrm/rollout/features.hpp"
#include "tdrm/rollout/tables.hpp"
#include "tdrm/stage/context.hpp"
#include "tdrm/stage/models.hpp"

namespace tdrm::stage {

/// Collective. Answers a whole split as a map and writes trajectories.h5 and labels.h5 (the truth of every state, where
/// the task knows it) with a manifest into `directory`; if they are there already, reads them.
/// @param policy who answers; null for the task's scripted policy (`plan.scripted`)
/// @return the table, on every rank
[[nodiscard]] rollout::Trajectories rollout_map(StageContext& context, const rollout::RolloutPlan& plan,
                                                engine::Engine* policy, int slots, const std::string& label,
                                                const std::filesystem::path& directory,
                                                const rollout::Attributes& attributes);

/// Collective. Features of all states of a table (rollout::state_features) as a map; writes features.h5 with a manifest
/// into `directory`, or reads what is there. @return them, on every rank
[[nodiscard]] rollout::FeatureTable feature_map(StageContext& context, const rollout::Trajectories& data,
                                                const Input& body, const std::string& label,
                                                const std::filesystem::path& directory);

/// Collective. Values of all states of a table as a map; writes values.h5 with a manifest into `directory`, or reads
/// what is there. Heads on a frozen body are read off its hidden states, which are computed once, as
/// features-BODY in the stage's folder, for all heads on it. @return the values, on every rank
[[nodiscard]] rollout::ValueTable score_map(StageContext& context, const rollout::Trajectories& data,
                                            const Input& value, const std::string& label,
                                            const std::filesystem::path& directory,
                                            const rollout::ReadOutOptions& read_out = {});

}  // namespace tdrm::stage
