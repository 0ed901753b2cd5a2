#include "chat_messages.hpp"

#include "python_text.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/json.hpp"

namespace tdrm::text {
namespace {

using jinja::Json;

constexpr std::string_view kOpen = "<think>";
constexpr std::string_view kClose = "</think>";
// Private-use characters.
constexpr std::string_view kHiddenOpen = "\xEF\xA3\xBFthink\xEF\xA3\xBF";
constexpr std::string_view kHiddenClose = "\xEF\xA3\xBF/think\xEF\xA3\xBF";
constexpr std::string_view kStart = "\xEF\xA3\xBF:\xEF\xA3\xBF";  // begins a content with something hidden
constexpr std::string_view kSpace = " \t\r\n";

constexpr const char* kReasoningNames[] = {"reasoning_content", "thinking", "reasoning"};

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
    return python::replace(text, from, to, -1, [](std::size_t) {});
}

Json members_of(const ChatMessage& message) {
    if (message.more.empty()) return Json::object();
    Json members = parse_ordered_json(message.more, "the further members of a message");
    if (!members.is_object())
        throw DataError(
            "the further members of a message aren't a JSON object (a template couldn't see them). Correct them.");
    return members;
}

const Json* reasoning_in(const Json& members) {
    for (const char* name : kReasoningNames)
        if (const auto found = members.find(name); found != members.end() && !found->is_null()) return &*found;
    return nullptr;
}

/// Where a think block begins that stands right before `end`, empty or not yet closed; `end` if there is none.
std::size_t block_before(std::string_view text, std::size_t end) {
    const auto without_space = [](std::string_view piece) {
        return piece.substr(0, piece.find_last_not_of(kSpace) + 1);
    };
    std::string_view before = without_space(text.substr(0, end));
    if (before.ends_with(kClose)) before = without_space(before.substr(0, before.size() - kClose.size()));
    return before.ends_with(kOpen) ? before.size() - kOpen.size() : end;
}

}  // namespace

Json messages_as_json(std::span<const ChatMessage> messages) {
    Json list = Json::array();
    for (const ChatMessage& message : messages) {
        const Json members = members_of(message);
        Json entry = Json::object();
        const Json* reasoning = reasoning_in(members);
        if (reasoning != nullptr) entry["thinking"] = *reasoning;
        entry["role"] = message.role;
        entry["content"] = message.content;
        for (const auto& [name, value] : members.items())
            if (!value.is_null()) entry[name] = value;
        if (reasoning != nullptr) entry["reasoning_content"] = *reasoning;
        list.push_back(std::move(entry));
    }
    return list;
}

std::string reasoning_of(const ChatMessage& message) {
    const Json members = members_of(message);
    const Json* reasoning = reasoning_in(members);
    return reasoning != nullptr && reasoning->is_string() ? reasoning->get<std::string>() : "";
}

ChatMessage with_reasoning(ChatMessage message, std::string_view reasoning) {
    Json members = members_of(message);
    for (const char* name : kReasoningNames)
        if (members.contains(name)) members[name] = reasoning;
    message.more = members.dump();
    return message;
}

void fold_reasoning(ChatMessage& message) {
    message.content = cat(kOpen, '\n', reasoning_of(message), '\n', kClose, "\n\n", message.content);
    Json members = members_of(message);
    for (const char* name : kReasoningNames) members.erase(name);
    message.more = members.dump();
}

bool hide_thinking(ChatMessage& message, const std::string& opening) {
    std::string& content = message.content;
    if (content.find(kClose) == std::string::npos) return false;
    const bool opens = opening.find(kOpen) != std::string::npos && opening.find(kClose) == std::string::npos;
    if (opens && content.find(kOpen) == std::string::npos) content = opening + content;
    content = replace_all(replace_all(content, kOpen, kHiddenOpen), kClose, kHiddenClose);
    content.insert(content.find_first_not_of(kSpace), kStart);
    return true;
}

std::string shown(std::string text) {
    for (std::size_t at = 0; (at = text.find(kStart, at)) != std::string::npos;) {
        const std::size_t begin = block_before(text, at);
        text.erase(begin, at + kStart.size() - begin);
        at = begin;
    }
    return replace_all(replace_all(text, kHiddenOpen, kOpen), kHiddenClose, kClose);
}

}  // namespace tdrm::text
