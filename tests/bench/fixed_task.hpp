// A task whose prompts and answers all have given lengths, so that two programs can be timed on the same shape.
#pragma once

#include "tdrm/base/random.hpp"
#include "tdrm/task/task.hpp"

namespace tdrm::bench {

class FixedTask : public task::Task {
public:
    FixedTask(int vocab, int prompt_tokens, int answer_tokens)
        : vocab_(vocab), prompt_tokens_(prompt_tokens), answer_tokens_(answer_tokens) {}

    [[nodiscard]] std::string_view kind() const override { return "fixed"; }
    [[nodiscard]] std::string fingerprint() const override { return "fixed"; }
    [[nodiscard]] int vocab_size() const override { return vocab_; }
    [[nodiscard]] std::string vocabulary_fingerprint() const override { return "fixed"; }
    [[nodiscard]] std::string token_text(task::Token token) const override { return std::to_string(token); }
    [[nodiscard]] std::string text(task::TokenSpan) const override { return {}; }
    [[nodiscard]] task::Tokens parse(std::string_view) const override { return {}; }
    /// No token ends an answer.
    [[nodiscard]] task::Token end_token() const override { return -1; }
    [[nodiscard]] task::TokenSpan probe() const override { return probe_; }
    [[nodiscard]] std::vector<std::string> split_names() const override { return {"all"}; }
    [[nodiscard]] std::int64_t split_size(std::string_view) const override { return 1 << 20; }
    [[nodiscard]] std::int64_t distinct_problems(std::string_view) const override { return 1 << 20; }
    [[nodiscard]] task::Problem problem(std::string_view, std::int64_t index) const override {
        return {static_cast<std::uint64_t>(index), tokens(index, prompt_tokens_), ""};
    }
    [[nodiscard]] int max_prompt_tokens() const override { return prompt_tokens_; }
    [[nodiscard]] int max_answer_tokens() const override { return answer_tokens_; }
    [[nodiscard]] task::Tokens demonstration(const task::Problem& problem, std::uint64_t,
                                             std::uint64_t) const override {
        return tokens(static_cast<std::int64_t>(problem.id) + (1 << 21), answer_tokens_);
    }
    /// Half of the answers are right, whatever they say.
    [[nodiscard]] task::Verdict verdict(const task::Problem&, task::TokenSpan answer) const override {
        return {!answer.empty() && answer.back() % 2 == 0, "", task::Reason::correct};
    }
    [[nodiscard]] std::vector<std::int32_t> step_ends(task::TokenSpan answer) const override {
        return {static_cast<std::int32_t>(answer.size())};
    }
    [[nodiscard]] std::unique_ptr<task::StepTracker> track_steps() const override {
        struct Never final : task::StepTracker {
            bool push(task::Token) override { return false; }
            [[nodiscard]] std::unique_ptr<task::StepTracker> clone() const override {
                return std::make_unique<Never>();
            }
        };
        return std::make_unique<Never>();
    }
    [[nodiscard]] std::int64_t penultimate(task::TokenSpan, std::span<const std::int32_t>) const override { return 0; }
    [[nodiscard]] task::TruthKind truth_kind() const override { return task::TruthKind::none; }
    [[nodiscard]] std::vector<float> truth(const task::Problem&, task::TokenSpan,
                                           std::span<const std::int32_t>) const override {
        return {};
    }
    [[nodiscard]] std::vector<std::uint8_t> step_right(const task::Problem&, task::TokenSpan,
                                                       std::span<const std::int32_t>) const override {
        return {};
    }

private:
    [[nodiscard]] task::Tokens tokens(std::int64_t index, int count) const {
        Random random(random_key(1, "fixed task", static_cast<std::uint64_t>(index)));
        task::Tokens result;
        for (int i = 0; i < count; ++i)
            result.push_back(static_cast<task::Token>(random.next_below(static_cast<std::uint64_t>(vocab_))));
        return result;
    }

    int vocab_, prompt_tokens_, answer_tokens_;
    task::Tokens probe_{0};
};

}  // namespace tdrm::bench
