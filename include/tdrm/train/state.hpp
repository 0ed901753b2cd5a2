// What a training stage keeps on disk: parameters, moments, and a few numbers. There is no generator state and no data
// position: both follow from the update.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tdrm/comm/communicator.hpp"
#include "tdrm/engine/load.hpp"
#include "tdrm/store/checkpoint.hpp"
#include "tdrm/train/trainer.hpp"
#include "tdrm/train/update_log.hpp"

namespace tdrm::train {

/// Name of what learns in the place of a model's weights, as a trainee and in what a commit says of the body.
inline constexpr const char* kAdapters = "lora";

struct TrainingState {
    std::int64_t update = 0;  ///< updates done
    std::int64_t best = -1;   ///< update of the best evaluation, -1 = none yet
    double best_figure = 0;
    int since_best = 0;          ///< evaluations since
    bool stopped = false;        ///< by patience
    LogMark log{};               ///< metrics.jsonl up to here
    nlohmann::json objective{};  ///< Objective::state
};

/// Collective. Commits everything into `directory`. @param body as TrainerOptions::body
void save_state(comm::Communicator& ranks, const std::filesystem::path& directory, const TrainingState& state,
                std::span<const Trainee> trainees, const nlohmann::json& body = {});
/// Local. Fills weights and moments from a commit. @throws DataError if the tensors don't fit a model
TrainingState load_state(const store::Checkpoint& checkpoint, std::span<const Trainee> trainees);

/// Local. The numbers alone. @throws DataError if another program wrote them
[[nodiscard]] TrainingState read_progress(const store::Checkpoint& checkpoint);

/// Name of a member of an ensemble as a trainee; the first is the stage's own model.
[[nodiscard]] std::string member_name(std::size_t member);
/// Local. Value models that a commit holds: 1, or the members of an ensemble.
[[nodiscard]] std::size_t members_of(const store::Checkpoint& checkpoint);

/// Local. What a commit says of the body of its heads, null if it holds whole models.
[[nodiscard]] nlohmann::json body_of(const store::Checkpoint& checkpoint);
/// Local. Puts a head of a commit into an engine of a whole model, or of a head alone. @param member of an ensemble
void deliver_head(const store::Checkpoint& checkpoint, engine::Engine& engine, std::size_t member = 0);

/// Local. Whether a commit holds the weights of a trainee of that name.
[[nodiscard]] bool holds(const store::Checkpoint& checkpoint, std::string_view trainee);
/// Local. Sizes of the model in a commit, the stage's own or that of another trainee. @throws DataError if it holds
/// heads alone, or if another program wrote them
[[nodiscard]] model::ModelSpec spec_of(const store::Checkpoint& checkpoint, std::string_view trainee = "");
/// Local. The model of a commit.
[[nodiscard]] std::unique_ptr<engine::Engine> load_model(const store::Checkpoint& checkpoint);
/// Local. Hands over the weights that `wanted` and the commit have in common. @return names of the others in `wanted`
std::vector<std::string> deliver(const store::Checkpoint& checkpoint, std::span<const model::TensorInfo> wanted,
                                 const model::WeightSink& sink, std::string_view trainee = "");

/// Updates that have a commit folder, ascending. Local.
[[nodiscard]] std::vector<std::int64_t> committed_updates(const std::filesystem::path& directory);

}  // namespace tdrm::train
