// The tokens of a Jinja template.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "jinja_value.hpp"

namespace tdrm::text::jinja {

struct Token {
    enum class Kind { text, open_output, open_block, close, name, literal, symbol, unknown, end };
    Kind kind;
    std::string text;  ///< of Kind::unknown: what it is
    Value value = {};
};

/// Cuts a template into texts and the tokens of its tags, ended by Kind::end. White space around tags is already dealt
/// with, and {% raw %} is text. @throws DataError if a tag, comment or string isn't closed.
[[nodiscard]] std::vector<Token> tokenize(std::string_view source);

}  // namespace tdrm::text::jinja
