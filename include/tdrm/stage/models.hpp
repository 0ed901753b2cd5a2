// The models that inputs name, checked against the task.
#pragma once

#include <memory>
#include <vector>

#include "tdrm/engine/load.hpp"
#include "tdrm/rollout/value_reader.hpp"
#include "tdrm/stage/context.hpp"
#include "tdrm/stage/record.hpp"

namespace tdrm::stage {

/// Collective. The model of a commit or of a Hugging Face folder, on an engine. @throws DataError if its vocabulary
/// isn't the task's, for tasks with a tokenizer if it is smaller, or if the folder's own tokenizer has other tokens
/// @param use whether it is to learn; a model with adapters is held for training in any case
[[nodiscard]] std::unique_ptr<engine::Engine> load_model(StageContext& context, const Input& input, model::Use use);
/// Sizes of a value model with a head of one row on the body of a model.
[[nodiscard]] model::ModelSpec value_spec(model::ModelSpec body);
/// Collective. A value model whose body is that of the model, under a head of one row that is 0. @throws as load_model
[[nodiscard]] std::unique_ptr<engine::Engine> new_value_model(StageContext& context, const Input& body,
                                                              model::Use use = model::Use::training);
/// Collective. Its head alone (train::head_spec), for hidden states that are known. @throws as load_model
[[nodiscard]] std::unique_ptr<engine::Engine> new_value_head(StageContext& context, const Input& body);

/// Name of the value model that learns beside a policy, in commits and logs. Where a value model is asked for, an `rl`
/// stage with a critic stands for that.
inline constexpr const char* kCritic = "critic";

/// Collective. A value model to train on: a stage's own, or under a policy's body a fresh head.
/// @throws ConfigError for an ensemble, a model of hazards, or a head of another form
[[nodiscard]] std::unique_ptr<engine::Engine> load_critic(StageContext& context, const Input& input);

/// Collective. The value models that an input names: one, or the members of an ensemble. @throws as load_value_model
[[nodiscard]] std::vector<std::unique_ptr<engine::Engine>> load_value_members(StageContext& context, const Input& input,
                                                                              const rollout::ReadOutOptions& options);
/// Collective. The value model that an input names; an ensemble as one (engine::Ensemble). @throws DataError as
/// load_model, or with Shown::text if the model has fewer rows than its folder's tokenizer has tokens
[[nodiscard]] std::unique_ptr<engine::Engine> load_value_model(StageContext& context, const Input& input,
                                                               const rollout::ReadOutOptions& options);

/// What commits of heads in the stage's folder `directory` say of the body that they stand on: `label`, `identity`, and
/// `place`, seen from there if it is of the same run.
[[nodiscard]] nlohmann::json body_reference(const Input& body, const std::filesystem::path& directory);

/// The heads of a value model, or of the members of an ensemble, without the body that they stand on.
struct ValueHeads {
    model::ModelSpec model;  ///< the whole one
    std::vector<std::unique_ptr<engine::Engine>> heads;
};
/// Collective. Of a commit of this program.
[[nodiscard]] ValueHeads load_value_heads(StageContext& context, const Input& input);

/// What the values of a stage's model are, in its record: chances of success, or hazards (reward::TargetKind::hazard).
inline constexpr const char* kChances = "chances";
inline constexpr const char* kHazards = "hazards";
/// Whether a finished value stage made a model of hazards.
[[nodiscard]] bool is_of_hazards(const StageRecord& record);
/// Collective. Whether an input is a model of hazards; models from elsewhere aren't.
[[nodiscard]] bool is_of_hazards(StageContext& context, const Input& value);
/// Collective. @throws ConfigError if it is, where a larger value must be better. @param who begins the message
void refuse_hazards(StageContext& context, const Input& value, const std::string& who);

/// Collective. A scorer of that model, which must outlive it. `options` count for models named hf:DIR only.
/// @throws as rollout::value_scorer, naming the input
[[nodiscard]] rollout::Scorer value_scorer(StageContext& context, engine::Engine& model, const Input& input,
                                           const rollout::ReadOutOptions& options, int unit_tokens);

}  // namespace tdrm::stage
