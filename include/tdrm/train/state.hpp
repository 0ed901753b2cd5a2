// What a training stage keeps on disk: parameters, moments, and a few numbers. There is no generator state and no data
// position: both follow from the update.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "tdrm/comm/communicator.hpp"
#include "tdrm/model/transformer.hpp"
#include "tdrm/store/checkpoint.hpp"
#include "tdrm/train/optimizer.hpp"
#include "tdrm/train/update_log.hpp"

namespace tdrm::train {

struct TrainingState {
    std::int64_t update = 0;  ///< updates done
    std::int64_t best = -1;   ///< update of the best evaluation, -1 = none yet
    double best_figure = 0;
    int since_best = 0;    ///< evaluations since
    bool stopped = false;  ///< by patience
    LogMark log{};         ///< metrics.jsonl up to here
};

/// Collective. Commits everything into `directory`.
void save_state(comm::Communicator& ranks, const std::filesystem::path& directory, const TrainingState& state,
                const model::Model& model, AdamW& optimizer);
/// Local. Fills model and moments from a commit. @throws DataError if the tensors don't fit the model
TrainingState load_state(const store::Checkpoint& checkpoint, model::Model& model, AdamW& optimizer);

/// Local. The numbers alone. @throws DataError if another program wrote them
[[nodiscard]] TrainingState read_progress(const store::Checkpoint& checkpoint);

/// Local. A model from a commit, its sizes read from the commit itself.
[[nodiscard]] model::Model load_model(const store::Checkpoint& checkpoint);

/// Updates that have a commit folder, ascending. Local.
[[nodiscard]] std::vector<std::int64_t> committed_updates(const std::filesystem::path& directory);

}  // namespace tdrm::train
