#include "tdrm/text/chat_template.hpp"

#include <sstream>

#include "jinja.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/base/json.hpp"

namespace tdrm::text {
namespace {

using jinja::Value;

constexpr std::string_view kEndOfThinking = "</think>";
constexpr std::string_view kHiddenEnd = "\xEF\xA3\xBF/think\xEF\xA3\xBF";  // private-use characters
constexpr std::string_view kProbeUser = "TDRM-USER";
constexpr std::string_view kProbeAnswer = "TDRM-ANSWER";
constexpr std::string_view kProbeNext = "TDRM-NEXT";

ChatFamily find_family(std::string_view source) {
    const auto has = [&](std::string_view mark) { return source.find(mark) != std::string_view::npos; };
    if (has("<|im_start|>")) return ChatFamily::chatml;
    if (has("<|start_header_id|>")) return ChatFamily::llama3;
    if (has("[gMASK]")) return ChatFamily::glm4;
    if (has("<\xEF\xBD\x9CUser\xEF\xBD\x9C>")) return ChatFamily::deepseek_r1;
    return ChatFamily::other;
}

ChatFamily parse_family(const std::string& name) {
    if (name == "chatml" || name == "qwen2.5" || name == "smollm2") return ChatFamily::chatml;
    if (name == "llama3") return ChatFamily::llama3;
    if (name == "glm4") return ChatFamily::glm4;
    if (name == "deepseek_r1") return ChatFamily::deepseek_r1;
    throw ConfigError(cat("the chat template family \"", name, "\" isn't known (it can't be checked). ",
                          "Use chatml, qwen2.5, smollm2, llama3, glm4 or deepseek_r1."));
}

std::string replace_all(std::string text, std::string_view from, std::string_view to) {
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
        text.replace(at, from.size(), to);
    }
    return text;
}

/// A special token of tokenizer_config.json, written as a string or as {"content": ...}.
std::string token_text(const Value& config, const char* key) {
    const auto entry = config.find(key);
    if (entry == config.end() || entry->is_null()) return "";
    return entry->is_object() ? entry->at("content").get<std::string>() : entry->get<std::string>();
}

std::string template_of(const Value& config) {
    const auto entry = config.find("chat_template");
    if (entry == config.end() || entry->is_null()) return "";
    if (entry->is_string()) return entry->get<std::string>();
    for (const Value& choice : *entry) {
        if (choice.at("name") == "default") return choice.at("template").get<std::string>();
    }
    return "";
}

}  // namespace

std::string_view name_of(ChatFamily family) {
    switch (family) {
        case ChatFamily::chatml:
            return "chatml";
        case ChatFamily::llama3:
            return "llama3";
        case ChatFamily::glm4:
            return "glm4";
        case ChatFamily::deepseek_r1:
            return "deepseek_r1";
        case ChatFamily::other:
            return "other";
    }
    return "other";
}

struct ChatTemplate::Impl {
    Impl(std::string_view source, std::string_view bos_token, std::string_view eos_token, const ChatOptions& chosen)
        : nodes(jinja::parse(source)), family(find_family(source)), options(chosen) {
        if (!options.family.empty() && parse_family(options.family) != family) {
            throw DataError(
                cat("the chat template is of the family ", name_of(family), ", not ", options.family,
                    " (prompts would be marked wrongly). Correct the family, or use the template of the model."));
        }
        globals = {{"tools", nullptr}, {"documents", nullptr}, {"date_string", options.date}};
        if (!bos_token.empty()) globals["bos_token"] = bos_token;
        if (!eos_token.empty()) globals["eos_token"] = eos_token;
        find_turn_marks();
        Hasher hasher;
        hasher.update(source);
        hasher.update(cat('\n', bos_token, '\n', eos_token, '\n', options.date, '\n',
                          options.thinking ? static_cast<int>(*options.thinking) : -1));
        fingerprint = hasher.hex();
    }

    [[nodiscard]] std::string render_as_is(std::span<const ChatMessage> messages, bool add_generation_prompt) const {
        Value context = globals;
        context["add_generation_prompt"] = add_generation_prompt;
        context["messages"] = Value::array();
        for (const ChatMessage& message : messages) {
            context["messages"].push_back(Value{{"role", message.role}, {"content", message.content}});
        }
        return jinja::render(nodes, context);
    }

    /// The template sees no </think> in assistant turns, so it has nothing to drop. Where the generation prompt opens
    /// the thinking part, the turn opens it too: it then equals the prompt with the answer behind it.
    [[nodiscard]] std::string render_keeping(std::span<const ChatMessage> messages, bool add_generation_prompt) const {
        std::vector<ChatMessage> hidden(messages.begin(), messages.end());
        for (ChatMessage& message : hidden) {
            if (message.role != "assistant" || message.content.find(kEndOfThinking) == std::string::npos) continue;
            if (message.content.find("<think>") == std::string::npos) message.content = opening + message.content;
            message.content = replace_all(message.content, kEndOfThinking, kHiddenEnd);
        }
        return replace_all(render_as_is(hidden, add_generation_prompt), kHiddenEnd, kEndOfThinking);
    }

    /// From a rendered conversation: what follows an answer, and what the generation prompt puts before one.
    void find_turn_marks() {
        const auto between = [](const std::string& text, std::string_view left, std::string_view right) {
            const std::size_t begin = text.find(left);
            const std::size_t end = right.empty() ? text.size() : text.find(right);
            if (begin == std::string::npos || end == std::string::npos || end < begin + left.size()) {
                throw DataError(
                    "the chat template doesn't write out the turns that it is given (no value can be read "
                    "behind an answer). Use another template.");
            }
            return text.substr(begin + left.size(), end - begin - left.size());
        };
        const ChatMessage user{"user", std::string(kProbeUser)};
        const ChatMessage answer{"assistant", std::string(kProbeAnswer)};
        const ChatMessage next{"user", std::string(kProbeNext)};
        const std::string turn = render_as_is(std::vector{user, answer}, false);
        const std::string header = between(turn, kProbeUser, kProbeAnswer);
        const std::string prompt = between(render_as_is(std::vector{user}, true), kProbeUser, "");
        if (prompt.starts_with(header)) opening = prompt.substr(header.size());
        end_of_turn = between(turn, kProbeAnswer, "");
        // Some templates open the next answer even if they aren't asked to.
        const std::size_t close = std::min(header.find("<|start_header_id|>"), header.size());
        const std::string assistant_header = header.substr(close);
        if (!assistant_header.empty() && end_of_turn.ends_with(assistant_header)) {
            end_of_turn.resize(end_of_turn.size() - assistant_header.size());
        }
        if (!end_of_turn.empty()) return;
        end_of_turn = between(render_as_is(std::vector{user, answer, next}, false), kProbeAnswer, kProbeNext);
        end_of_turn.resize(end_of_turn.find_last_not_of(" \n") + 1);
    }

    jinja::Nodes nodes;
    ChatFamily family;
    ChatOptions options;
    Value globals;
    std::string end_of_turn;
    std::string opening;  ///< what the generation prompt puts before the answer itself, "<think>\n" say
    std::string fingerprint;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

ChatTemplate ChatTemplate::parse(std::string_view source, std::string_view bos_token, std::string_view eos_token,
                                 const ChatOptions& options) {
    return ChatTemplate(std::make_unique<Impl>(source, bos_token, eos_token, options));
}

ChatTemplate ChatTemplate::load(const std::filesystem::path& folder, const ChatOptions& options) {
    const auto path = folder / "tokenizer_config.json";
    try {
        const Value config = read_json_if_there(path);
        const std::string source = read_file_if_there(folder / "chat_template.jinja").value_or(template_of(config));
        if (source.empty()) {
            throw IoError(cat(folder.string(), " has no chat template, neither chat_template.jinja nor in ",
                              "tokenizer_config.json (prompts can't be built). Add the model's template."));
        }
        return parse(source, token_text(config, "bos_token"), token_text(config, "eos_token"), options);
    } catch (const Value::exception& error) {
        throw DataError(cat(path.string(), " can't be used: ", error.what(), ". Fetch the file again."));
    } catch (const DataError& error) {
        throw DataError(cat(folder.string(), ": ", error.what()));
    }
}

ChatFamily ChatTemplate::family() const { return impl_->family; }
const std::string& ChatTemplate::end_of_turn() const { return impl_->end_of_turn; }
const std::string& ChatTemplate::fingerprint() const { return impl_->fingerprint; }

std::string ChatTemplate::render(std::span<const ChatMessage> messages, bool add_generation_prompt) const {
    const auto& thinking = impl_->options.thinking;
    if (thinking == Thinking::drop) return impl_->render_as_is(messages, add_generation_prompt);
    std::string kept = impl_->render_keeping(messages, add_generation_prompt);
    if (!thinking && kept != impl_->render_as_is(messages, add_generation_prompt)) {
        throw ConfigError(
            "the chat template drops the thinking part of an answer (whoever reads the text would see less "
            "than was generated). Choose thinking: keep or thinking: drop.");
    }
    return kept;
}

std::vector<std::int32_t> ChatTemplate::probe_ids(const Tokenizer& tokenizer) const {
    auto ids = tokenizer.encode(impl_->end_of_turn);
    if (ids.empty() || !tokenizer.is_special(ids.front())) {
        throw DataError(
            cat("the end of a turn, ", Value(impl_->end_of_turn).dump(), ", doesn't begin with a special token of ",
                "the tokenizer (it would fuse with the answer). Use the tokenizer of the template's model."));
    }
    return ids;
}

}  // namespace tdrm::text
