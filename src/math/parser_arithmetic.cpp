// Sums, products, powers.
#include "parser_rules.hpp"
#include "tdrm/math/characters.hpp"
#include "tdrm/math/words.hpp"

namespace tdrm::math {

Expression Parser::sum() {
    const Nesting nesting(*this);
    std::vector<Expression> terms;
    terms.push_back(product());
    while (next().is("+") || next().is("-") || next().is("pm") || next().is("mp")) {
        const Token sign = take();
        terms.push_back(with_sign(sign.text, product()));
    }
    if (terms.size() == 1) return std::move(terms.front());
    return make(Kind::add, std::move(terms));
}

Expression Parser::with_sign(std::string_view sign, Expression term) {
    if (sign == "-") return make(Kind::negate, {std::move(term)});
    if (sign == "pm") return make(Kind::plus_minus, "+", {std::move(term)});
    if (sign == "mp") return make(Kind::plus_minus, "-", {std::move(term)});
    return term;
}

Expression Parser::product() {
    std::string sign;
    if (next().is("+") || next().is("-") || next().is("pm") || next().is("mp")) sign = take().text;
    if (!sign.empty()) {
        const Nesting nesting(*this);
        return with_sign(sign, product());
    }
    Expression left = factor();
    for (int links = 0;; count_link(links)) {
        if (next().is("*")) {
            take();
            left = times(std::move(left), signed_factor());
        } else if (next().is("/")) {
            take();
            Expression right = signed_factor();
            left = make(Kind::divide, {std::move(left), std::move(right)});
        } else if (next().kind == TokenKind::text) {
            left = with_unit(std::move(left), unit_words());
        } else if (starts_implicit_factor()) {
            left = juxtaposed(std::move(left));
        } else {
            return left;
        }
    }
}

Expression Parser::signed_factor() {
    if (next().is("-") || next().is("+")) {
        const Nesting nesting(*this);
        const Token sign = take();
        return with_sign(sign.text, signed_factor());
    }
    return factor();
}

Expression Parser::times(Expression left, Expression right) {
    if (left.is(Kind::multiply)) {
        left.args.push_back(std::move(right));
        return left;
    }
    return make(Kind::multiply, {std::move(left), std::move(right)});
}

Expression Parser::juxtaposed(Expression left) {
    const bool plain_fraction =
        next().kind == TokenKind::number && next(1).is("/") && next(2).kind == TokenKind::number && is_integer(left);
    const bool after_bracket = at_ > 0 && (tokens_[at_ - 1].is("}") || tokens_[at_ - 1].is(")"));
    if (next().kind == TokenKind::number && !plain_fraction && !after_bracket) throw ParseError{};
    const bool fraction = next().is("frac") || plain_fraction;
    Expression right = factor();
    if (plain_fraction) {
        take();
        right = make(Kind::divide, {std::move(right), factor()});
    }
    if (fraction && is_integer(left) && is_proper_fraction(right))
        return make(Kind::add, {std::move(left), std::move(right)});
    const bool measured = right.is(Kind::percent) || right.is(Kind::degree);  // 33\frac{1}{3}\%
    if (fraction && is_integer(left) && measured && is_proper_fraction(right.args[0]))
        return make(right.kind, {make(Kind::add, {std::move(left), std::move(right.args[0])})});
    if (is_text(right)) return with_unit(std::move(left), right.name.substr(kTextPrefix.size()));
    if (left.is(Kind::symbol) && right.is(Kind::tuple)) return make(Kind::call, left.name, std::move(right.args));
    return times(std::move(left), std::move(right));
}

std::string Parser::unit_words() {
    std::string words = take().text;
    if (next().is("^") && next(1).kind == TokenKind::number) {
        take();
        words += "^" + take().text;
    } else if (next().is("^") && next(1).is("{") && next(2).kind == TokenKind::number && next(3).is("}")) {
        take(), take();
        words += "^" + take().text;
        take();
    }
    if (next().is("/") && next(1).kind == TokenKind::text) {
        take();
        words += "/";
        words += unit_words();
    }
    return words;
}

Expression Parser::with_unit(Expression quantity, std::string words) {
    if (const int magnitude = magnitude_word(words); magnitude > 0) {
        const mpz_class scale("1" + std::string(static_cast<std::size_t>(magnitude), '0'), 10);
        quantity = make(Kind::multiply, {std::move(quantity), make_number(scale)});
        words = words.substr(is_wide(words[0])                      ? 3
                             : words.find(' ') == std::string::npos ? words.size()
                                                                    : words.find(' '));
        if (words.empty()) return quantity;
    }
    if (quantity.is(Kind::unit)) {
        quantity.name += " ";
        quantity.name += words;
        return quantity;
    }
    return make(Kind::unit, std::move(words), {std::move(quantity)});
}

bool Parser::starts_operand() const {
    const Token& token = next();
    if (token.kind == TokenKind::end) return false;
    if (token.kind != TokenKind::sign) return true;
    for (const auto sign : {"+", "-", "pm", "mp", "]", "|"})
        if (token.text == sign) return true;
    return starts_bracketed();
}

bool Parser::starts_implicit_factor() const {
    const Token& token = next();
    if (token.kind == TokenKind::end) return false;
    if (token.kind != TokenKind::sign) return true;
    if (token.is("|")) return bars_ == 0 && !in_set_;
    if (token.is("[")) return !square_;  // "[1, 2[" is half open
    return starts_bracketed();
}

bool Parser::starts_bracketed() const {
    for (const auto sign : {"(", "[", "{", "\\{", "frac", "sqrt", "binom", "lfloor", "lceil", "overline", "accent",
                            "mathbb", "begin matrix", "begin vmatrix", "begin cases", "langle", "bigcup", "dot"})
        if (next().text == sign) return true;
    return false;
}

Expression Parser::factor() {
    const Nesting nesting(*this);
    Expression base = atom();
    for (int links = 0;; count_link(links)) {
        if (accept("!")) {
            const bool twice = !next().space_before && accept("!");
            base = make(Kind::call, twice ? "factorial2" : "factorial", {std::move(base)});
        } else if (accept("%")) {
            base = make(Kind::percent, {std::move(base)});
        } else if (at_degree()) {
            base = make(Kind::degree, {std::move(base)});
        } else if (next().is("^")) {
            take();
            base = make(Kind::power, {std::move(base), exponent()});
        } else {
            return base;
        }
    }
}

Expression Parser::exponent() {
    const Nesting nesting(*this);
    Expression base = argument(true);
    if (!next().is("^") || next(1).is("deg")) return base;
    take();
    return make(Kind::power, {std::move(base), exponent()});
}

bool Parser::at_degree() {
    std::size_t length = 0;
    if (next().is("deg"))
        length = 1;
    else if (next().is("^") && next(1).is("deg"))
        length = 2;
    else if (next().is("^") && next(1).is("{") && next(2).is("deg") && next(3).is("}"))
        length = 4;
    for (std::size_t i = 0; i < length; ++i) take();
    if (length > 1 && next().kind == TokenKind::symbol && (next().text == "C" || next().text == "F")) take();
    return length > 0;
}

Expression Parser::argument(bool all_digits) {
    const Nesting nesting(*this);
    if (next().is("{")) return group();
    if (all_digits && (next().is("-") || next().is("+"))) {
        const Token sign = take();
        return with_sign(sign.text, argument(true));
    }
    Token& token = tokens_[at_];
    if (token.kind == TokenKind::number && token.text.size() > 1 && !all_digits) {
        Expression digit = make_number(token.text[0] - '0');
        token.text.erase(0, 1);
        token.number = std::make_shared<const mpq_class>(mpz_class(token.text, 10));
        budget_.spend(1 + token.text.size() / 16);
        return digit;
    }
    return atom();
}

Expression Parser::list_or_fraction() {
    Expression above = list();
    if (!next().is("over") && !next().is("choose")) return above;
    const bool fraction = take().is("over");
    Expression below = list();
    if (fraction) return make(Kind::divide, {std::move(above), std::move(below)});
    return make(Kind::call, "binom", {std::move(above), std::move(below)});
}

Expression Parser::group() {
    const Scope scope(*this, false);
    expect("{");
    Expression inside = list_or_fraction();
    expect("}");
    return inside;
}

}  // namespace tdrm::math
