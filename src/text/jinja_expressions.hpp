// The expressions of a template, by recursive descent with Jinja's precedences.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "jinja_ast.hpp"
#include "jinja_lexer.hpp"

namespace tdrm::text::jinja {

/// Reads expressions from a run of tokens; StatementParser goes on from here.
class ExpressionParser {
protected:
    using Kind = Expression::Kind;

    explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

    [[nodiscard]] const Token& peek(std::size_t ahead = 0) const;
    Token take();
    [[nodiscard]] bool is_symbol(std::string_view text) const;
    [[nodiscard]] bool is_name(std::string_view text) const;
    bool skip_symbol(std::string_view text);
    bool skip_name(std::string_view text);
    void expect_symbol(std::string_view text);
    std::string expect_name();
    [[noreturn]] void unexpected(std::string_view wanted) const;
    /// The number of a variable's name.
    int id_of(const std::string& name);

    ExpressionPtr expression();
    /// An expression, or several with commas between them; `inline_if`: whether "x if y" may stand there.
    ExpressionPtr tuple(bool inline_if, bool in_parentheses = false);
    ExpressionPtr or_expression();
    /// Filters behind `left`, which may be null. `named`: the first name stands there without "|".
    ExpressionPtr filters_only(ExpressionPtr left, bool named = false);
    ExpressionPtr primary();
    ExpressionPtr postfix(ExpressionPtr left);

    std::vector<Token> tokens_;
    std::size_t at_ = 0;
    std::vector<std::string> names_;

private:
    static ExpressionPtr make(Kind kind, std::string text = "");
    static ExpressionPtr make(Kind kind, std::string text, ExpressionPtr left, ExpressionPtr right = nullptr);
    /// Sets the depth of a finished node. @throws DataError if it is too large
    static ExpressionPtr finish(ExpressionPtr node);

    ExpressionPtr and_expression();
    ExpressionPtr not_expression();
    ExpressionPtr comparison();
    std::string comparison_operator();
    ExpressionPtr sum();
    ExpressionPtr concatenation();
    ExpressionPtr product();
    ExpressionPtr power();
    template <class Next>
    ExpressionPtr left_to_right(std::initializer_list<std::string_view> symbols, Next&& next);
    ExpressionPtr unary(bool with_filters);
    ExpressionPtr literal();
    ExpressionPtr sequence(ExpressionPtr result, std::string_view close, bool pairs);
    ExpressionPtr attribute(ExpressionPtr left);
    ExpressionPtr subscript(ExpressionPtr object);
    ExpressionPtr call(ExpressionPtr left);
    std::vector<Argument> arguments();
    std::string dotted_name();
    ExpressionPtr filters(ExpressionPtr left);
    ExpressionPtr filter(ExpressionPtr left);
    ExpressionPtr test(ExpressionPtr left);

    std::unordered_map<std::string, int> ids_;
    int depth_ = 0;  ///< of the calls of this parser
};

}  // namespace tdrm::text::jinja
