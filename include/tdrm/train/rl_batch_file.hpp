// rollouts/update-000010.h5 of an rl stage: docs/formats/trajectories.md.
#pragma once

#include <filesystem>

#include "tdrm/rollout/tables.hpp"
#include "tdrm/train/rl.hpp"

namespace tdrm::train {

/// Trajectories of a batch with the parts of their reward, values of their states, advantages. Local. @throws IoError
void write_rl_batch(const std::filesystem::path& path, const task::Task& task, const RlBatch& batch,
                    const rollout::Attributes& attributes);

}  // namespace tdrm::train
