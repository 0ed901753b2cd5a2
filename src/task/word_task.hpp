// What the built-in tasks share: a vocabulary of words, disjoint splits, steps that end with ';'. Private to the room.
#pragma once

#include <optional>
#include <unordered_map>

#include "splits.hpp"
#include "tdrm/base/random.hpp"
#include "tdrm/task/task.hpp"

namespace tdrm::task {

/// Ids of the words before the numbers; the same in all built-in tasks.
/// The first id, a filler in earlier vocabularies, occurs in no text.
enum Word : Token { kFiller, kEnd, kValue, kAsk, kAnswer, kDelimiter, kEquals, kPlus, kMinus, kTimes, kDivide };

/// `a op b = c ;`
struct Equation {
    int a;
    Token op;
    int b;
    int c;
};

inline constexpr std::size_t kEquationTokens = 6;

/// Bounds of the splitter: twice a right step, and as many steps as an answer can have with some to spare.
inline constexpr std::size_t kMaxStepTokens = 12;
inline constexpr std::size_t kMaxSteps = 32;

class WordTask : public Task {
public:
    [[nodiscard]] std::string_view kind() const override { return kind_; }
    [[nodiscard]] std::string fingerprint() const override;
    [[nodiscard]] int vocab_size() const override { return static_cast<int>(words_.size()); }
    [[nodiscard]] std::string vocabulary_fingerprint() const override;
    [[nodiscard]] std::string token_text(Token token) const override;
    [[nodiscard]] std::string text(TokenSpan tokens) const override;
    [[nodiscard]] Tokens parse(std::string_view text) const override;
    [[nodiscard]] Token end_token() const override { return kEnd; }
    [[nodiscard]] TokenSpan probe() const override;

    [[nodiscard]] std::vector<std::string> split_names() const override { return splits_.names(); }
    [[nodiscard]] std::int64_t split_size(std::string_view split) const override { return splits_.size(split); }
    [[nodiscard]] std::int64_t distinct_problems(std::string_view s) const override { return splits_.distinct(s); }
    [[nodiscard]] Problem problem(std::string_view split, std::int64_t index) const override;

    [[nodiscard]] Tokens demonstration(const Problem& problem, std::uint64_t seed, std::uint64_t visit) const override {
        return scripted_rest(problem, {}, seed, visit);
    }
    [[nodiscard]] std::vector<std::int32_t> step_ends(TokenSpan answer) const override;
    [[nodiscard]] std::unique_ptr<StepTracker> track_steps() const override;

protected:
    /// What scripted_rest throws. @param why e.g. "a step isn't legal"
    [[noreturn]] static void cannot_go_on(const Problem& problem, std::string_view why);
    /// @param answer_word     the word with id kAnswer
    /// @param options         text of all options, for the fingerprint
    WordTask(std::string kind, std::string answer_word, bool with_division, int smallest, int largest,
             std::string options, Splits splits);

    /// The problem that a random stream gives; without its id.
    [[nodiscard]] virtual Problem draw(Random& random) const = 0;
    /// Whether the end token closes a last step, or is a tail.
    [[nodiscard]] virtual bool end_closes_step() const = 0;

    [[nodiscard]] Token number_token(int number) const { return first_number_ + number - smallest_; }
    [[nodiscard]] bool is_number(Token token) const { return token >= first_number_ && token < vocab_size(); }
    [[nodiscard]] int number(Token token) const { return token - first_number_ + smallest_; }
    [[nodiscard]] bool is_operator(Token token) const { return token >= kPlus && token < first_number_; }
    void write(Tokens& tokens, const Equation& equation) const;
    /// How many tokens from the front follow the grammar of an equation, 0 to 6.
    [[nodiscard]] std::size_t match_equation(TokenSpan tokens) const;
    /// The equation if the tokens are exactly one.
    [[nodiscard]] std::optional<Equation> equation(TokenSpan tokens) const;

private:
    std::string kind_;
    std::string options_;
    Splits splits_;
    int smallest_;
    Token first_number_;
    std::vector<std::string> words_;
    std::unordered_map<std::string, Token> ids_;
};

/// Tokens of step t (0-based).
[[nodiscard]] inline TokenSpan step_tokens(TokenSpan answer, std::span<const std::int32_t> step_ends, std::size_t t) {
    const auto begin = static_cast<std::size_t>(t == 0 ? 0 : step_ends[t - 1]);
    return answer.subspan(begin, static_cast<std::size_t>(step_ends[t]) - begin);
}

/// Splits as text, for fingerprints.
[[nodiscard]] std::string describe_splits(const SplitSizes& sizes, const std::vector<std::string>& repeating);

/// @throws ConfigError that lists the problems, if there are any.
void refuse(std::string_view kind, const std::vector<std::string>& problems);

}  // namespace tdrm::task
