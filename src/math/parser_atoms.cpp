// Numbers, names, brackets.
#include "parser_rules.hpp"
#include "tdrm/math/characters.hpp"
#include "tdrm/math/words.hpp"

namespace tdrm::math {
Expression Parser::atom() {
    const Nesting nesting(*this);
    switch (next().kind) {
        case TokenKind::number:
            return number();
        case TokenKind::symbol:
            return symbol();
        case TokenKind::function:
            return function();
        case TokenKind::text:
            return text();
        case TokenKind::sign:
            return sign_atom();
        default:
            throw ParseError{};
    }
}

Expression Parser::number() {
    const Token token = take();
    Expression value = make_number(*token.number, token.inexact);
    if (!next().is("_") || token.text.empty()) return value;
    take();
    const std::string base_text = flat_group();
    const int base = base_text == "eight" ? 8 : base_text == "two" ? 2 : small_integer(base_text);
    mpz_class in_base;
    if (base < 2 || base > 10 || in_base.set_str(token.text, base) != 0) throw ParseError{};
    return make_number(in_base);
}

int Parser::small_integer(const std::string& digits) {
    if (digits.empty() || digits.size() > 2) return -1;
    for (const char c : digits)
        if (!is_digit(c)) return -1;
    return std::stoi(digits);
}

std::string Parser::flat_group() {
    if (!next().is("{")) return take().text;
    std::string text;
    int open = 0;
    do {
        const Token token = take();
        if (token.kind == TokenKind::end) throw ParseError{};
        open += token.is("{") ? 1 : token.is("}") ? -1 : 0;
        if (!token.is("{") && !token.is("}") && !token.is("angle")) text += token.text;
    } while (open > 0);
    return text;
}

Expression Parser::symbol() {
    std::string name = take().text;
    if (name == "pi" || name == "e" || name == "i" || name == "infinity" || name == "reals" || name == "empty") {
        if (!next().is("_")) return make(Kind::constant, name, {});
    }
    if (name.size() == 1 && next().kind == TokenKind::number && !next().space_before && !next().text.empty())
        name += "_" + take().text;  // x1
    suffixes(name);
    if (is_function_name(name) && at_inverse()) {
        for (int i = 0; i < 5; ++i) take();
        name += "^-1";
    }
    const bool at_zero = next().is("(") && next(1).text == "0" && next(2).is(")");  // nobody multiplies by (0)
    if (at_zero || (is_function_name(name) && next().is("("))) {
        Expression inside = bracket();
        if (inside.is(Kind::tuple)) return make(Kind::call, name, std::move(inside.args));
        return make(Kind::call, name, {std::move(inside)});
    }
    return make(Kind::symbol, name, {});
}

void Parser::suffixes(std::string& name) {
    for (;;) {
        if (accept("_")) {
            name += "_" + flat_group();
        } else if (accept("'")) {
            name += "'";
        } else if (next().is("^") && (next(1).is("'") || next(1).is("*"))) {
            take();
            name += take().text;
        } else if (next().is("^") && next(1).is("{") && (next(2).is("'") || next(2).is("*"))) {
            take();
            name += flat_group();
        } else {
            return;
        }
    }
}

bool Parser::at_inverse() const {
    return next().is("^") && next(1).is("{") && next(2).is("-") && next(3).text == "1" && next(4).is("}") &&
           next(5).is("(");
}

bool Parser::is_function_name(const std::string& name) {
    const std::string_view head = std::string_view(name).substr(0, name.find_first_of("_'^"));
    for (const auto known : {"f", "g", "h", "F", "G", "H", "phi", "psi", "Phi", "Psi"})
        if (head == known) return true;
    return false;
}

Expression Parser::text() {
    const std::string words = take().text;
    if (auto set = named_set(word_key(words))) return std::move(*set);
    if (const int value = number_word(words); value >= 0 && !starts_operand()) return make_number(value);
    if (in_cases_ && (words == "if" || words == "for" || words == "when" || words == "where") && starts_operand())
        return atom();
    for (const auto filler :
         {"just", "the number", "about", "approximately", "approx", "exactly", "roughly", "only", "nearly",
          "\xE7\xBA\xA6", "\xE5\xA4\xA7\xE7\xBA\xA6", "\xE7\xBA\xA6\xE4\xB8\xBA", "\xE5\x85\xB1"})
        if (words == filler && starts_operand()) return atom();
    if (words.starts_with("\xE7\x99\xBE\xE5\x88\x86\xE4\xB9\x8B") && starts_operand())
        return make(Kind::percent, {atom()});
    return make(Kind::symbol, std::string(kTextPrefix) + word_key(words), {});
}

std::optional<Expression> Parser::named_set(std::string_view words) {
    for (const auto reals : {"allrealnumbers", "allreals", "allrealnumber", "allrealvalues", "realnumbers", "thereals",
                             "therealnumbers", "thesetofallrealnumbers", "thesetofrealnumbers", "anyrealnumber",
                             "\xE5\x85\xA8\xE4\xBD\x93\xE5\xAE\x9E\xE6\x95\xB0"})
        if (words == reals) return make(Kind::constant, "reals", {});
    for (const auto empty : {"nosolution", "nosolutions", "norealsolution", "norealsolutions", "emptyset",
                             "theemptyset", "\xE6\x97\xA0\xE8\xA7\xA3", "\xE7\xA9\xBA\xE9\x9B\x86"})
        if (words == empty) return make(Kind::constant, "empty", {});
    for (const auto integers : {"allintegers", "theintegers", "integers", "thesetofallintegers"})
        if (words == integers) return make(Kind::symbol, "set Z", {});
    return std::nullopt;
}

Expression Parser::sign_atom() {
    const std::string sign = next().text;
    if (sign == "(" || sign == "[" || sign == "]" || sign == "langle") return bracket();
    if (sign == "{") return group();
    if (sign == "\\{") return braces();
    if (sign == "|") return bars();
    if (sign.starts_with("begin ")) return environment();
    take();
    if (sign.starts_with("currency ")) return amount(sign.substr(9));
    if (sign == "angle") return angle();
    if (sign == "vec") return make(Kind::symbol, "vec " + flat_group(), {});
    if (sign == "frac" || sign == "binom") {
        Expression top = argument();
        Expression bottom = argument();
        if (sign == "binom") return make(Kind::call, "binom", {std::move(top), std::move(bottom)});
        return quotient(std::move(top), std::move(bottom));
    }
    if (sign == "sqrt") return root();
    if (sign == "lfloor" || sign == "lceil") return rounded(sign == "lfloor" ? "floor" : "ceil");
    if (sign == "mathbb") {
        const std::string name = flat_group();
        return name == "R" ? make(Kind::constant, "reals", {}) : make(Kind::symbol, "set " + name, {});
    }
    if (sign == "overline") return make(Kind::symbol, "bar " + flat_group(), {});
    if (sign == "hat" || sign == "tilde" || sign == "dot") return make(Kind::symbol, sign + " " + flat_group(), {});
    if (sign == "accent") return make(Kind::symbol, flat_group(), {});
    if (sign == "bigcup") return big_operator("bigcup");
    throw ParseError{};
}

Expression Parser::amount(std::string currency) {
    const bool minus = accept("-");
    Expression value = make(Kind::unit, std::move(currency), {factor()});
    return minus ? make(Kind::negate, {std::move(value)}) : value;
}

Expression Parser::angle() {
    std::string name;
    if (next().is("{")) {
        name = flat_group();
    } else {
        while (next().kind == TokenKind::symbol && (name.empty() || !next().space_before || next().text.size() == 1)) {
            const Token token = take();
            name += token.text;
            if (next().is("_") || next().is("'")) suffixes(name);
            if (name.size() >= 3) break;
        }
    }
    if (name.empty()) throw ParseError{};
    std::string reversed(name.rbegin(), name.rend());  // ABC and CBA are one angle
    const bool letters = std::all_of(name.begin(), name.end(), is_letter);
    return make(Kind::symbol, "angle " + (letters ? std::min(name, reversed) : name), {});
}

Expression Parser::root() {
    if (!next().is("[")) return make(Kind::call, "sqrt", {argument(true)});
    take();
    Expression degree = list();
    expect("]");
    return make(Kind::power, {argument(true), make(Kind::divide, {make_number(1), std::move(degree)})});
}

Expression Parser::rounded(const char* name) {
    const Scope scope(*this, false);
    Expression inside = sum();
    expect(name == std::string_view("floor") ? "rfloor" : "rceil");
    return make(Kind::call, name, {std::move(inside)});
}

Expression Parser::bracket() {
    const Scope scope(*this, false, !next().is("("));
    const Token open = take();
    std::string connective;
    std::vector<Expression> items = elements(connective);
    const Token close = take();
    const std::string ends = open.text + close.text;
    if (ends == "langlerangle") return make(Kind::tuple, "()", std::move(items));
    if (close.text != ")" && close.text != "]" && close.text != "[") throw ParseError{};
    const char left = open.text == "]" ? '(' : open.text[0];
    const char right = close.text == "[" ? ')' : close.text[0];
    if (items.size() == 1 && (ends == "()" || ends == "[]")) return std::move(items.front());
    if (items.empty() || (items.size() == 1 && ends != "()")) throw ParseError{};
    return make(Kind::tuple, std::string{left, right}, std::move(items));
}

Expression Parser::braces() {
    take();
    if (next().is("begin matrix") || next().is("begin cases")) {
        Expression rows = environment(true);
        return accept("\\}") ? make(Kind::set, {std::move(rows)}) : rows;
    }
    const Scope scope(*this, true);
    std::string connective;
    std::vector<Expression> items = elements(connective);
    if (next().is("|") || next().is(":")) {
        take();
        in_set_ = false;
        Expression condition = list();
        expect("\\}");
        return condition;
    }
    expect("\\}");
    if (items.empty()) return make(Kind::constant, "empty", {});
    return make(Kind::set, std::move(items));
}

Expression Parser::bars() {
    take();
    const int outer = bars_;
    bars_ = 1;
    Expression inside = sum();
    expect("|");
    bars_ = outer;
    if (inside.is(Kind::matrix)) return determinant(inside);
    return make(Kind::call, "abs", {std::move(inside)});
}

Expression Parser::environment(bool cases) {
    const std::string kind = take().text.substr(6);
    const Scope scope(*this, false);
    cases = cases || kind == "cases";
    in_cases_ = cases;
    Expression rows = make(Kind::matrix, {});
    if (cases) rows = make(Kind::call, "cases", {});
    while (next().kind != TokenKind::end && !next().text.starts_with("end ")) {
        Expression row = make(Kind::tuple, "()", {});
        while (starts_operand()) {
            row.args.push_back(relation());
            bool more = false;
            while (cases && (accept(",") || accept(";"))) more = true;
            if (!accept("&") && !more) break;
        }
        if (!row.args.empty()) rows.args.push_back(std::move(row));
        if (!accept("\\\\") && !next().text.starts_with("end ")) throw ParseError{};
    }
    in_cases_ = false;
    if (take().text != "end " + kind || rows.args.empty()) throw ParseError{};
    return kind == "vmatrix" && !cases ? determinant(rows) : rows;
}

}  // namespace tdrm::math
