// How questions and answers become the token ids of a language model: its tokenizer, and its chat template or a plain
// prompt.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tdrm/task/task.hpp"
#include "tdrm/text/chat_template.hpp"
#include "tdrm/text/tokenizer.hpp"

namespace tdrm::task {

struct TextFormatOptions {
    std::string tokenizer;  ///< folder with tokenizer.json and, for chat, the chat template
    std::string prompt;     ///< plain prompt with {question}; empty = the folder's chat template
    std::string system;     ///< system turn of the policy's prompts; empty = none of our own
    std::string family;     ///< what the chat template must be; empty = any
    std::string end;        ///< token that ends an answer; empty = as the template or the folder has it
    std::string probe;      ///< text at whose last token values are read; empty = the end of a turn
    /// What becomes of the thinking parts of a conversation's answers.
    text::Thinking thinking = text::Thinking::template_default;
    std::string variables;           ///< of the chat template, a JSON object; empty = none
    bool value_sees_system = false;  ///< whether value models get the system turn too
    bool ends = true;                ///< false: nobody answers in this format, so an end token may be missing

    /// All problems with these options, one sentence each; empty if there are none.
    [[nodiscard]] std::vector<std::string> validate() const;
};

/// A conversation as ids, for supervised fine-tuning.
struct Conversation {
    Tokens ids;
    std::vector<std::uint8_t> learnt;  ///< 1 for the tokens of assistant turns and the token that ends each
};

/// Local, immutable; calls from several threads are safe but take turns at the tokenizer.
class TextFormat {
public:
    /// @throws ConfigError for options that can't be, or if the system turn can't be told from the question and
    /// `value_sees_system` is false; IoError or DataError if the folder's files are missing, broken, or don't fit each
    /// other (a mark of the template that isn't one token of the tokenizer, an eos_token_id beyond its tokens).
    explicit TextFormat(const TextFormatOptions& options);

    [[nodiscard]] const text::Tokenizer& tokenizer() const { return tokenizer_; }
    /// Null for plain prompts.
    [[nodiscard]] const text::ChatTemplate* chat() const { return chat_ ? &*chat_ : nullptr; }
    [[nodiscard]] Token end_token() const { return end_tokens_.front(); }  ///< only with `ends`
    /// The end token, and unless `end` names it what the folder lists as eos_token_id in generation_config.json, else
    /// in config.json.
    [[nodiscard]] const Tokens& end_tokens() const { return end_tokens_; }
    [[nodiscard]] TokenSpan probe() const { return probe_; }

    /// What the policy goes on from: system turn, question, generation prompt; or the plain prompt.
    [[nodiscard]] Tokens prompt_ids(std::string_view question) const;
    /// What value models see in its place: without our system turn, unless `value_sees_system`.
    [[nodiscard]] Tokens value_prompt_ids(std::string_view question) const;
    /// The same from ids: prompt_ids(q) + x becomes value_prompt_ids(q) + x. Other ids stay as they are.
    [[nodiscard]] Tokens value_prompt(TokenSpan prompt) const;
    /// The question of a prompt, of the policy's or of value models: prompt_ids of it, or value_prompt_ids, is
    /// `prompt`.
    /// @throws DataError if `prompt` isn't one of this format
    [[nodiscard]] std::string question_of(TokenSpan prompt) const;
    /// Ids of an answer's text, without the end token.
    [[nodiscard]] Tokens encode_answer(std::string_view text) const;

    /// A conversation that brings its own system turn, cut at the turns as generation would: what stands before each
    /// assistant turn, the turn, and its end token are encoded on their own. Learnt are contents as the template writes
    /// them, and the thinking part in front of one where it writes that. What follows the last end token is left out.
    /// @throws ConfigError for plain prompts; DataError if the template doesn't write the turns as they are.
    [[nodiscard]] Conversation conversation(std::span<const text::ChatMessage> messages) const;

    /// Hash of everything that decides ids.
    [[nodiscard]] const std::string& fingerprint() const { return fingerprint_; }

private:
    [[nodiscard]] std::string prompt_text(std::string_view question, bool with_system) const;
    [[nodiscard]] Tokens render(std::string_view question, bool with_system) const;
    void check_marks() const;
    /// Where the content of a message stands in the rendered conversation. @throws DataError if the template changes it
    [[nodiscard]] std::pair<std::size_t, std::size_t> place_of(std::span<const text::ChatMessage> messages,
                                                               std::size_t index, const std::string& whole) const;
    void find_system_turn();
    void find_end();

    TextFormatOptions options_;
    text::Tokenizer tokenizer_;
    std::optional<text::ChatTemplate> chat_;
    Tokens end_tokens_;
    Tokens probe_;
    Tokens policy_start_;  ///< ids before every question, up to the last special token
    Tokens value_start_;   ///< the same of value prompts
    std::string fingerprint_;
};

}  // namespace tdrm::task
