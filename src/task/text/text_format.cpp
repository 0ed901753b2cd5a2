#include "tdrm/task/text/text_format.hpp"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/base/text.hpp"

namespace tdrm::task {
namespace {

constexpr std::string_view kQuestion = "{question}";

text::Tokenizer load_tokenizer(const std::string& folder) {
    if (!std::filesystem::exists(folder))
        throw ConfigError(
            cat("the tokenizer folder ", folder,
                " doesn't exist (no text can be encoded). Correct task.tokenizer; relative paths begin at the "
                "folder in which tdrm was started."));
    return text::Tokenizer::load(folder);
}

/// A field of a JSON file; null without the file, the field or an object.
nlohmann::json field_of(const std::filesystem::path& path, const char* key) {
    const auto config = read_json_if_there(path);
    return config.is_object() && config.contains(key) ? config[key] : nlohmann::json();
}

/// The ids that a folder lists as eos_token_id, one or several; none if it lists none.
Tokens listed_ends(const std::filesystem::path& folder, int vocab) {
    for (const char* name : {"generation_config.json", "config.json"}) {
        const auto listed = field_of(folder / name, "eos_token_id");
        if (listed.is_null()) continue;
        Tokens ends;
        for (const auto& id : listed.is_array() ? listed : nlohmann::json::array({listed})) {
            if (!id.is_number_integer() || id < 0 || id >= vocab)
                throw DataError(cat((folder / name).string(), ": eos_token_id ", shortened(listed.dump()),
                                    " isn't a list of the tokenizer's ", vocab,
                                    " tokens (answers would never end there). Correct it, or name task.end."));
            ends.push_back(id.get<Token>());
        }
        return ends;
    }
    return {};
}

/// Turn marks as chat templates write them: <|name|>, also with the wide bars of DeepSeek.
std::vector<std::string> marks_of(std::string_view text) {
    std::vector<std::string> marks;
    for (const std::string_view bar : {"|", "\xEF\xBD\x9C"}) {
        const std::string open = cat('<', bar);
        const std::string close = cat(bar, '>');
        for (std::size_t at = 0; (at = text.find(open, at)) != std::string_view::npos;) {
            const std::size_t end = text.find(close, at + open.size());
            if (end == std::string_view::npos) break;
            marks.emplace_back(text.substr(at, end + close.size() - at));
            at = end + close.size();
        }
    }
    return marks;
}

[[noreturn]] void throw_changed(std::size_t index, const std::string& tokenizer) {
    throw DataError(cat("message ", index + 1, " isn't written as it is by the chat template of ", tokenizer,
                        " (other words would be learnt). Remove the conversation, or use another template."));
}

// Private-use characters around a content, to see where a template puts it.
constexpr std::string_view kLeft = "\xEF\xA3\xBE<";
constexpr std::string_view kRight = "\xEF\xA3\xBE>";

std::string trimmed(std::string_view text) {
    constexpr std::string_view kSpace = " \t\r\n";
    const auto begin = text.find_first_not_of(kSpace);
    if (begin == std::string_view::npos) return "";
    return std::string(text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin));
}

}  // namespace

std::vector<std::string> TextFormatOptions::validate() const {
    std::vector<std::string> problems;
    if (tokenizer.empty()) problems.emplace_back("tokenizer: it names no folder (no text can be encoded).");
    if (prompt.empty()) return problems;
    if (prompt.find(kQuestion) == std::string::npos)
        problems.emplace_back("prompt: it doesn't hold {question} (all problems would look the same).");
    if (!system.empty())
        problems.emplace_back(
            "system: a plain prompt has no system turn (it would be ignored). Write it into `prompt`.");
    if (!family.empty())
        problems.emplace_back("family: a plain prompt has no chat template. Leave one of the two out.");
    if (!variables.empty())
        problems.emplace_back("template: a plain prompt has no chat template. Leave one of the two out.");
    return problems;
}

TextFormat::TextFormat(const TextFormatOptions& options)
    : options_(options), tokenizer_(load_tokenizer(options.tokenizer)) {
    if (options_.prompt.empty())
        chat_ = text::ChatTemplate::load(
            options_.tokenizer,
            {.family = options_.family, .thinking = options_.thinking, .variables = options_.variables});
    check_marks();
    find_end();
    find_system_turn();
    Hasher hasher;
    const std::string end = end_tokens_.empty() ? "" : cat(end_token());
    hasher.update(cat(tokenizer_.fingerprint(), '\n', chat_ ? chat_->fingerprint() : options_.prompt, '\n',
                      options_.system, '\n', end, '\n', options_.value_sees_system));
    for (std::size_t i = 1; i < end_tokens_.size(); ++i) hasher.update(cat(" or ", end_tokens_[i]));
    for (const Token id : probe_) hasher.update(cat(' ', id));
    fingerprint_ = hasher.hex();
}

void TextFormat::check_marks() const {
    if (!chat_) return;
    const std::vector<text::ChatMessage> messages{{"user", "TDRM"}, {"assistant", "TDRM"}, {"user", "TDRM"}};
    for (const std::string& mark : marks_of(chat_->render(messages, true)))
        if (const auto id = tokenizer_.id_of(mark); !id || !tokenizer_.is_given(*id))
            throw DataError(
                cat(options_.tokenizer, ": the chat template marks turns with ", mark,
                    ", which isn't a token of the tokenizer (a model would read it as a row of letters). Use "
                    "the tokenizer and the template of one model."));
}

void TextFormat::find_end() {
    const auto one_token = [&](const std::string& token) {
        const auto id = tokenizer_.id_of(token);
        if (!id)
            throw ConfigError(cat("task.end: \"", token, "\" isn't a token of ", options_.tokenizer,
                                  " (answers would never end). Name a token as tokenizer.json writes it."));
        return *id;
    };
    if (chat_) probe_ = chat_->probe_ids(tokenizer_);
    if (!options_.probe.empty()) probe_ = tokenizer_.encode(options_.probe);
    if (!options_.end.empty()) {
        end_tokens_ = {one_token(options_.end)};
    } else if (chat_) {
        end_tokens_ = {chat_->probe_ids(tokenizer_).front()};
    } else if (const std::string eos = tokenizer_.named_token("eos_token"); !eos.empty() || options_.ends) {
        if (eos.empty())
            throw ConfigError(cat("task.end is missing: ", options_.tokenizer,
                                  " names no eos_token in tokenizer_config.json or special_tokens_map.json (answers "
                                  "would never end). Give the token, "
                                  "\"</s>\" say."));
        end_tokens_ = {one_token(eos)};
    }
    if (options_.end.empty())
        for (const Token id : listed_ends(options_.tokenizer, tokenizer_.vocab_size()))
            if (std::find(end_tokens_.begin(), end_tokens_.end(), id) == end_tokens_.end()) end_tokens_.push_back(id);
    if (probe_.empty() && !end_tokens_.empty()) probe_ = {end_token()};
}

std::string TextFormat::prompt_text(std::string_view question, bool with_system) const {
    if (chat_) {
        std::vector<text::ChatMessage> messages;
        if (with_system && !options_.system.empty()) messages.push_back({"system", options_.system});
        messages.push_back({"user", std::string(question)});
        return chat_->render(messages, true);
    }
    std::string text = options_.prompt;
    for (std::size_t at = 0; (at = text.find(kQuestion, at)) != std::string::npos; at += question.size())
        text.replace(at, kQuestion.size(), question);
    return text;
}

Tokens TextFormat::render(std::string_view question, bool with_system) const {
    return tokenizer_.encode(prompt_text(question, with_system), !chat_);
}

/// A special token separates what stands before it from what stands after it, so the ids up to the last special token
/// before the question are the same for all questions, and those after it are the same with and without system turn.
void TextFormat::find_system_turn() {
    if (options_.system.empty() || options_.value_sees_system) return;
    const auto start = [&](bool with_system) {
        const Tokens a = render("alpha", with_system);
        const Tokens b = render("{beta}", with_system);
        auto common = static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
        while (common > 0 && !tokenizer_.is_special(a[common - 1])) --common;
        return Tokens(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(common));
    };
    policy_start_ = start(true);
    value_start_ = start(false);
    const std::string question = "How many?";
    if (value_prompt(render(question, true)) != render(question, false))
        throw ConfigError(cat("the chat template of ", options_.tokenizer,
                              " writes the system turn into the user's (value models can't be spared it). Set "
                              "value_sees_system: true, or leave `system` out."));
}

Tokens TextFormat::prompt_ids(std::string_view question) const { return render(question, true); }

Tokens TextFormat::value_prompt_ids(std::string_view question) const {
    return render(question, options_.value_sees_system);
}

Tokens TextFormat::value_prompt(TokenSpan prompt) const {
    const bool ours = policy_start_ != value_start_ && prompt.size() >= policy_start_.size() &&
                      std::equal(policy_start_.begin(), policy_start_.end(), prompt.begin());
    if (!ours) return {prompt.begin(), prompt.end()};
    Tokens changed = value_start_;
    changed.insert(changed.end(), prompt.begin() + static_cast<std::ptrdiff_t>(policy_start_.size()), prompt.end());
    return changed;
}

std::string TextFormat::question_of(TokenSpan prompt) const {
    const std::string text = tokenizer_.decode(prompt);
    for (const bool with_system : {true, false}) {
        const std::string frame = prompt_text(kQuestion, with_system);
        const std::size_t place = frame.find(kQuestion);
        if (place == std::string::npos) continue;
        const std::string_view before = std::string_view(frame).substr(0, place);
        const std::string_view after = std::string_view(frame).substr(place + kQuestion.size());
        // Special tokens may stand around a plain prompt.
        const std::size_t begin = text.find(before);
        const std::size_t end = text.rfind(after);
        if (begin == std::string::npos || end == std::string::npos || end < begin + before.size()) continue;
        std::string question = text.substr(begin + before.size(), end - begin - before.size());
        if (const Tokens again = render(question, with_system);
            std::equal(again.begin(), again.end(), prompt.begin(), prompt.end()))
            return question;
    }
    throw DataError(cat("the prompt \"", shortened(text), "\" isn't one that the task writes with ", options_.tokenizer,
                        " (its question can't be told, so it can't be asked in other ids). Use trajectories of a task "
                        "with the same tokenizer, template and system turn."));
}

Tokens TextFormat::encode_answer(std::string_view text) const { return tokenizer_.encode(text); }

/// A content is found by marks around it: the text without them must be that without marks. Where the template takes a
/// thinking part out of the content, or writes one in front, the turn begins where the generation prompt ends.
std::pair<std::size_t, std::size_t> TextFormat::place_of(std::span<const text::ChatMessage> messages, std::size_t index,
                                                         const std::string& whole) const {
    const auto marked = [&](std::string_view left, const std::string& content) {
        std::vector<text::ChatMessage> changed(messages.begin(), messages.end());
        changed[index].content = cat(left, content, kRight);
        std::string text = chat_->render(changed, false);
        const std::size_t begin = left.empty() ? 0 : text.find(left);
        if (begin == std::string::npos) return std::pair(std::string::npos, std::string::npos);
        text.erase(begin, left.size());
        const std::size_t end = text.find(kRight);
        if (end == std::string::npos) return std::pair(std::string::npos, std::string::npos);
        text.erase(end, kRight.size());
        return text == whole ? std::pair(begin, end) : std::pair(std::string::npos, std::string::npos);
    };
    const std::string prompt = chat_->render(messages.first(index), true);
    const std::string reasoning = text::reasoning_of(messages[index]);
    const bool behind_prompt = whole.starts_with(prompt);
    const std::string& content = messages[index].content;
    for (const std::string& written : {content, trimmed(content)}) {
        const auto [begin, end] = marked(kLeft, written);
        if (begin == std::string::npos) continue;
        const bool with_reasoning =
            !reasoning.empty() && behind_prompt && prompt.size() <= begin &&
            std::string_view(whole).substr(prompt.size(), begin - prompt.size()).find(trimmed(reasoning)) !=
                std::string_view::npos;
        return {with_reasoning ? prompt.size() : begin, end};
    }
    if (behind_prompt && content.find("</think>") != std::string::npos)
        for (const std::string& written : {content, trimmed(content)})
            if (const auto [begin, end] = marked("", written); begin != std::string::npos && end >= prompt.size())
                return {prompt.size(), end};
    throw_changed(index, options_.tokenizer);
}

Conversation TextFormat::conversation(std::span<const text::ChatMessage> messages) const {
    if (!chat_)
        throw ConfigError(
            "conversations need a chat template (a plain prompt has no turns). Leave task.prompt out, and use a "
            "tokenizer folder that has a template.");
    Conversation result;
    const auto add = [&](const Tokens& ids, bool learnt) {
        result.ids.insert(result.ids.end(), ids.begin(), ids.end());
        result.learnt.resize(result.ids.size(), learnt ? 1 : 0);
    };
    const std::string end_mark = tokenizer_.decode(std::span(end_tokens_).first(1));
    const std::string whole = chat_->render(messages, false);
    std::size_t done = 0;
    for (std::size_t m = 0; m < messages.size(); ++m) {
        if (messages[m].role != "assistant") continue;
        const auto [begin, end] = place_of(messages, m, whole);
        if (begin < done) throw_changed(m, options_.tokenizer);
        const std::string_view text = whole;
        add(tokenizer_.encode(text.substr(done, begin - done)), false);
        add(tokenizer_.encode(text.substr(begin, end - begin)), true);
        add({end_token()}, true);
        done = end;
        if (text.substr(done).starts_with(end_mark)) done += end_mark.size();
    }
    if (done == 0) throw DataError("a conversation has no assistant turn (there is nothing to learn). Remove it.");
    return result;
}

}  // namespace tdrm::task
