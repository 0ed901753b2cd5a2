// What a stage gets: the ranks, the task, a folder, a seed, and its inputs. A stage is pure in these.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tdrm/comm/communicator.hpp"
#include "tdrm/comm/watchdog.hpp"
#include "tdrm/engine/devices.hpp"
#include "tdrm/plan/plan.hpp"
#include "tdrm/rollout/tables.hpp"
#include "tdrm/task/task.hpp"
#include "tdrm/train/trainer.hpp"

namespace tdrm::stage {

/// `run:` of a run file.
struct RunOptions {
    std::string dir;                                            ///< folder of the run
    std::int64_t seed = 1;                                      ///< of every stage that has none of its own
    train::SumMode sum = train::SumMode::automatic;             ///< how gradients are summed over ranks
    engine::DeviceKind device = engine::DeviceKind::automatic;  ///< where engines compute
    model::Products products = model::Products::fp32;           ///< how processors multiply matrices
    Seconds silence{600};                                       ///< a rank that is silent for so long ends the job
    Seconds wait{30};                                           ///< that an earlier start gets to end
    void fields(Fields& f);
};

/// A finished thing that a stage reads: which folder, and what it is.
struct Input {
    std::string key;                  ///< option that names it
    std::string label;                ///< as the run file names it
    std::filesystem::path directory;  ///< of the stage, or of a commit for models
    std::string identity;             ///< of its content

    /// Whether it is somebody else's model, hf:DIR.
    [[nodiscard]] bool is_foreign() const { return label.starts_with("hf:"); }
    /// As files name it, if it is a model.
    [[nodiscard]] rollout::ModelName name() const { return {label, identity}; }
};

struct StageContext {
    comm::Communicator& ranks;
    comm::Watchdog& watchdog;
    const task::Task& task;
    const plan::StageNode& node;
    std::filesystem::path directory;
    std::uint64_t seed;
    train::SumMode sum;
    std::vector<Input> inputs;

    /// The inputs that an option names, in order.
    [[nodiscard]] std::vector<Input> inputs_of(std::string_view key) const;
    /// The one input of an option. @throws ConfigError if there is none
    [[nodiscard]] const Input& input(std::string_view key) const;
};

/// How a stage ended; goes into stage.json.
struct StageOutcome {
    std::int64_t updates = 0;                           ///< of a training stage
    std::int64_t best = -1;                             ///< its best update
    nlohmann::json results = nlohmann::json::object();  ///< headline figures
};

/// Collective. Trajectories of a finished stage.
[[nodiscard]] rollout::Trajectories load_trajectories(StageContext& context, const Input& input);

/// Warns, on rank 0, if a stage has fewer units of work than there are ranks.
void warn_if_idle(const StageContext& context, std::int64_t units);

}  // namespace tdrm::stage
