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
        Expression term = product();
        if (sign == "-" && term.is(Kind::call, "mod")) {  // -4 mod 7 is 3
            term.args[0] = make(Kind::negate, {std::move(term.args[0])});
            return term;
        }
        return with_sign(sign, std::move(term));
    }
    Expression left = factor();
    for (int links = 0;; count_link(links)) {
        if (next().is("*") || next().is("times") || next().is("cross")) {
            const bool vectors = next().is("cross") || (next().is("times") && (is_vector(left) || at_matrix()));
            take();
            Expression right = signed_factor();
            left = vectors ? make(Kind::call, "cross", {std::move(left), std::move(right)})
                           : times(std::move(left), std::move(right));
        } else if (next().is("bmod")) {
            take();
            left = make(Kind::call, "mod", {std::move(left), signed_factor()});
        } else if (next().is("/")) {
            take();
            Expression right = signed_factor();
            left = quotient(std::move(left), std::move(right));
        } else if (next().kind == TokenKind::sign && next().text.starts_with("currency ") &&
                   next(1).kind != TokenKind::number) {  // 5 EUR
            left = make(Kind::unit, take().text.substr(9), {std::move(left)});
        } else if (next().kind == TokenKind::text && !at_parameter()) {
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

/// The factors of a product do not commute if they are vectors.
bool Parser::is_vector(const Expression& e) {
    return e.is(Kind::symbol) ? e.name.starts_with("vec ") : e.is(Kind::call, "cross") || e.is(Kind::matrix);
}

bool Parser::at_matrix() const { return next(1).is("begin matrix"); }

/// "dy/dx" is no quotient of products.
Expression Parser::quotient(Expression top, Expression bottom) {
    const auto is_d = [](const Expression& e) { return e.is(Kind::symbol, "d"); };
    const auto starts_with_d = [&](const Expression& e) { return e.is(Kind::multiply) && is_d(e.args[0]); };
    if (starts_with_d(bottom) && (starts_with_d(top) || is_d(top))) throw ParseError{};
    return make(Kind::divide, {std::move(top), std::move(bottom)});
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
    if (next().is("(") && next(1).is("bmod")) {  // (mod 5)
        take(), take();
        Expression modulus = sum();
        expect(")");
        return times(std::move(left), make(Kind::call, "pmod", {std::move(modulus)}));
    }
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
    const bool letter = next(1).kind == TokenKind::symbol && !canonical_unit(next(1).text).empty();  // km / h
    if (next().is("/") && letter && !canonical_unit(words).empty()) {
        take();
        words += "/" + take().text;
    } else if (next().is("/") && next(1).kind == TokenKind::text) {
        take();
        words += "/";
        words += unit_words();
    }
    return words;
}

Expression Parser::with_unit(Expression quantity, std::string words) {
    if (const Magnitude magnitude = magnitude_word(words); magnitude.length > 0) {
        quantity = make(Kind::multiply, {std::move(quantity), make_number(magnitude.factor)});
        words = trimmed(words.substr(magnitude.length));
        if (words.empty()) return quantity;
    }
    if (!names_things(words)) throw ParseError{};
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
    return token.text.starts_with("currency ") || starts_bracketed();
}

bool Parser::starts_implicit_factor() const {
    const Token& token = next();
    if (token.kind == TokenKind::end || at_parameter()) return false;
    if (token.kind != TokenKind::sign) return true;
    if (token.is("|")) return bars_ == 0 && !in_set_;
    if (token.is("[")) return !square_;  // "[1, 2[" is half open
    return starts_bracketed();
}

bool Parser::starts_bracketed() const {
    for (const auto sign : {"(",      "[",        "{",        "\\{",          "frac",          "sqrt",        "binom",
                            "lfloor", "lceil",    "overline", "accent",       "vec",           "hat",         "tilde",
                            "angle",  "triangle", "mathbb",   "begin matrix", "begin vmatrix", "begin cases", "langle",
                            "bigcup", "dot"})
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
            if (next().kind == TokenKind::symbol || next().kind == TokenKind::number || next().is("("))
                throw ParseError{};  // the remainder of a program
            base = make(Kind::percent, {std::move(base)});
        } else if (next().is("deg") && base.is(Kind::symbol) &&
                   (next(1).kind == TokenKind::symbol || next(1).kind == TokenKind::function)) {
            throw ParseError{};  // f \circ g
        } else if (std::string scale; at_degree(scale)) {
            base = make(Kind::degree, {std::move(base)});
            if (!scale.empty()) base = make(Kind::unit, std::move(scale), {std::move(base)});
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

bool Parser::at_degree(std::string& scale) {
    std::size_t length = 0;
    if (next().is("deg"))
        length = 1;
    else if (next().is("^") && next(1).is("deg"))
        length = 2;
    else if (next().is("^") && next(1).is("{") && next(2).is("deg") && next(3).is("}"))
        length = 4;
    for (std::size_t i = 0; i < length; ++i) take();
    if (length > 1 && next().kind == TokenKind::symbol && (next().text == "C" || next().text == "F"))
        scale = take().text == "C" ? "celsius" : "fahrenheit";
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
    if (fraction) return quotient(std::move(above), std::move(below));
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
