// The recursive descent of parse(): lists and relations in parser.cpp, sums, products and powers in
// parser_arithmetic.cpp, what they are made of in parser_atoms.cpp.
#pragma once

#include <algorithm>

#include "tdrm/math/parser.hpp"

namespace tdrm::math {

struct ParseError {};

inline constexpr std::string_view kTextPrefix = "text:";

[[nodiscard]] inline bool is_text(const Expression& e) { return e.is(Kind::symbol) && e.name.starts_with(kTextPrefix); }

[[nodiscard]] inline bool is_integer(const Expression& e) {
    return e.is(Kind::number) && !e.inexact && e.value().get_den() == 1;
}

[[nodiscard]] inline bool is_proper_fraction(const Expression& e) {
    return e.is(Kind::divide) && is_integer(e.args[0]) && is_integer(e.args[1]) &&
           e.args[0].value() < e.args[1].value();
}

class Parser {
public:
    Parser(std::vector<Token> tokens, Budget& budget) : tokens_(std::move(tokens)), budget_(budget) {}

    Expression whole() {
        if (!accept("=")) accept("a");  // "= 5", "\approx 3.14"
        Expression result = list_or_fraction();
        if (next().kind != TokenKind::end) throw ParseError{};
        return result;
    }

private:
    /// Counts the nesting of grammar rules that may call themselves.
    struct Nesting {
        explicit Nesting(Parser& parser) : depth(parser.depth_) {
            if (depth + 1 > kMaxDepth) throw ParseError{};
            ++depth;
        }
        ~Nesting() { --depth; }
        Nesting(const Nesting&) = delete;
        Nesting& operator=(const Nesting&) = delete;
        int& depth;
    };

    /// Inside brackets, bars and set-builder colons mean what they mean at the top again.
    struct Scope {
        Scope(Parser& parser, bool in_set, bool in_square = false)
            : p(parser), bars(parser.bars_), set(parser.in_set_), square(parser.square_) {
            p.bars_ = 0;
            p.in_set_ = in_set;
            p.square_ = in_square;
        }
        ~Scope() {
            p.bars_ = bars;
            p.in_set_ = set;
            p.square_ = square;
        }
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;
        Parser& p;
        int bars;
        bool set;
        bool square;
    };

    /// Chains such as a/b/c/d make a deep tree without nesting.
    static void count_link(int& links) {
        if (++links > kMaxDepth) throw ParseError{};
    }

    [[nodiscard]] const Token& next(std::size_t ahead = 0) const {
        return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
    }
    Token take() {
        budget_.spend();
        return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_];
    }

    bool accept(std::string_view sign) {
        if (!next().is(sign)) return false;
        take();
        return true;
    }

    void expect(std::string_view sign) {
        if (!accept(sign)) throw ParseError{};
    }

    // ---- lists and relations
    [[nodiscard]] bool at_connective() const {
        return next().is("and") || next().is("or") || next().is("land") || next().is("lor");
    }
    /// "for k in Z", "where k in Z" behind an answer.
    [[nodiscard]] bool at_parameter() const {
        const bool word = next().kind == TokenKind::text &&
                          (next().text == "for" || next().text == "where" || next().text == "with" ||
                           next().text == "for any" || next().text == "for all");
        return word && next(1).kind == TokenKind::symbol && next(2).is("i");
    }
    [[nodiscard]] bool at_separator() const {
        return next().is(",") || next().is(";") || at_connective() || at_parameter();
    }
    /// Elements up to something that isn't a separator; repeated and trailing separators count once.
    std::vector<Expression> elements(std::string& connective);
    Expression list();
    [[nodiscard]] char relation_sign() const;
    Expression relation();
    Expression set_expression();
    Expression ratio();

    // ---- arithmetic
    Expression sum();
    static Expression with_sign(std::string_view sign, Expression term);
    Expression product();
    Expression signed_factor();
    static Expression times(Expression left, Expression right);
    static Expression quotient(Expression top, Expression bottom);
    static bool is_vector(const Expression& e);
    [[nodiscard]] bool at_matrix() const;
    /// "2x", "3 1/2", "3\frac{1}{2}", "15 (cakes)".
    Expression juxtaposed(Expression left);
    /// Words behind a quantity and their power: "cm", "cm^2", "km / h".
    std::string unit_words();
    static Expression with_unit(Expression quantity, std::string words);
    [[nodiscard]] bool starts_operand() const;
    [[nodiscard]] bool starts_implicit_factor() const;
    [[nodiscard]] bool starts_bracketed() const;

    // ---- powers and postfixes
    Expression factor();
    /// Behind a "^"; towers group from the right.
    Expression exponent();
    /// "^\circ", "^{\circ}", "degrees": taken if there; a following C or F is its scale.
    bool at_degree(std::string& scale);
    /// A group, or the one token that LaTeX would take ("\frac12"); with all_digits "x^12" is x to the twelfth.
    Expression argument(bool all_digits = false);
    /// "x + 1 \over 2" and "n \choose k" take all that stands around them.
    Expression list_or_fraction();
    Expression group();

    // ---- atoms
    Expression atom();
    Expression number();
    static int small_integer(const std::string& digits);
    /// The text of a group or token, spaces and typography gone: a subscript is a part of a name.
    std::string flat_group();
    Expression symbol();
    /// Subscripts and primes.
    void suffixes(std::string& name);
    /// "^{-1}(" behind f.
    [[nodiscard]] bool at_inverse() const;
    static bool is_function_name(const std::string& name);
    Expression text();
    Expression sign_atom();
    /// "$5": the number behind a currency sign.
    Expression amount(std::string currency);
    /// \angle ABC: the letters are one name.
    Expression angle();
    /// "all real numbers", "no solution", "all integers".
    static std::optional<Expression> named_set(std::string_view words);
    Expression root();
    Expression rounded(const char* name);
    /// ( ), [ ], half-open and outward brackets: one entry is a parenthesis, several a tuple or interval.
    Expression bracket();
    /// \{1, 2\} or \{x | condition\}, which is its condition.
    Expression braces();
    Expression bars();
    Expression environment(bool cases = false);
    /// Of a square matrix of up to four rows, written out.
    Expression determinant(const Expression& rows);

    // ---- known functions
    Expression function();
    [[nodiscard]] bool at_degree_ahead() const { return next(1).is("deg"); }
    void function_arguments(Expression& call);
    /// Sums, integrals, limits: kept as they are written, compared by structure.
    Expression big_operator(const std::string& name);
    /// A sum or product over few integers, written out.
    std::optional<Expression> written_out(const Expression& call);

    std::vector<Token> tokens_;
    Budget& budget_;
    std::size_t at_ = 0;
    int depth_ = 0;
    int bars_ = 0;
    bool in_set_ = false;
    bool square_ = false;
    bool in_cases_ = false;
};

}  // namespace tdrm::math
