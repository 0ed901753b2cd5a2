// A text task before its tokenizer and problems are there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tdrm/task/task.hpp"

namespace tdrm::task {

/// What the options of a text task tell without its files: names and sizes of splits, and bounds. That is enough to
/// plan; all other functions throw BugError.
class PlannedTextTask final : public Task {
public:
    /// @param sizes of the splits; nothing where only the file knows
    PlannedTextTask(std::vector<std::pair<std::string, std::optional<std::int64_t>>> sizes, int max_prompt_tokens,
                    int max_answer_tokens)
        : sizes_(std::move(sizes)), max_prompt_tokens_(max_prompt_tokens), max_answer_tokens_(max_answer_tokens) {}

    [[nodiscard]] std::string_view kind() const override { return "text"; }
    /// 0: it isn't known.
    [[nodiscard]] int vocab_size() const override { return 0; }
    [[nodiscard]] std::vector<std::string> split_names() const override;
    /// @throws ConfigError for an unknown split, and for one whose size isn't known
    [[nodiscard]] std::int64_t split_size(std::string_view split) const override;
    /// The bound that the options give: the longest prompt isn't known.
    [[nodiscard]] int max_prompt_tokens() const override { return max_prompt_tokens_; }
    [[nodiscard]] int max_answer_tokens() const override { return max_answer_tokens_; }
    [[nodiscard]] TruthKind truth_kind() const override { return TruthKind::none; }

    [[nodiscard]] std::string fingerprint() const override { unread(); }
    [[nodiscard]] std::string vocabulary_fingerprint() const override { unread(); }
    [[nodiscard]] std::string token_text(Token) const override { unread(); }
    [[nodiscard]] std::string text(TokenSpan) const override { unread(); }
    [[nodiscard]] Tokens parse(std::string_view) const override { unread(); }
    [[nodiscard]] Token end_token() const override { unread(); }
    [[nodiscard]] TokenSpan probe() const override { unread(); }
    [[nodiscard]] std::int64_t distinct_problems(std::string_view) const override { unread(); }
    [[nodiscard]] Problem problem(std::string_view, std::int64_t) const override { unread(); }
    [[nodiscard]] Tokens demonstration(const Problem&, std::uint64_t, std::uint64_t) const override { unread(); }
    [[nodiscard]] Verdict verdict(const Problem&, TokenSpan) const override { unread(); }
    [[nodiscard]] std::vector<std::int32_t> step_ends(TokenSpan) const override { unread(); }
    [[nodiscard]] std::unique_ptr<StepTracker> track_steps() const override { unread(); }
    [[nodiscard]] std::int64_t penultimate(TokenSpan, std::span<const std::int32_t>) const override { unread(); }
    [[nodiscard]] std::vector<float> truth(const Problem&, TokenSpan, std::span<const std::int32_t>) const override {
        unread();
    }
    [[nodiscard]] std::vector<std::uint8_t> step_right(const Problem&, TokenSpan,
                                                       std::span<const std::int32_t>) const override {
        unread();
    }

private:
    [[noreturn]] static void unread();

    std::vector<std::pair<std::string, std::optional<std::int64_t>>> sizes_;
    int max_prompt_tokens_, max_answer_tokens_;
};

}  // namespace tdrm::task
