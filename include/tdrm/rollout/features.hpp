// features.h5: what the frozen body of a value model says of the states of a table, before any head. Heads learn from
// it, and are read off it, without the body (docs/formats/trajectories.md).
#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "tdrm/rollout/scorer.hpp"
#include "tdrm/rollout/tables.hpp"
#include "tdrm/rollout/trajectories.hpp"

namespace tdrm::rollout {

/// Hidden states of all states of a table, and what they cost.
struct FeatureTable {
    std::vector<float> features_SD;                            ///< in the order of state_offsets
    std::vector<std::int64_t> scored_tokens, shared_tokens{};  ///< of each problem, as of Scores
};

/// Local. Of the states of the trajectories of problem rows [begin, end): what a value head reads behind this body.
/// @param body a model with a value head, which is not looked at
[[nodiscard]] FeatureTable state_features(Scorer& body, const Trajectories& data, std::size_t begin, std::size_t end,
                                          const std::function<void()>& on_problem = {});

/// Local. What a head says of hidden states, as logits. @param head an engine without layers (train::head_spec)
[[nodiscard]] std::vector<float> head_logits(engine::Engine& head, std::span<const float> features_SD);

/// Local. Writes `directory`/features.h5 and the manifest. @throws IoError
void write_features(const std::filesystem::path& directory, const Trajectories& data, const FeatureTable& table,
                    const ModelName& body);
/// Local. @param body identity of the model that they must be of
/// @throws DataError if they belong to other trajectories or to another model, or if an earlier version wrote them
[[nodiscard]] FeatureTable load_features(const std::filesystem::path& directory, const Trajectories& data,
                                         const std::string& body);

}  // namespace tdrm::rollout
