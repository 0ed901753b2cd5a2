// What all stages that train have in common.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tdrm/base/options.hpp"
#include "tdrm/engine/lora.hpp"
#include "tdrm/stage/context.hpp"
#include "tdrm/train/trainer.hpp"

namespace tdrm::stage {

/// Options of a training stage beside what it learns from.
struct TrainFields {
    train::OptimizerOptions optimizer;
    train::PrecisionOptions precision;
    train::CommitOptions commit;
    engine::LoraOptions lora{};
    void fields(Fields& f);

    /// What is identity: the horizon of the schedule stands for the number of updates.
    [[nodiscard]] TrainFields resolved(std::int64_t updates) const;
};

/// Collective. The engine to train: the model itself, or with the adapters that the options ask for.
[[nodiscard]] std::unique_ptr<engine::Engine> to_train(StageContext& context, const TrainFields& fields,
                                                       std::unique_ptr<engine::Engine> model);

/// Models beside the stage's own: those that learn with it, by the same options, and those that commits keep alone.
struct Beside {
    std::string own_name = {};  ///< of the stage's own model; "" but for heads
    std::int64_t begins = 0;    ///< first update of the stage's own model
    std::vector<std::pair<std::string, engine::Engine*>> trainees, companions;  ///< by the name in commits
    std::vector<train::Trainee> learners{};                                     ///< with options of their own
    nlohmann::json body{};                                                      ///< as train::TrainerOptions::body
};

/// What commits of adapters alone say of the model under them; null where they hold it, or learn whole weights.
[[nodiscard]] nlohmann::json body_of_adapters(const StageContext& context, const engine::LoraOptions& lora,
                                              const std::string& key);

/// Collective. Trains the stage's model and says how it ended.
StageOutcome train_model(StageContext& context, const TrainFields& fields, engine::Engine& engine,
                         train::Objective& objective, const train::Evaluation& evaluation, std::int64_t updates,
                         std::vector<std::string> headline, nlohmann::json results = nlohmann::json::object(),
                         const Beside& beside = {});

/// Collective. train::figures_again of a stage's model.
[[nodiscard]] train::Metrics update_again(StageContext& context, const TrainFields& fields, engine::Engine& engine,
                                          train::Objective& objective, std::int64_t updates, const Beside& beside,
                                          const std::optional<std::filesystem::path>& commit, std::int64_t update);

}  // namespace tdrm::stage
