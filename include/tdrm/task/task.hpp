// What a policy is asked to do and how its answers are judged: problems, splits, demonstrations, verdicts and, for the
// built-in tasks, the exact truth of every state. Token ids are the truth; text is for people.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tdrm::text {
class Tokenizer;
}

namespace tdrm::task {

using Token = std::int32_t;
using Tokens = std::vector<Token>;
using TokenSpan = std::span<const Token>;

/// Split names with their numbers of problems, in the order in which they are filled.
using SplitSizes = std::vector<std::pair<std::string, std::int64_t>>;

struct Problem {
    std::uint64_t id = 0;  ///< unique over all splits of the task
    Tokens prompt;
    std::string answer;  ///< canonical text of the gold answer or target
};

/// Which of a split's problems, or of other items, is drawn, and for how many times it was drawn before.
struct Draw {
    std::int64_t index = 0;
    std::int64_t visit = 0;
};

/// An answer with the ends of its states: state k is the first ends[k] ids.
struct AnswerIds {
    Tokens ids;
    std::vector<std::int32_t> ends;
};

/// How an answer ended: by the end token, or cut for length.
enum class Finish : std::uint8_t { stop = 0, length = 1 };

/// Why a verdict is what it is. The numbers are stored in files: append only.
enum class Reason : std::uint8_t {
    correct = 0,
    correct_despite_error = 1,  ///< the answer is right although a step is wrong (errors that cancel)
    wrong_answer = 2,
    no_answer = 3,              ///< ended without an answer, or before all numbers were used
    truncated = 4,              ///< no end token
    trailing_tokens = 5,        ///< tokens after the answer, or after the end token
    malformed_step = 6,         ///< not of the grammar
    number_reused = 7,          ///< an operand that was there, but is used up
    number_unavailable = 8,     ///< an operand that never was there
    smaller_first = 9,          ///< operands must come larger first
    inexact_division = 10,      ///< the quotient isn't an integer
    result_out_of_bounds = 11,  ///< the right result is below 1 or above the bound
    wrong_arithmetic = 12,      ///< the written result isn't the right one
};
inline constexpr int kReasons = 13;
/// Name of a reason, as spelled above; "unknown" for a number without a name.
[[nodiscard]] std::string_view name(Reason reason);

struct Verdict {
    bool correct = false;
    std::string answer;  ///< canonical text of the answer given, for majority votes; empty if there is none
    Reason reason = Reason::no_answer;
};

/// What `Task::truth` tells about a state.
enum class TruthKind : std::uint8_t {
    none = 0,             ///< not known; `truth` and `step_right` are empty
    no_error_so_far = 1,  ///< 1 while every step so far is right
    reachable = 2,        ///< 1 while optimal play from here still gives a right answer
};

/// Finds the steps of an answer while it is written, a token at a time.
class StepTracker {
public:
    virtual ~StepTracker() = default;
    /// Takes the answer's next token, which is no end token. Whether a step ends with it (as Task::step_ends tells).
    virtual bool push(Token token) = 0;
    [[nodiscard]] virtual std::unique_ptr<StepTracker> clone() const = 0;
};

/// A task: const, deterministic from its options and seed, safe for concurrent calls.
///
/// States of an answer with T steps are s_0 (the prompt alone) to s_T (after step T); a tail after the last step end is
/// no state. "Answer" means the ids after the prompt, with the end token if it was produced.
class Task {
public:
    virtual ~Task() = default;
    Task() = default;
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;

    [[nodiscard]] virtual std::string_view kind() const = 0;
    /// Hash of everything that decides problems, verdicts and demonstrations: kind, options, splits, seed, vocabulary.
    [[nodiscard]] virtual std::string fingerprint() const = 0;

    // Vocabulary.
    [[nodiscard]] virtual int vocab_size() const = 0;
    /// Hash of the tokens alone: models and trajectories fit together if it is equal.
    [[nodiscard]] virtual std::string vocabulary_fingerprint() const = 0;
    /// @throws DataError if the id isn't in [0, vocab_size()).
    [[nodiscard]] virtual std::string token_text(Token token) const = 0;
    /// Text for people; `parse` is its inverse. @throws DataError for an unknown id.
    [[nodiscard]] virtual std::string text(TokenSpan tokens) const = 0;
    /// @throws DataError naming the word that isn't in the vocabulary.
    [[nodiscard]] virtual Tokens parse(std::string_view text) const = 0;
    /// The tokenizer whose ids these are; null for tasks in words of their own.
    [[nodiscard]] virtual const text::Tokenizer* tokenizer() const { return nullptr; }
    [[nodiscard]] virtual Token end_token() const = 0;
    /// Tokens that end an answer, `end_token` first: some models were taught several.
    [[nodiscard]] virtual Tokens end_tokens() const { return {end_token()}; }
    /// Tokens at whose last one a value model reads the value of a state. They never occur in prompts and answers.
    [[nodiscard]] virtual TokenSpan probe() const = 0;
    /// What a value model reads in place of `prompt`, a problem's prompt or one with the begin of an answer behind it.
    /// The same ids, but for tasks whose policy has instructions that value models don't get.
    [[nodiscard]] virtual Tokens value_prompt(TokenSpan prompt) const { return {prompt.begin(), prompt.end()}; }

    // Prompts.
    /// How a question becomes a prompt: "none" if it is the prompt, "plain" for a text around it, "chat:" and the hash
    /// of the template for a turn of a conversation.
    [[nodiscard]] virtual std::string prompt_form() const { return "none"; }
    /// The prompt of a question as a value model reads it. @throws DataError as parse
    [[nodiscard]] virtual Tokens question_ids(std::string_view question) const { return parse(question); }
    /// The question of a prompt, the policy's or a value model's. @throws DataError if it isn't one of this task
    [[nodiscard]] virtual std::string question_of(TokenSpan prompt) const { return text(prompt); }

    // Problems.
    [[nodiscard]] virtual std::vector<std::string> split_names() const = 0;
    /// @throws ConfigError with the known names and the nearest spelling if there is no such split.
    [[nodiscard]] virtual std::int64_t split_size(std::string_view split) const = 0;
    /// Number of problems of a split that differ in more than the order of their parts. Linear in the split's size.
    [[nodiscard]] virtual std::int64_t distinct_problems(std::string_view split) const = 0;
    /// Problem `index` in [0, split_size) of a split; constant time. @throws ConfigError for an unknown split,
    /// DataError for an index out of range.
    [[nodiscard]] virtual Problem problem(std::string_view split, std::int64_t index) const = 0;
    [[nodiscard]] virtual int max_prompt_tokens() const = 0;
    /// Length of the longest right answer with its end token.
    [[nodiscard]] virtual int max_answer_tokens() const = 0;

    /// What a user should know before a run starts, one sentence each: problems in two splits, say.
    [[nodiscard]] virtual std::vector<std::string> notes() const { return {}; }

    // Answers.
    /// A solution with its end token, a function of (problem, seed, visit). Right unless the options ask for noise.
    [[nodiscard]] virtual Tokens demonstration(const Problem& problem, std::uint64_t seed,
                                               std::uint64_t visit) const = 0;
    /// For each token of that demonstration whether it is learnt: 1 or 0; empty = all are.
    [[nodiscard]] virtual std::vector<std::uint8_t> learnt_tokens(const Problem&, std::uint64_t, std::uint64_t) const {
        return {};
    }
    /// Judges any ids at all; never throws for what a policy may produce.
    [[nodiscard]] virtual Verdict verdict(const Problem& problem, TokenSpan answer) const = 0;
    /// For each step the index one past its last token, strictly increasing. Bounded: a run without a delimiter is cut,
    /// empty steps are merged with the next one, and steps beyond the bound with the last one.
    [[nodiscard]] virtual std::vector<std::int32_t> step_ends(TokenSpan answer) const = 0;
    /// The same for an answer that is being written. The task must outlive it.
    [[nodiscard]] virtual std::unique_ptr<StepTracker> track_steps() const = 0;
    /// t of the penultimate state s_t: the one before the first step that holds the answer marker, but at least s_1;
    /// s_T if no step holds the marker or T <= 1 (the cutter of the published code, arXiv 2509.15110).
    [[nodiscard]] virtual std::int64_t penultimate(TokenSpan answer, std::span<const std::int32_t> step_ends) const = 0;

    // Exact truth.
    [[nodiscard]] virtual TruthKind truth_kind() const = 0;
    /// Truth of the states s_0 ... s_T, T + 1 numbers in [0, 1].
    [[nodiscard]] virtual std::vector<float> truth(const Problem& problem, TokenSpan answer,
                                                   std::span<const std::int32_t> step_ends) const = 0;
    /// For each of the T steps: is it right in itself, given what was written before.
    [[nodiscard]] virtual std::vector<std::uint8_t> step_right(const Problem& problem, TokenSpan answer,
                                                               std::span<const std::int32_t> step_ends) const = 0;

    // The scripted policy: who writes the demonstrations.
    /// How it plays, in words; empty if nobody knows its values.
    [[nodiscard]] virtual std::string scripted_policy() const { return ""; }
    /// Exact V^pi of the states s_0 ... s_T for this policy: the chance that an answer which it completes from there is
    /// right. T + 1 numbers in [0, 1], NaN for a state that it can't go on from; empty if nobody knows.
    [[nodiscard]] virtual std::vector<float> scripted_value(const Problem&, TokenSpan,
                                                            std::span<const std::int32_t>) const {
        return {};
    }
    /// What this policy writes behind `begun`, whole steps of an answer, to the end token: a function of (problem,
    /// begun, seed, visit), and behind nothing the demonstration. Only for tasks whose `scripted_policy` isn't empty.
    /// @throws DataError if it can't go on from there
    [[nodiscard]] virtual Tokens scripted_rest(const Problem& problem, TokenSpan begun, std::uint64_t seed,
                                               std::uint64_t visit) const;
    /// Whether two canonical answers (Verdict::answer, neither empty) say the same: classes of votes.
    [[nodiscard]] virtual bool same_answer(std::string_view a, std::string_view b) const { return a == b; }
};

}  // namespace tdrm::task
