#include "tdrm/task/math/parser.hpp"

#include "tdrm/task/math/characters.hpp"
#include "tdrm/task/math/words.hpp"

namespace tdrm::task::math {
namespace {

struct ParseError {};

constexpr std::string_view kTextPrefix = "text:";

bool is_text(const Expression& e) { return e.is(Kind::symbol) && e.name.starts_with(kTextPrefix); }

bool is_integer(const Expression& e) { return e.is(Kind::number) && !e.inexact && e.value().get_den() == 1; }

bool is_proper_fraction(const Expression& e) {
    return e.is(Kind::divide) && is_integer(e.args[0]) && is_integer(e.args[1]) &&
           e.args[0].value() < e.args[1].value();
}

class Parser {
public:
    Parser(std::vector<Token> tokens, Budget& budget) : tokens_(std::move(tokens)), budget_(budget) {}

    Expression whole() {
        accept("=");  // "= 5", "\approx 3.14"
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

    [[nodiscard]] bool at_separator() const {
        return next().is(",") || next().is(";") || next().is("and") || next().is("or");
    }

    /// Elements up to something that isn't a separator; repeated and trailing separators count once.
    std::vector<Expression> elements(std::string& connective) {
        std::vector<Expression> result;
        connective = ",";
        while (at_separator()) take();
        while (starts_operand()) {
            result.push_back(relation());
            bool separated = false;
            for (; at_separator(); separated = true)
                if (const Token token = take(); token.is("and") || token.is("or")) connective = token.text;
            if (!separated) break;
        }
        return result;
    }

    Expression list() {
        const Nesting nesting(*this);
        std::string connective;
        std::vector<Expression> items = elements(connective);
        if (items.empty()) throw ParseError{};
        if (items.size() == 1) return std::move(items.front());
        return make(Kind::list, connective, std::move(items));
    }

    [[nodiscard]] char relation_sign() const {
        if (next().kind != TokenKind::sign || next().text.size() != 1) return 0;
        return std::string_view("=<>lgnio").find(next().text[0]) == std::string_view::npos ? '\0' : next().text[0];
    }

    Expression relation() {
        Expression first = set_expression();
        if (!relation_sign()) return first;
        Expression chain = make(Kind::relation, {});
        chain.args.push_back(std::move(first));
        while (const char sign = relation_sign()) {
            take();
            chain.name += sign;
            chain.args.push_back(set_expression());
        }
        return chain;
    }

    Expression set_expression() {
        Expression left = ratio();
        for (int links = 0; next().is("cup") || next().is("cap") || next().is("setminus"); count_link(links)) {
            const Token sign = take();
            const Kind kind = sign.text == "cup"   ? Kind::set_union
                              : sign.text == "cap" ? Kind::intersection
                                                   : Kind::difference;
            Expression right = ratio();
            left = make(kind, {std::move(left), std::move(right)});
        }
        return left;
    }

    Expression ratio() {
        Expression first = sum();
        if (in_set_ || !next().is(":")) return first;
        Expression result = make(Kind::ratio, {});
        result.args.push_back(std::move(first));
        while (accept(":")) result.args.push_back(sum());
        return result;
    }

    // ---- arithmetic

    Expression sum() {
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

    static Expression with_sign(std::string_view sign, Expression term) {
        if (sign == "-") return make(Kind::negate, {std::move(term)});
        if (sign == "pm") return make(Kind::plus_minus, "+", {std::move(term)});
        if (sign == "mp") return make(Kind::plus_minus, "-", {std::move(term)});
        return term;
    }

    Expression product() {
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

    Expression signed_factor() {
        if (next().is("-") || next().is("+")) {
            const Nesting nesting(*this);
            const Token sign = take();
            return with_sign(sign.text, signed_factor());
        }
        return factor();
    }

    static Expression times(Expression left, Expression right) {
        if (left.is(Kind::multiply)) {
            left.args.push_back(std::move(right));
            return left;
        }
        return make(Kind::multiply, {std::move(left), std::move(right)});
    }

    /// "2x", "3 1/2", "3\frac{1}{2}", "15 (cakes)".
    Expression juxtaposed(Expression left) {
        const bool plain_fraction = next().kind == TokenKind::number && next(1).is("/") &&
                                    next(2).kind == TokenKind::number && is_integer(left);
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

    /// Words behind a quantity and their power: "cm", "cm^2", "km / h".
    std::string unit_words() {
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
            words += "/" + unit_words();
        }
        return words;
    }

    static Expression with_unit(Expression quantity, std::string words) {
        if (const int magnitude = magnitude_word(words); magnitude > 0) {
            const mpz_class scale("1" + std::string(static_cast<std::size_t>(magnitude), '0'), 10);
            quantity = make(Kind::multiply, {std::move(quantity), make_number(scale)});
            words = words.substr(is_wide(words[0])                      ? 3
                                 : words.find(' ') == std::string::npos ? words.size()
                                                                        : words.find(' '));
            if (words.empty()) return quantity;
        }
        if (quantity.is(Kind::unit)) {
            quantity.name += " " + words;
            return quantity;
        }
        return make(Kind::unit, std::move(words), {std::move(quantity)});
    }

    [[nodiscard]] bool starts_operand() const {
        const Token& token = next();
        if (token.kind == TokenKind::end) return false;
        if (token.kind != TokenKind::sign) return true;
        for (const auto sign : {"+", "-", "pm", "mp", "]", "|"})
            if (token.text == sign) return true;
        return starts_bracketed();
    }
    [[nodiscard]] bool starts_implicit_factor() const {
        const Token& token = next();
        if (token.kind == TokenKind::end) return false;
        if (token.kind != TokenKind::sign) return true;
        if (token.is("|")) return bars_ == 0 && !in_set_;
        if (token.is("[")) return !square_;  // "[1, 2[" is half open
        return starts_bracketed();
    }
    [[nodiscard]] bool starts_bracketed() const {
        for (const auto sign : {"(", "[", "{", "\\{", "frac", "sqrt", "binom", "lfloor", "lceil", "overline", "accent",
                                "mathbb", "begin matrix", "begin vmatrix", "begin cases", "langle", "bigcup", "dot"})
            if (next().text == sign) return true;
        return false;
    }

    // ---- powers and postfixes

    Expression factor() {
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

    /// Behind a "^"; towers group from the right.
    Expression exponent() {
        const Nesting nesting(*this);
        Expression base = argument(true);
        if (!next().is("^") || next(1).is("deg")) return base;
        take();
        return make(Kind::power, {std::move(base), exponent()});
    }

    /// "^\circ", "^{\circ}", "degrees": taken if there; a following C or F belongs to it.
    bool at_degree() {
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

    /// A group, or the one token that LaTeX would take ("\frac12"); with all_digits "x^12" is x to the twelfth.
    Expression argument(bool all_digits = false) {
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

    /// "x + 1 \over 2" and "n \choose k" take all that stands around them.
    Expression list_or_fraction() {
        Expression above = list();
        if (!next().is("over") && !next().is("choose")) return above;
        const bool fraction = take().is("over");
        Expression below = list();
        if (fraction) return make(Kind::divide, {std::move(above), std::move(below)});
        return make(Kind::call, "binom", {std::move(above), std::move(below)});
    }

    Expression group() {
        const Scope scope(*this, false);
        expect("{");
        Expression inside = list_or_fraction();
        expect("}");
        return inside;
    }

    // ---- atoms

    Expression atom() {
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

    Expression number() {
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

    static int small_integer(const std::string& digits) {
        if (digits.empty() || digits.size() > 2) return -1;
        for (const char c : digits)
            if (!is_digit(c)) return -1;
        return std::stoi(digits);
    }

    /// The text of a group or token, spaces and typography gone: a subscript is a part of a name.
    std::string flat_group() {
        if (!next().is("{")) return take().text;
        std::string text;
        int open = 0;
        do {
            const Token token = take();
            if (token.kind == TokenKind::end) throw ParseError{};
            open += token.is("{") ? 1 : token.is("}") ? -1 : 0;
            if (!token.is("{") && !token.is("}")) text += token.text;
        } while (open > 0);
        return text;
    }

    Expression symbol() {
        std::string name = take().text;
        if (name == "pi" || name == "e" || name == "i" || name == "infinity" || name == "reals" || name == "empty") {
            if (!next().is("_")) return make(Kind::constant, name, {});
        }
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

    /// Subscripts and primes.
    void suffixes(std::string& name) {
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

    /// "^{-1}(" behind f.
    [[nodiscard]] bool at_inverse() const {
        return next().is("^") && next(1).is("{") && next(2).is("-") && next(3).text == "1" && next(4).is("}") &&
               next(5).is("(");
    }

    static bool is_function_name(const std::string& name) {
        const std::string_view head = std::string_view(name).substr(0, name.find_first_of("_'^"));
        for (const auto known : {"f", "g", "h", "F", "G", "H", "phi", "psi", "Phi", "Psi"})
            if (head == known) return true;
        return false;
    }

    Expression text() {
        const std::string words = take().text;
        for (const auto filler :
             {"about", "approximately", "approx", "exactly", "roughly", "only", "nearly", "\xE7\xBA\xA6",
              "\xE5\xA4\xA7\xE7\xBA\xA6", "\xE7\xBA\xA6\xE4\xB8\xBA", "\xE5\x85\xB1"})
            if (words == filler && starts_operand()) return atom();
        if (words.starts_with("\xE7\x99\xBE\xE5\x88\x86\xE4\xB9\x8B") && starts_operand())
            return make(Kind::percent, {atom()});
        return make(Kind::symbol, std::string(kTextPrefix) + word_key(words), {});
    }

    Expression sign_atom() {
        const std::string sign = next().text;
        if (sign == "(" || sign == "[" || sign == "]" || sign == "langle") return bracket();
        if (sign == "{") return group();
        if (sign == "\\{") return braces();
        if (sign == "|") return bars();
        if (sign.starts_with("begin ")) return environment();
        take();
        if (sign == "frac" || sign == "binom") {
            Expression top = argument();
            Expression bottom = argument();
            if (sign == "binom") return make(Kind::call, "binom", {std::move(top), std::move(bottom)});
            return make(Kind::divide, {std::move(top), std::move(bottom)});
        }
        if (sign == "sqrt") return root();
        if (sign == "lfloor" || sign == "lceil") return rounded(sign == "lfloor" ? "floor" : "ceil");
        if (sign == "mathbb") {
            const std::string name = flat_group();
            return name == "R" ? make(Kind::constant, "reals", {}) : make(Kind::symbol, "set " + name, {});
        }
        if (sign == "overline") return make(Kind::symbol, "bar " + flat_group(), {});
        if (sign == "accent" || sign == "dot") return make(Kind::symbol, flat_group(), {});
        if (sign == "bigcup") return big_operator("bigcup");
        throw ParseError{};
    }

    Expression root() {
        if (!next().is("[")) return make(Kind::call, "sqrt", {argument(true)});
        take();
        Expression degree = list();
        expect("]");
        return make(Kind::power, {argument(true), make(Kind::divide, {make_number(1), std::move(degree)})});
    }

    Expression rounded(const char* name) {
        const Scope scope(*this, false);
        Expression inside = sum();
        expect(name == std::string_view("floor") ? "rfloor" : "rceil");
        return make(Kind::call, name, {std::move(inside)});
    }

    /// ( ), [ ], half-open and outward brackets: one entry is a parenthesis, several a tuple or interval.
    Expression bracket() {
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

    /// \{1, 2\} or \{x | condition\}, which is its condition.
    Expression braces() {
        take();
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

    Expression bars() {
        take();
        const int outer = bars_;
        bars_ = 1;
        Expression inside = sum();
        expect("|");
        bars_ = outer;
        return make(Kind::call, "abs", {std::move(inside)});
    }

    Expression environment() {
        const std::string kind = take().text.substr(6);
        const Scope scope(*this, false);
        Expression rows = make(Kind::matrix, {});
        if (kind != "matrix") rows = make(Kind::call, kind == "cases" ? "cases" : "det", {});
        while (next().kind != TokenKind::end && !next().text.starts_with("end ")) {
            Expression row = make(Kind::tuple, "()", {});
            while (starts_operand()) {
                row.args.push_back(relation());
                if (!accept("&") && !(kind == "cases" && accept(","))) break;
            }
            if (!row.args.empty()) rows.args.push_back(std::move(row));
            if (!accept("\\\\") && !next().text.starts_with("end ")) throw ParseError{};
        }
        if (take().text != "end " + kind || rows.args.empty()) throw ParseError{};
        return rows;
    }

    // ---- known functions

    Expression function() {
        const std::string name = take().text;
        for (const auto big : {"sum", "prod", "int", "iint", "lim", "sup", "inf"})
            if (name == big) return big_operator(name);
        Expression call = make(Kind::call, name, {});
        Expression exponent;
        bool raised = false;
        while (next().is("_") || (next().is("^") && !at_degree_ahead())) {
            const bool base = take().is("_");
            Expression value = argument(true);
            if (base)
                call.args.push_back(std::move(value));
            else
                exponent = std::move(value), raised = true;
        }
        function_arguments(call);
        if (name == "log" && call.args.size() == 2) std::swap(call.args[0], call.args[1]);  // (x, base)
        if (!raised) return call;
        if (exponent.is(Kind::negate) && is_integer(exponent.args[0]) && exponent.args[0].value() == 1) {
            call.name = "arc" + name;
            return call;
        }
        return make(Kind::power, {std::move(call), std::move(exponent)});
    }

    [[nodiscard]] bool at_degree_ahead() const { return next(1).is("deg"); }

    void function_arguments(Expression& call) {
        if (next().is("(") || next().is("[") || next().is("{") || next().is("\\{")) {
            Expression inside = next().is("{") ? group() : next().is("\\{") ? braces() : bracket();
            if (inside.is(Kind::tuple) || inside.is(Kind::list) || inside.is(Kind::set))
                for (Expression& arg : inside.args) call.args.push_back(std::move(arg));
            else
                call.args.push_back(std::move(inside));
            return;
        }
        if (next().is("-")) {
            take();
            call.args.push_back(make(Kind::negate, {factor()}));
            return;
        }
        const bool nested = next().kind == TokenKind::function;
        Expression inside = factor();
        while (!nested && starts_implicit_factor() && next().kind != TokenKind::function &&
               next().kind != TokenKind::text && !next().is("("))
            inside = juxtaposed(std::move(inside));
        if (!nested && next().is("/") && inside.is(Kind::constant, "pi") && next(1).kind == TokenKind::number) {
            take();  // "\sin \pi/6" means the angle
            inside = make(Kind::divide, {std::move(inside), factor()});
        }
        call.args.push_back(std::move(inside));
    }

    /// Sums, integrals, limits: kept as they are written, compared by structure.
    Expression big_operator(const std::string& name) {
        Expression call = make(Kind::call, name, {});
        while (next().is("_") || next().is("^")) {
            const bool below = take().is("_");
            if (next().is("{")) {
                call.args.push_back(group());
            } else {
                call.args.push_back(argument(true));
            }
            call.name += below ? "_" : "^";
        }
        call.args.push_back(product());
        return call;
    }

    std::vector<Token> tokens_;
    Budget& budget_;
    std::size_t at_ = 0;
    int depth_ = 0;
    int bars_ = 0;
    bool in_set_ = false;
    bool square_ = false;
};

}  // namespace

std::optional<Expression> parse(std::string_view answer, Comma comma, Budget& budget) {
    std::vector<Token> tokens = tokenize(answer, comma, budget);
    if (tokens.size() == 1) return std::nullopt;
    try {
        return Parser(std::move(tokens), budget).whole();
    } catch (const ParseError&) {
        return std::nullopt;
    }
}

}  // namespace tdrm::task::math
