// features.h5: what the frozen body of a value model says of the states of a table, before any head. Heads learn from
// it without the body (docs/formats/trajectories.md).
#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "tdrm/engine/engine.hpp"
#include "tdrm/rollout/tables.hpp"
#include "tdrm/rollout/trajectories.hpp"

namespace tdrm::rollout {

/// Local. Normed last hidden states at the probes of all states of the trajectories of problem rows [begin, end), in
/// the order of state_offsets, `width` numbers each: those that `score` reads with a value head.
[[nodiscard]] std::vector<float> state_features(engine::Engine& body, const task::Task& task, const Trajectories& data,
                                                std::size_t begin, std::size_t end,
                                                const std::function<void()>& on_problem = {});

/// Local. Writes `directory`/features.h5 and the manifest. @throws IoError
void write_features(const std::filesystem::path& directory, const Trajectories& data,
                    std::span<const float> features_SD, const ModelName& body);
/// Local. @param body identity of the model that they must be of
/// @throws DataError if they belong to other trajectories or to another model
[[nodiscard]] std::vector<float> load_features(const std::filesystem::path& directory, const Trajectories& data,
                                               const std::string& body);

}  // namespace tdrm::rollout
