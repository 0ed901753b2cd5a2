// Value models as stages read them: this run's own, and reward models of others with their ways of being asked.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "tdrm/base/options.hpp"
#include "tdrm/rollout/scorer.hpp"
#include "tdrm/stage/context.hpp"
#include "tdrm/task/task.hpp"

namespace tdrm::stage {

/// Where tags stand.
enum class TagPlace { leaf, trunk };
[[nodiscard]] constexpr auto enum_names(TagPlace) {
    return std::array<std::pair<TagPlace, std::string_view>, 2>{{{TagPlace::leaf, "leaf"}, {TagPlace::trunk, "trunk"}}};
}

/// What a value model gets of a policy: its ids, or its text in ids of the value model's own tokenizer.
enum class Reads { ids, text };
[[nodiscard]] constexpr auto enum_names(Reads) {
    return std::array<std::pair<Reads, std::string_view>, 2>{{{Reads::ids, "ids"}, {Reads::text, "text"}}};
}

/// How reward models of others (hf:DIR) are read; model::ReadOut in texts.
struct ReadOutOptions {
    std::string tag, tail, positive, negative;
    TagPlace place = TagPlace::leaf;
    Reads reads = Reads::ids;    ///< with Reads::text and TagPlace::trunk, steps lose the white space around them
    std::string prompt, system;  ///< with Reads::text
    void fields(Fields& f);
};

/// What can be told to be wrong before a run; `path` is that of the read-out.
void check_read_out(const ReadOutOptions& options, const task::Task& task, const std::string& path, Problems& problems);

/// Collective. The value model that an input names. @throws DataError as load_model, or with Reads::text if the model
/// has fewer rows than its folder's tokenizer has tokens
[[nodiscard]] model::Model load_value_model(StageContext& context, const Input& input, const ReadOutOptions& options);

/// Collective. A scorer of that model, which must outlive it. `options` count for models named hf:DIR only; others are
/// read behind the task's probe. Texts are encoded with the tokenizer of the model's folder, without one with the
/// task's.
/// @throws ConfigError for texts that aren't tokens and for a model without the head; DataError if it lacks the tokens
[[nodiscard]] rollout::Scorer value_scorer(StageContext& context, const model::Model& model, const Input& input,
                                           const ReadOutOptions& options, int unit_tokens);

}  // namespace tdrm::stage
