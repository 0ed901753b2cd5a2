// Messages as templates see them, and how the thinking part of an answer is hidden from a template that would drop it.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "jinja_value.hpp"
#include "tdrm/text/chat_template.hpp"

namespace tdrm::text {

/// A list of maps: role, content and the further members without those that are null. A reasoning goes by the names
/// reasoning_content and thinking both, as transformers has it. @throws DataError if `more` isn't a JSON object
[[nodiscard]] jinja::Json messages_as_json(std::span<const ChatMessage> messages);

/// The message with another reasoning under every name that it has one.
[[nodiscard]] ChatMessage with_reasoning(ChatMessage message, std::string_view reasoning);
/// Moves the reasoning into the content: <think>, a line with the reasoning, </think>, the content.
void fold_reasoning(ChatMessage& message);

/// Hides <think> and </think> of a content, so that a template has nothing to drop. Where the generation prompt opens
/// the thinking part (`opening`), the turn opens it too: it then equals the prompt with the answer behind it. Returns
/// whether there was anything to hide.
bool hide_thinking(ChatMessage& message, const std::string& opening);
/// A rendered text with what was hidden. A think block that the template put in front, since it saw none, goes.
[[nodiscard]] std::string shown(std::string text);

}  // namespace tdrm::text
