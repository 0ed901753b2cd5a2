// Chat templates: how a conversation becomes the text (and the ids) that a model was trained on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tdrm/text/tokenizer.hpp"

namespace tdrm::text {

struct ChatMessage {
    std::string role;  ///< "system", "user" or "assistant"
    std::string content;
    /// The message's further members, a JSON object as text: {"reasoning_content": ...}, say. Templates see them.
    std::string more = {};
};

/// The message's reasoning_content, thinking or reasoning (the first that is a text); "" if it has none.
/// @throws DataError if `more` isn't a JSON object
[[nodiscard]] std::string reasoning_of(const ChatMessage& message);

/// Who marks turns how.
enum class ChatFamily {
    chatml,       ///< <|im_start|>role ... <|im_end|>: Qwen2.5, SmolLM2
    llama3,       ///< <|start_header_id|>role<|end_header_id|> ... <|eot_id|>
    glm4,         ///< [gMASK]<sop><|user|> ...
    deepseek_r1,  ///< <|User|> ... with full-width bars: DeepSeek-R1 and its distilled models
    other,        ///< none of these; rendered all the same
};
[[nodiscard]] std::string_view name_of(ChatFamily family);

/// What becomes of the thinking part of an assistant turn: what stands up to </think>, or its reasoning_content.
enum class Thinking {
    keep,              ///< contents are written as they are, even if the template would drop the thinking part
    drop,              ///< contents are written as the template does it
    template_default,  ///< drop where the template drops it from earlier turns only, as its model was trained; else
                       ///< keep
};

struct ChatOptions {
    /// What the template must be: chatml (qwen2.5, smollm2), llama3, glm4 or deepseek_r1; "" takes any.
    std::string family = {};
    /// Needed where the template drops the thinking part of an answer that has one.
    std::optional<Thinking> thinking = {};
    /// Of templates that print today's date (2024-07-26 or 26 Jul 2024): a rendering must not depend on the day.
    std::string date = "26 Jul 2024";
    /// Variables of the template, a JSON object as text: {"enable_thinking": false}, say.
    std::string variables = {};
};

/// A chat template in the Jinja language, rendered as transformers does. Local and immutable.
class ChatTemplate {
public:
    /// Reads the template of a model folder: chat_template.jinja, or `chat_template` in tokenizer_config.json (the
    /// entry "default" of several), and the special tokens named there and in special_tokens_map.json.
    /// @throws IoError if there is none; DataError if it is broken or not of `options.family`; ConfigError if that
    /// isn't the name of a family.
    [[nodiscard]] static ChatTemplate load(const std::filesystem::path& folder, const ChatOptions& options = {});
    /// The same from a template's source and the text of the BOS and EOS tokens it refers to.
    [[nodiscard]] static ChatTemplate parse(std::string_view source, std::string_view bos_token,
                                            std::string_view eos_token, const ChatOptions& options = {});

    ChatTemplate(ChatTemplate&&) noexcept;
    ChatTemplate& operator=(ChatTemplate&&) noexcept;
    ~ChatTemplate();

    [[nodiscard]] ChatFamily family() const;
    /// What becomes of thinking parts, template_default resolved.
    [[nodiscard]] std::optional<Thinking> thinking() const;

    /// The conversation as text, with `add_generation_prompt` up to where the assistant's answer begins.
    /// @throws DataError if the template refuses the messages or reaches something that tdrm doesn't render;
    /// ConfigError if `thinking` must be chosen.
    [[nodiscard]] std::string render(std::span<const ChatMessage> messages, bool add_generation_prompt) const;
    /// What follows the content of an assistant's last turn: the text of the probe at which a value is read
    /// ("<|im_end|>\n", say). Where the template writes nothing (GLM-4), the token that begins the user's next turn,
    /// with which the model itself ends its turn.
    [[nodiscard]] const std::string& end_of_turn() const;
    /// Ids of end_of_turn(), never empty. @throws DataError if its first token isn't a special token of `tokenizer`.
    [[nodiscard]] std::vector<std::int32_t> probe_ids(const Tokenizer& tokenizer) const;

    /// Hash of the template and of the options that change what is rendered.
    [[nodiscard]] const std::string& fingerprint() const;

private:
    struct Impl;
    explicit ChatTemplate(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace tdrm::text
