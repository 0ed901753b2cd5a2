// Which ids a value model is shown of what a policy wrote, and where it says the value: our own models, and reward
// models of others with their ways of being asked.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tdrm/base/options.hpp"
#include "tdrm/rollout/scorer.hpp"
#include "tdrm/task/task.hpp"
#include "tdrm/task/text/translation.hpp"

namespace tdrm::rollout {

/// What a value model is shown of a policy: its ids, or its text in ids of the value model's own tokenizer.
enum class Shown { ids, text };
[[nodiscard]] constexpr auto enum_names(Shown) {
    return std::array<std::pair<Shown, std::string_view>, 2>{{{Shown::ids, "ids"}, {Shown::text, "text"}}};
}

/// How reward models of others (hf:DIR) are read; model::ReadOut in texts.
struct ReadOutOptions {
    std::string tag, tail, positive, negative;
    std::vector<double> bins;
    model::TagPlace place = model::TagPlace::leaf;
    Shown reads = Shown::ids;    ///< with Shown::text and place trunk, steps lose the white space around them
    std::string prompt, system;  ///< with Shown::text
    task::StepForm steps = task::StepForm::text;
    task::Pieces pieces = task::Pieces::joined;
    void fields(Fields& f);
};

/// What can be told to be wrong before a run; `path` is that of the read-out.
void check_read_out(const ReadOutOptions& options, const task::Task& task, const std::string& path, Problems& problems);

/// Local. A scorer of a model, which must outlive it, and so must the task. Texts are encoded with the tokenizer of the
/// model's folder, without one with the task's.
/// @param foreign folder of somebody else's model; a model of ours has none and is read behind the task's probe,
/// whatever the options say
/// @throws ConfigError for texts that aren't tokens and for a model without the head; DataError if it lacks the tokens
[[nodiscard]] Scorer value_scorer(const task::Task& task, engine::Engine& model,
                                  const std::optional<std::filesystem::path>& foreign, const ReadOutOptions& options,
                                  int unit_tokens);

}  // namespace tdrm::rollout
