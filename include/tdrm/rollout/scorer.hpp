// Values of all states of a solution in one pass: the solution is a trunk, and at each step end hangs a probe.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "tdrm/model/forest.hpp"
#include "tdrm/model/read_out.hpp"
#include "tdrm/model/transformer.hpp"
#include "tdrm/rollout/trajectories.hpp"

namespace tdrm::rollout {

/// Tokens of a scoring pass where no option says otherwise.
inline constexpr int kScoreTokens = 4096;

/// An answer under a prompt, with the states whose value is wanted: state k is the prompt and the first ends[k] answer
/// tokens; ends[0] is usually 0, the state s_0.
struct ScoredAnswer {
    task::TokenSpan ids;
    std::vector<std::int32_t> ends;
};

/// Adds a prompt with its answers and their probes to a forest: prompt as root, answers as children, probes as leaves.
/// Answers see the prompt alone, probes see their prefix alone, so each value is what scoring that prefix alone gives.
/// @param rows appended: for each answer and state the flat index of its probe's last token
void add_states(model::Forest& forest, task::TokenSpan prompt, std::span<const ScoredAnswer> answers,
                task::TokenSpan probe, std::vector<std::int32_t>& rows);

/// The same for a read-out whose tags stand in the trunk: after each of its states an answer goes on behind tag and
/// tail. s_0 has a leaf, since the models of this form were trained without it.
void add_tagged_states(model::Forest& forest, task::TokenSpan prompt, std::span<const ScoredAnswer> answers,
                       const model::ReadOut& read_out, std::vector<std::int32_t>& rows);

/// States s_0..s_T of a row of a table.
[[nodiscard]] ScoredAnswer all_states(const Trajectories& data, std::size_t row);

/// Number of tokens that an answer adds to a forest, its probes included.
[[nodiscard]] std::size_t forest_tokens(const ScoredAnswer& answer, std::size_t probe_tokens);

/// What a value model is shown of what a policy wrote, where that isn't id by id.
struct ValueView {
    /// In place of a prompt.
    std::function<task::Tokens(task::TokenSpan prompt)> prompt;
    /// In place of an answer, if the answers' ids change too: then prompts are whole prompts, and answers
    /// begin at their beginning.
    std::function<task::AnswerIds(task::TokenSpan ids, std::span<const std::int32_t> ends)> answer = {};
};
/// Prompts as the task has them for value models. The task must outlive the view.
[[nodiscard]] ValueView value_prompts_of(const task::Task& task);

/// Scores with one frozen value model. Local.
class Scorer {
public:
    /// Reads a value head behind a probe.
    Scorer(const model::Model& model, task::TokenSpan probe, int unit_tokens);
    /// @throws ConfigError if the model has another head than the read-out asks for, DataError if it lacks the tokens
    Scorer(const model::Model& model, model::ReadOut read_out, int unit_tokens);

    /// What it is shown of prompts and answers from now on.
    void show(ValueView view) { view_ = std::move(view); }

    /// Value logits of every state of every answer; the answers share the prompt.
    /// Groups larger than unit_tokens are cut into several passes.
    std::vector<std::vector<float>> score(task::TokenSpan prompt, std::span<const ScoredAnswer> answers);

    /// Whether a state's value depends on where the steps before it ended: their tags stand in the trunk, or each is
    /// encoded again.
    [[nodiscard]] bool needs_all_states() const { return read_out_.place == model::TagPlace::trunk || view_.answer; }

private:
    /// The same, of what the value model is shown.
    std::vector<std::vector<float>> score_shown(task::TokenSpan prompt, std::span<const ScoredAnswer> answers);

    model::Transformer transformer_;
    model::ReadOut read_out_;
    ValueView view_;
    std::size_t unit_tokens_;
    model::Workspace work_;
    model::Forest forest_;
    std::vector<std::int32_t> rows_;
};

}  // namespace tdrm::rollout
