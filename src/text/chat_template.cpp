#include "tdrm/text/chat_template.hpp"

#include <utility>

#include "chat_messages.hpp"
#include "jinja.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/base/text.hpp"
#include "tokenizer_files.hpp"

namespace tdrm::text {
namespace {

using jinja::Json;

constexpr std::string_view kProbeUser = "TDRM-USER";
constexpr std::string_view kProbeAnswer = "TDRM-ANSWER";
constexpr std::string_view kProbeNext = "TDRM-NEXT";
constexpr std::string_view kProbeThought = "TDRM-THOUGHT";

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
    Impl(std::string_view source, const NamedTokens& tokens, ChatOptions chosen)
        : parsed(jinja::parse(source)),
          family(find_family(source)),
          options(std::move(chosen)),
          thinks(source.find("</think>") != std::string_view::npos) {
        if (!options.family.empty() && parse_family(options.family) != family) {
            throw DataError(
                cat("the chat template is of the family ", name_of(family), ", not ", options.family,
                    " (prompts would be marked wrongly). Correct the family, or use the template of the model."));
        }
        make_globals(tokens);
        find_turn_marks();
        if (options.thinking == Thinking::template_default)
            options.thinking = keeps_only_last_thinking() ? Thinking::drop : Thinking::keep;
        make_fingerprint(source, tokens);
    }

    void make_globals(const NamedTokens& tokens) {
        globals = {{"tools", nullptr}, {"documents", nullptr}};
        if (options.date != ChatOptions().date) globals["date_string"] = options.date;
        for (const auto& [name, text] : tokens)
            if (!text.empty()) globals[name] = text;
        if (options.variables.empty()) return;
        const Json variables = parse_ordered_json(options.variables, "the variables of the chat template");
        if (!variables.is_object())
            throw ConfigError(cat("the variables of the chat template are no map: ", shortened(options.variables, 100),
                                  ". Write them as {name: value}."));
        for (const auto& [name, value] : variables.items()) {
            if (name == "messages" || name == "add_generation_prompt")
                throw ConfigError(cat("the variable \"", name,
                                      "\" of the chat template is set by tdrm (it would be ignored). Leave it out."));
            globals[name] = value;
        }
    }

    void make_fingerprint(std::string_view source, const NamedTokens& tokens) {
        const auto text_of = [&](const char* name) {
            const auto found = tokens.find(name);
            return found == tokens.end() ? std::string() : found->second;
        };
        Hasher hasher;
        hasher.update(source);
        hasher.update(cat('\n', text_of("bos_token"), '\n', text_of("eos_token"), '\n', options.date, '\n',
                          options.thinking ? static_cast<int>(*options.thinking) : -1));
        // What most templates never read counts only where it may be read.
        for (const auto& [name, text] : tokens)
            if (name != "bos_token" && name != "eos_token" && source.find(name) != std::string_view::npos)
                hasher.update(cat('\n', name, ' ', text));
        if (!options.variables.empty()) hasher.update(cat("\nvariables ", options.variables));
        fingerprint = hasher.hex();
    }

    [[nodiscard]] std::string render_as_is(std::span<const ChatMessage> messages, bool add_generation_prompt) const {
        Json context = globals;
        context["add_generation_prompt"] = add_generation_prompt;
        context["messages"] = messages_as_json(messages);
        return jinja::render(parsed, context, options.date);
    }

    [[nodiscard]] bool writes_reasoning(std::span<const ChatMessage> messages, std::size_t index) const {
        std::vector<ChatMessage> marked(messages.begin(), messages.end());
        marked[index] = with_reasoning(marked[index], kProbeThought);
        return render_as_is(marked, false).find(kProbeThought) != std::string::npos;
    }

    [[nodiscard]] std::string render_keeping(std::span<const ChatMessage> messages, bool add_generation_prompt) const {
        std::vector<ChatMessage> folded(messages.begin(), messages.end());
        for (std::size_t i = 0; i < folded.size(); ++i)
            if (!reasoning_of(folded[i]).empty() && !writes_reasoning(messages, i)) {
                if (!thinks)
                    throw ConfigError(
                        "the chat template drops the reasoning_content of an answer and has no <think> to put it into "
                        "(whoever reads the text would see less). Choose thinking: drop.");
                fold_reasoning(folded[i]);
            }
        bool any = false;
        for (ChatMessage& message : folded) any |= message.role == "assistant" && hide_thinking(message, opening);
        return any ? shown(render_as_is(folded, add_generation_prompt)) : render_as_is(folded, add_generation_prompt);
    }

    /// Whether the template writes the thinking part of the last answer, and leaves that of earlier ones out.
    [[nodiscard]] bool keeps_only_last_thinking() const {
        const ChatMessage user{"user", std::string(kProbeUser)};
        const ChatMessage answer{"assistant", cat("<think>\n", kProbeThought, "\n</think>\n\n", kProbeAnswer)};
        const auto writes = [&](const std::vector<ChatMessage>& messages) {
            return render_as_is(messages, false).find(kProbeThought) != std::string::npos;
        };
        try {
            return writes({user, answer}) && !writes({user, answer, user});
        } catch (const DataError&) {
            return false;  // a template that refuses such an answer has no default
        }
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

    jinja::Template parsed;
    ChatFamily family;
    ChatOptions options;
    bool thinks;  ///< the template knows </think>
    Json globals;
    std::string end_of_turn;
    std::string opening;  ///< what the generation prompt puts before the answer itself, "<think>\n" say
    std::string fingerprint;
    std::string origin;  ///< the file, for messages
};

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

ChatTemplate ChatTemplate::parse(std::string_view source, std::string_view bos_token, std::string_view eos_token,
                                 const ChatOptions& options) {
    const NamedTokens tokens{{"bos_token", std::string(bos_token)}, {"eos_token", std::string(eos_token)}};
    return ChatTemplate(std::make_unique<Impl>(source, tokens, options));
}

ChatTemplate ChatTemplate::load(const std::filesystem::path& folder, const ChatOptions& options) {
    const TokenizerFiles files = read_tokenizer_files(folder);
    if (files.chat_template.empty()) {
        throw IoError(cat(folder.string(), " has no chat template, neither chat_template.jinja nor in ",
                          "tokenizer_config.json (prompts can't be built). Add the model's template."));
    }
    try {
        auto impl = std::make_unique<Impl>(files.chat_template, files.tokens, options);
        impl->origin = files.template_origin.string();
        return ChatTemplate(std::move(impl));
    } catch (const DataError& error) {
        throw DataError(cat(files.template_origin.string(), ": ", error.what()));
    }
}

ChatFamily ChatTemplate::family() const { return impl_->family; }
std::optional<Thinking> ChatTemplate::thinking() const { return impl_->options.thinking; }
const std::string& ChatTemplate::end_of_turn() const { return impl_->end_of_turn; }
const std::string& ChatTemplate::fingerprint() const { return impl_->fingerprint; }

std::string ChatTemplate::render(std::span<const ChatMessage> messages, bool add_generation_prompt) const {
    try {
        const auto& thinking = impl_->options.thinking;
        if (thinking == Thinking::drop) return impl_->render_as_is(messages, add_generation_prompt);
        std::string kept = impl_->render_keeping(messages, add_generation_prompt);
        if (!thinking && kept != impl_->render_as_is(messages, add_generation_prompt)) {
            throw ConfigError(
                "the chat template drops the thinking part of an answer (whoever reads the text would see less "
                "than was generated). Choose thinking: keep or thinking: drop.");
        }
        return kept;
    } catch (const DataError& error) {
        if (impl_->origin.empty()) throw;
        throw DataError(cat(impl_->origin, ": ", error.what()));
    }
}

std::vector<std::int32_t> ChatTemplate::probe_ids(const Tokenizer& tokenizer) const {
    auto ids = tokenizer.encode(impl_->end_of_turn);
    if (ids.empty() || !tokenizer.is_special(ids.front())) {
        throw DataError(
            cat("the end of a turn, ", Json(impl_->end_of_turn).dump(), ", doesn't begin with a special token of ",
                "the tokenizer (it would fuse with the answer). Use the tokenizer of the template's model."));
    }
    return ids;
}

}  // namespace tdrm::text
