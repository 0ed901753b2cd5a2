// From the characters of an answer (LaTeX or plain) to tokens.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tdrm/math/budget.hpp"
#include "tdrm/math/expression.hpp"

namespace tdrm::math {

enum class TokenKind {
    number,    ///< text: its digits; number: its value
    symbol,    ///< a letter, a Greek letter, "infinity"
    function,  ///< a known function's name
    text,      ///< words
    sign,      ///< an operator, bracket or command, by a name of its own
    end,
};

struct Token {
    TokenKind kind = TokenKind::end;
    std::string text;
    std::shared_ptr<const mpq_class> number;
    bool inexact = false;  ///< written with a decimal point
    bool space_before = false;

    [[nodiscard]] bool is(std::string_view sign) const { return kind == TokenKind::sign && text == sign; }
};

/// How a comma between digits is read; verify() tries more than one reading where the text is ambiguous.
enum class Comma {
    thousands,  ///< "1,234" is one number (outside of brackets)
    separator,  ///< "1,234" is a list of two
    decimal,    ///< "1,234" is 1.234
};

/// Tokens of an answer; typographic commands and currency signs are dropped, words become text tokens. Never fails:
/// what it doesn't know becomes a text token. Linear time. Local.
[[nodiscard]] std::vector<Token> tokenize(std::string_view answer, Comma comma, Budget& budget);

}  // namespace tdrm::math
