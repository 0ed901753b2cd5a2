// Mathematics problems from files, for language models: text in, token ids out, answers judged by the verifier.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tdrm/task/task.hpp"
#include "tdrm/task/text/text_format.hpp"
#include "tdrm/text/step_splitter.hpp"

namespace tdrm::task {

/// A problem as its file tells it.
struct TextProblem {
    std::uint64_t id = 0;
    std::string name;                             ///< for messages: "train.jsonl line 7"
    std::string question;                         ///< of a conversation the first user turn
    std::string answer;                           ///< gold; empty for conversations
    std::string solution;                         ///< worked solution; empty if the file has none
    std::optional<double> tolerance;              ///< numbers of an answer may differ by this much
    std::vector<text::ChatMessage> conversation;  ///< of a chat file; otherwise empty
};

struct TextSplit {
    std::string name;
    std::vector<TextProblem> problems;
};

/// How a problem that can't be used is met: by an error, or by leaving it out and saying how many were.
enum class Unusable { error, drop };
[[nodiscard]] constexpr auto enum_names(Unusable) {
    return std::array<std::pair<Unusable, std::string_view>, 2>{{{Unusable::error, "error"}, {Unusable::drop, "drop"}}};
}

struct TextTaskOptions {
    TextFormatOptions format;
    text::StepOptions steps;
    int max_prompt_tokens = 1024;
    int max_answer_tokens = 2048;
    Unusable too_long = Unusable::error;
};

/// Task of kind `text`. States and steps are those of text::StepSplitter on the generated ids. The text behind the last
/// delimiter is a step too if an end token follows; end tokens themselves are never part of a step, since the value of
/// a state is read at a probe that begins with such a token. No truth is known.
class TextTask final : public Task {
public:
    /// Encodes all prompts. @throws ConfigError, IoError or DataError as TextFormat does; DataError naming the problem
    /// whose prompt is too long, unless those are dropped.
    /// @param notes what there is to say about the splits
    TextTask(const TextTaskOptions& options, std::vector<TextSplit> splits, std::vector<std::string> notes = {});

    [[nodiscard]] const TextFormat& format() const { return format_; }
    /// See TextFormat.
    [[nodiscard]] Tokens prompt_ids(std::string_view question) const { return format_.prompt_ids(question); }
    [[nodiscard]] Tokens encode_answer(std::string_view text) const { return format_.encode_answer(text); }

    [[nodiscard]] std::string_view kind() const override { return "text"; }
    [[nodiscard]] std::string fingerprint() const override { return fingerprint_; }
    [[nodiscard]] int vocab_size() const override { return format_.tokenizer().vocab_size(); }
    [[nodiscard]] std::string vocabulary_fingerprint() const override { return format_.tokenizer().fingerprint(); }
    /// U+FFFD for ids above the tokenizer's: models have spare rows, which a policy may draw. `text` leaves them out.
    [[nodiscard]] std::string token_text(Token token) const override;
    [[nodiscard]] std::string text(TokenSpan tokens) const override;
    [[nodiscard]] Tokens parse(std::string_view text) const override { return encode_answer(text); }
    [[nodiscard]] const text::Tokenizer* tokenizer() const override { return &format_.tokenizer(); }
    [[nodiscard]] Token end_token() const override { return format_.end_token(); }
    [[nodiscard]] Tokens end_tokens() const override { return format_.end_tokens(); }
    [[nodiscard]] TokenSpan probe() const override { return format_.probe(); }
    [[nodiscard]] Tokens value_prompt(TokenSpan prompt) const override { return format_.value_prompt(prompt); }

    [[nodiscard]] std::string prompt_form() const override;
    [[nodiscard]] Tokens question_ids(std::string_view question) const override {
        return format_.value_prompt_ids(question);
    }
    [[nodiscard]] std::string question_of(TokenSpan prompt) const override { return format_.question_of(prompt); }

    [[nodiscard]] std::vector<std::string> split_names() const override;
    [[nodiscard]] std::int64_t split_size(std::string_view split) const override;
    /// Problems that differ in more than case, punctuation and white space.
    [[nodiscard]] std::int64_t distinct_problems(std::string_view split) const override;
    [[nodiscard]] Problem problem(std::string_view name, std::int64_t index) const override;
    [[nodiscard]] int max_prompt_tokens() const override { return longest_prompt_; }
    [[nodiscard]] int max_answer_tokens() const override { return options_.max_answer_tokens; }

    /// The problem's solution and the end token; of a conversation all ids behind the first turn's prompt.
    /// @throws DataError if the problem's file has no solutions.
    [[nodiscard]] Tokens demonstration(const Problem& problem, std::uint64_t seed, std::uint64_t visit) const override;
    /// Of a conversation the assistant's turns with their end tokens.
    [[nodiscard]] std::vector<std::uint8_t> learnt_tokens(const Problem& problem, std::uint64_t seed,
                                                          std::uint64_t visit) const override;
    [[nodiscard]] Verdict verdict(const Problem& problem, TokenSpan answer) const override;
    /// By the verifier: 1/2 and 0.5 are one class of votes.
    [[nodiscard]] bool same_answer(std::string_view a, std::string_view b) const override;
    [[nodiscard]] std::vector<std::int32_t> step_ends(TokenSpan answer) const override;
    [[nodiscard]] std::unique_ptr<StepTracker> track_steps() const override;
    [[nodiscard]] std::int64_t penultimate(TokenSpan answer, std::span<const std::int32_t> step_ends) const override;

    [[nodiscard]] TruthKind truth_kind() const override { return TruthKind::none; }
    [[nodiscard]] std::vector<float> truth(const Problem&, TokenSpan, std::span<const std::int32_t>) const override {
        return {};
    }
    [[nodiscard]] std::vector<std::uint8_t> step_right(const Problem&, TokenSpan,
                                                       std::span<const std::int32_t>) const override {
        return {};
    }

    /// The problem with an id, as its file tells it; null for an unknown id.
    [[nodiscard]] const TextProblem* source(std::uint64_t id) const;
    [[nodiscard]] std::vector<std::string> notes() const override { return notes_; }

private:
    struct Split {
        std::string name;
        std::vector<TextProblem> problems;
        std::vector<Tokens> prompts;
    };
    [[nodiscard]] bool ends(Token token) const;
    [[nodiscard]] const Split& find(std::string_view name) const;
    [[nodiscard]] Tokens prompt_of(const TextProblem& problem) const;
    void add(TextSplit&& from);

    TextTaskOptions options_;
    TextFormat format_;
    std::vector<Split> splits_;
    std::unordered_map<std::uint64_t, const TextProblem*> by_id_;
    int longest_prompt_ = 0;
    std::vector<std::string> notes_;
    std::string fingerprint_;
};

}  // namespace tdrm::task
