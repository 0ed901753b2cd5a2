// Values of all states of a solution in one pass: the solution is a trunk, and at each step end hangs a probe.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "tdrm/engine/engine.hpp"
#include "tdrm/model/forest.hpp"
#include "tdrm/model/read_out.hpp"
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
    Scorer(engine::Engine& engine, task::TokenSpan probe, int unit_tokens);
    /// @throws ConfigError if the model has another head than the read-out asks for, DataError if it lacks the tokens
    Scorer(engine::Engine& engine, model::ReadOut read_out, int unit_tokens);

    /// What it is shown of prompts and answers from now on.
    void show(ValueView view) { view_ = std::move(view); }

    /// Value logits of every state of every answer; the answers share the prompt.
    /// Groups larger than unit_tokens are cut into several passes.
    std::vector<std::vector<float>> score(task::TokenSpan prompt, std::span<const ScoredAnswer> answers);

    /// Normed last hidden states at the same places, `width` numbers each: what a value head reads there.
    std::vector<float> features(task::TokenSpan prompt, std::span<const ScoredAnswer> answers);

    /// engine::Engine::rest of its engine.
    void rest() { engine_->rest(); }

    /// Tokens that `score` and `features` have computed so far.
    [[nodiscard]] std::int64_t tokens() const { return tokens_; }
    /// Those among them that the answers to a prompt share in a pass: the prompt as it is shown, and the probe of s_0.
    [[nodiscard]] std::int64_t shared_tokens(task::TokenSpan prompt) const {
        return (view_.prompt ? std::ssize(view_.prompt(prompt)) : std::ssize(prompt)) + std::ssize(read_out_.tag);
    }

    /// Whether a state's value depends on where the steps before it ended: their tags stand in the trunk, or each is
    /// encoded again.
    [[nodiscard]] bool needs_all_states() const { return read_out_.place == model::TagPlace::trunk || view_.answer; }

private:
    /// Passes over answers as the value model is shown them. `read` is told each pass's rows and which answers it has.
    void each_pass(task::TokenSpan prompt, std::span<const ScoredAnswer> answers,
                   const std::function<void(engine::Rows rows, std::span<const ScoredAnswer> answers)>& read);
    void each_shown_pass(task::TokenSpan prompt, std::span<const ScoredAnswer> answers,
                         const std::function<void(engine::Rows rows, std::span<const ScoredAnswer> answers)>& read);

    friend class PathScorer;

    engine::Engine* engine_;
    model::ReadOut read_out_;
    ValueView view_;
    std::size_t unit_tokens_;
    std::int64_t tokens_ = 0;
    model::Forest forest_;
    std::vector<std::int32_t> rows_;
};

/// Values along paths that grow step by step: what a path holds stays in the value model's cache, so a step costs its
/// own tokens and a probe. For scorers whose values don't depend on the steps before (not `needs_all_states`). Local.
class PathScorer {
public:
    explicit PathScorer(const Scorer& scorer) : scorer_(scorer) {}

    /// Tokens that the value model reads of a prompt, and behind each state.
    [[nodiscard]] std::int64_t prompt_tokens(task::TokenSpan prompt) const;
    [[nodiscard]] std::int64_t probe_tokens() const { return std::ssize(scorer_.read_out_.tag); }
    /// Makes room for paths of so many tokens; none may be open.
    void reserve(std::int64_t tokens);

    /// Paths that hold the prompts.
    [[nodiscard]] std::vector<int> begin(std::span<const task::TokenSpan> prompts);

    /// A step to try behind a path: the state behind its first `end` tokens is wanted.
    struct Step {
        int path;
        task::TokenSpan ids;
        std::int32_t end;  ///< 0: the state at the end of the path itself
    };
    struct Scored {
        float value;  ///< logit
        int path;     ///< a new path: the old one and the first `end` tokens
    };
    [[nodiscard]] std::vector<Scored> score(std::span<const Step> steps);
    /// Lengthens a path without asking for a value.
    void append(int path, task::TokenSpan ids);
    /// Those behind it must be closed already.
    void close(int path);

private:
    void append_all(std::span<const engine::Append> runs);

    const Scorer& scorer_;
    std::unique_ptr<engine::Decoder> decoder_;
};

}  // namespace tdrm::rollout
