// rollouts/update-000010.h5 of an rl stage: docs/formats/trajectories.md.
#pragma once

#include <filesystem>

#include "tdrm/rollout/tables.hpp"
#include "tdrm/train/rl.hpp"

namespace tdrm::train {

/// Trajectories of a batch with the parts of their reward, values of their states, advantages. Local. @throws IoError
void write_rl_batch(const std::filesystem::path& path, const task::Task& task, const RlBatch& batch,
                    const rollout::Attributes& attributes);

/// Local. Answers with what models said of them, as write_rl_batch wrote them; and the stored rewards and advantages.
/// @throws DataError if answers, rewards or advantages are missing; the rest is there where models said anything
[[nodiscard]] RlBatch read_rl_batch(const std::filesystem::path& path);

}  // namespace tdrm::train
