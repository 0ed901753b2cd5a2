// The models that inputs name, checked against the task.
#pragma once

#include "tdrm/model/transformer.hpp"
#include "tdrm/rollout/value_reader.hpp"
#include "tdrm/stage/context.hpp"

namespace tdrm::stage {

/// Collective. The model of a commit or of a Hugging Face folder. @throws DataError if its vocabulary isn't the task's,
/// for tasks with a tokenizer if it is smaller, or if the folder's own tokenizer has other tokens
[[nodiscard]] model::Model load_model(StageContext& context, const Input& input);

/// Collective. The value model that an input names. @throws DataError as load_model, or with Shown::text if the model
/// has fewer rows than its folder's tokenizer has tokens
[[nodiscard]] model::Model load_value_model(StageContext& context, const Input& input,
                                            const rollout::ReadOutOptions& options);

/// Collective. A scorer of that model, which must outlive it. `options` count for models named hf:DIR only.
/// @throws as rollout::value_scorer, naming the input
[[nodiscard]] rollout::Scorer value_scorer(StageContext& context, const model::Model& model, const Input& input,
                                           const rollout::ReadOutOptions& options, int unit_tokens);

}  // namespace tdrm::stage
