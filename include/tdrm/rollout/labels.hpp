// labels.h5: what is known about the states and steps of a table of trajectories (docs/formats/trajectories.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tdrm/rollout/trajectories.hpp"
#include "tdrm/task/task.hpp"

namespace tdrm::rollout {

/// What is known about the states of a table (as state_offsets) and its steps.
struct StateLabels {
    std::vector<float> truth;                 ///< in [0, 1], NaN where it isn't known; empty if nothing is
    std::vector<std::uint8_t> step_right;     ///< 1 right, 0 wrong, 255 not known
    std::vector<std::uint8_t> outcome_known;  ///< of each trajectory; empty = of all
    std::string kind;                         ///< what truth means: "reachable", "no_error_so_far" or "local"
    std::string source;                       ///< who says so: a task or a published format
};

/// The exact truth that a task knows about its answers; empty if it knows none. Local.
[[nodiscard]] StateLabels state_labels(const task::Task& task, const Trajectories& data);

/// Local. @throws IoError
void write_labels(const std::filesystem::path& path, const Trajectories& data, const StateLabels& labels);
/// Local. @throws DataError if they belong to other trajectories
[[nodiscard]] StateLabels read_labels(const std::filesystem::path& path, const Trajectories& data);
/// Labels of the trajectories in a folder: those of its labels.h5 if it has one, else the task's own truth. Local.
/// @throws DataError as read_labels
[[nodiscard]] StateLabels load_labels(const std::filesystem::path& directory, const task::Task& task,
                                      const Trajectories& data);

}  // namespace tdrm::rollout
