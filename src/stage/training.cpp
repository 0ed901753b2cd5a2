#include "tdrm/stage/training.hpp"

#include "tdrm/stage/models.hpp"
#include "tdrm/train/state.hpp"

namespace tdrm::stage {

void TrainFields::fields(Fields& f) {
    f("optimizer", optimizer, "AdamW and its schedule");
    f("precision", precision, "formats of numbers");
    f("commit", commit, "when the state is written").not_identity();
    f("lora", lora, "low-rank adapters, or the head: what learns in the place of all weights");
}

std::unique_ptr<engine::Engine> to_train(StageContext& context, const TrainFields& fields,
                                         std::unique_ptr<engine::Engine> model) {
    return context.ranks.agree("making adapters",
                               [&] { return engine::with_adapters(std::move(model), fields.lora, context.seed); });
}

TrainFields TrainFields::resolved(std::int64_t updates) const {
    TrainFields result = *this;
    result.optimizer.horizon = train::schedule_horizon(optimizer, updates);
    return result;
}

namespace {

std::vector<train::Trainee> trainees_of(const TrainFields& fields, engine::Engine& engine, std::int64_t updates,
                                        const Beside& beside) {
    const std::int64_t horizon = fields.optimizer.horizon > 0 ? fields.optimizer.horizon : updates;
    const bool adapted = engine.body() != nullptr;
    std::vector<train::Trainee> trainees;
    trainees.push_back({adapted ? train::kAdapters : beside.own_name, engine, fields.optimizer, fields.precision,
                        horizon, beside.begins});
    for (const auto& [name, other] : beside.trainees)
        trainees.push_back({name, *other, fields.optimizer, fields.precision, horizon});
    for (const train::Trainee& learner : beside.learners) trainees.push_back(learner);
    return trainees;
}

train::TrainerOptions options_of(const StageContext& context, const TrainFields& fields, engine::Engine& engine,
                                 std::int64_t updates, const Beside& beside) {
    train::TrainerOptions options;
    options.label = context.node.name;
    options.directory = context.directory;
    options.updates = updates;
    options.commit = fields.commit;
    options.sum = context.sum;
    options.body = beside.body;
    // Of adapters the whole model may be a companion, so that a commit is a model like any other.
    if (engine.body() != nullptr && beside.body.is_null())
        options.companions.push_back({"", *engine.body(), {}, {}, 0});
    for (const auto& [name, other] : beside.companions) options.companions.push_back({name, *other, {}, {}, 0});
    return options;
}

}  // namespace

nlohmann::json body_of_adapters(const StageContext& context, const engine::LoraOptions& lora, const std::string& key) {
    if (!lora.active() || lora.keep_body || context.inputs_of(key).empty()) return {};
    auto body = body_reference(context.input(key), context.directory);
    body[train::kAdapters] = {{"rank", lora.rank}, {"alpha", lora.alpha}, {"targets", lora.targets}};
    if (lora.head) body[train::kAdapters]["head"] = true;
    return body;
}

StageOutcome train_model(StageContext& context, const TrainFields& fields, engine::Engine& engine,
                         train::Objective& objective, const train::Evaluation& evaluation, std::int64_t updates,
                         std::vector<std::string> headline, nlohmann::json results, const Beside& beside) {
    const auto trainees = trainees_of(fields, engine, updates, beside);
    auto options = options_of(context, fields, engine, updates, beside);
    options.headline = std::move(headline);
    const auto result = train::train(context.ranks, trainees, objective, evaluation, options);
    results["best_figure"] = result.best < 0 ? nlohmann::json() : nlohmann::json(result.best_figure);
    return {result.updates, result.best, std::move(results)};
}

train::Metrics update_again(StageContext& context, const TrainFields& fields, engine::Engine& engine,
                            train::Objective& objective, std::int64_t updates, const Beside& beside,
                            const std::optional<std::filesystem::path>& commit, std::int64_t update) {
    return train::figures_again(context.ranks, trainees_of(fields, engine, updates, beside), objective,
                                options_of(context, fields, engine, updates, beside), commit, update);
}

}  // namespace tdrm::stage
