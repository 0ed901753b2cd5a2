#include "jinja_expressions.hpp"

#include <algorithm>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/text.hpp"

namespace tdrm::text::jinja {
namespace {

[[noreturn]] void too_deep() {
    refuse(cat("expressions nested more than ", kMostExpressionDepth, " deep, which no real template needs"));
}

/// Bounds a recursion.
class Level {
public:
    explicit Level(int& depth) : depth_(depth) {
        if (++depth_ > kMostExpressionDepth) too_deep();
    }
    ~Level() { --depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

private:
    int& depth_;
};

}  // namespace

const Token& ExpressionParser::peek(std::size_t ahead) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
}
Token ExpressionParser::take() { return std::move(tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]); }
bool ExpressionParser::is_symbol(std::string_view text) const {
    return peek().kind == Token::Kind::symbol && peek().text == text;
}
bool ExpressionParser::is_name(std::string_view text) const {
    return peek().kind == Token::Kind::name && peek().text == text;
}
bool ExpressionParser::skip_symbol(std::string_view text) {
    const bool found = is_symbol(text);
    if (found) ++at_;
    return found;
}
bool ExpressionParser::skip_name(std::string_view text) {
    const bool found = is_name(text);
    if (found) ++at_;
    return found;
}
void ExpressionParser::unexpected(std::string_view wanted) const {
    const bool word = peek().kind == Token::Kind::name || peek().kind == Token::Kind::symbol;
    refuse(cat(word                                ? cat("\"", shortened(peek().text, 40), "\"")
               : peek().kind == Token::Kind::close ? "the end of a tag"
                                                   : "a value",
               " where ", wanted, " is expected"));
}
void ExpressionParser::expect_symbol(std::string_view text) {
    if (!skip_symbol(text)) unexpected(cat("\"", text, "\""));
}
std::string ExpressionParser::expect_name() {
    if (peek().kind != Token::Kind::name) unexpected("a name");
    return take().text;
}
int ExpressionParser::id_of(const std::string& name) {
    const auto [entry, added] = ids_.emplace(name, static_cast<int>(names_.size()));
    if (added) names_.push_back(name);
    return entry->second;
}

ExpressionPtr ExpressionParser::make(Kind kind, std::string text) {
    return std::make_unique<Expression>(Expression{kind, std::move(text)});
}
ExpressionPtr ExpressionParser::make(Kind kind, std::string text, ExpressionPtr left, ExpressionPtr right) {
    ExpressionPtr result = make(kind, std::move(text));
    if (left) result->operands.push_back(std::move(left));
    if (right) result->operands.push_back(std::move(right));
    return finish(std::move(result));
}
ExpressionPtr ExpressionParser::finish(ExpressionPtr node) {
    int depth = 0;
    for (const ExpressionPtr& operand : node->operands)
        if (operand) depth = std::max(depth, operand->depth);
    for (const Argument& argument : node->arguments) depth = std::max(depth, argument.value->depth);
    node->depth = depth + 1;
    if (node->depth > kMostExpressionDepth) too_deep();
    return node;
}

ExpressionPtr ExpressionParser::expression() {
    const Level level(depth_);
    ExpressionPtr left = or_expression();
    while (skip_name("if")) {
        ExpressionPtr result = make(Kind::conditional);
        result->operands.push_back(std::move(left));
        result->operands.push_back(or_expression());
        result->operands.push_back(skip_name("else") ? expression() : nullptr);
        left = finish(std::move(result));
    }
    return left;
}

ExpressionPtr ExpressionParser::tuple(bool inline_if, bool in_parentheses) {
    ExpressionPtr result = make(Kind::tuple);
    bool comma = false;
    const auto ends = [&] {
        return peek().kind == Token::Kind::close || is_symbol(")") ||
               (comma && (is_name("recursive") || is_name("if")));
    };
    while (!ends()) {
        result->operands.push_back(inline_if ? expression() : or_expression());
        if (!skip_symbol(",")) break;
        comma = true;
    }
    if (comma || (result->operands.empty() && in_parentheses)) return finish(std::move(result));
    if (result->operands.empty()) unexpected("an expression, which begins with a name");
    return std::move(result->operands[0]);
}

ExpressionPtr ExpressionParser::or_expression() {
    ExpressionPtr left = and_expression();
    while (skip_name("or")) left = make(Kind::either, "", std::move(left), and_expression());
    return left;
}
ExpressionPtr ExpressionParser::and_expression() {
    ExpressionPtr left = not_expression();
    while (skip_name("and")) left = make(Kind::both, "", std::move(left), not_expression());
    return left;
}
ExpressionPtr ExpressionParser::not_expression() {
    const Level level(depth_);
    if (skip_name("not")) return make(Kind::negation, "", not_expression());
    return comparison();
}

std::string ExpressionParser::comparison_operator() {
    for (const std::string_view symbol : {"==", "!=", "<", ">", "<=", ">="})
        if (skip_symbol(symbol)) return std::string(symbol);
    if (skip_name("in")) return "in";
    if (!is_name("not") || peek(1).kind != Token::Kind::name || peek(1).text != "in") return "";
    at_ += 2;
    return "not in";
}
ExpressionPtr ExpressionParser::comparison() {
    ExpressionPtr left = sum();
    std::string op = comparison_operator();
    if (op.empty()) return left;
    ExpressionPtr result = make(Kind::comparison, "", std::move(left));
    for (; !op.empty(); op = comparison_operator()) {
        result->operators.push_back(op);
        result->operands.push_back(sum());
    }
    return finish(std::move(result));
}

template <class Next>
ExpressionPtr ExpressionParser::left_to_right(std::initializer_list<std::string_view> symbols, Next&& next) {
    ExpressionPtr left = next();
    while (true) {
        const auto* op = std::find_if(symbols.begin(), symbols.end(), [this](auto s) { return is_symbol(s); });
        if (op == symbols.end()) return left;
        ++at_;
        left = make(Kind::arithmetic, std::string(*op), std::move(left), next());
    }
}
ExpressionPtr ExpressionParser::sum() {
    return left_to_right({"+", "-"}, [this] { return concatenation(); });
}
ExpressionPtr ExpressionParser::concatenation() {
    ExpressionPtr first = product();
    if (!is_symbol("~")) return first;
    ExpressionPtr result = make(Kind::concat);
    result->operands.push_back(std::move(first));
    while (skip_symbol("~")) result->operands.push_back(product());
    return finish(std::move(result));
}
ExpressionPtr ExpressionParser::product() {
    return left_to_right({"*", "//", "/", "%"}, [this] { return power(); });
}
ExpressionPtr ExpressionParser::power() {
    return left_to_right({"**"}, [this] { return unary(true); });
}

ExpressionPtr ExpressionParser::unary(bool with_filters) {
    const Level level(depth_);
    ExpressionPtr result;
    if (is_symbol("-") || is_symbol("+")) {
        const std::string sign = take().text;
        result = make(Kind::sign, sign, unary(false));
    } else {
        result = primary();
    }
    result = postfix(std::move(result));
    return with_filters ? filters(std::move(result)) : std::move(result);
}

ExpressionPtr ExpressionParser::literal() {
    ExpressionPtr result = make(Kind::literal);
    result->value = take().value;
    if (!result->value.is_text()) return result;
    std::string text = result->value.text();  // 'a' 'b' is one text
    for (; peek().kind == Token::Kind::literal && peek().value.is_text(); ++at_) text += peek().value.text();
    result->value = Value(std::move(text));
    return result;
}

ExpressionPtr ExpressionParser::primary() {
    if (skip_symbol("(")) {
        const Level level(depth_);
        ExpressionPtr inner = tuple(true, true);
        expect_symbol(")");
        return inner;
    }
    if (skip_symbol("[")) return sequence(make(Kind::list), "]", false);
    if (skip_symbol("{")) return sequence(make(Kind::dict), "}", true);
    if (peek().kind == Token::Kind::literal) return literal();
    if (peek().kind == Token::Kind::unknown) return make(Kind::unknown, take().text);
    const std::string name = expect_name();
    ExpressionPtr result = make(Kind::literal);
    if (name == "true" || name == "True") {
        result->value = true;
    } else if (name == "false" || name == "False") {
        result->value = false;
    } else if (name == "none" || name == "None") {
        result->value = None{};
    } else {
        result = make(Kind::name, name);
        result->id = id_of(name);
    }
    return result;
}

ExpressionPtr ExpressionParser::sequence(ExpressionPtr result, std::string_view close, bool pairs) {
    while (!skip_symbol(close)) {
        result->operands.push_back(expression());
        if (pairs) {
            expect_symbol(":");
            result->operands.push_back(expression());
        }
        if (!is_symbol(close)) expect_symbol(",");
    }
    return finish(std::move(result));
}

ExpressionPtr ExpressionParser::postfix(ExpressionPtr left) {
    while (true) {
        if (skip_symbol(".")) {
            left = attribute(std::move(left));
        } else if (skip_symbol("[")) {
            left = subscript(std::move(left));
        } else if (skip_symbol("(")) {
            left = call(std::move(left));
        } else {
            return left;
        }
    }
}

/// x.name, or x.0 for x[0].
ExpressionPtr ExpressionParser::attribute(ExpressionPtr left) {
    if (peek().kind != Token::Kind::literal || !peek().value.is_int())
        return make(Kind::attribute, expect_name(), std::move(left));
    ExpressionPtr index = make(Kind::literal);
    index->value = take().value;
    return make(Kind::item, "", std::move(left), std::move(index));
}

ExpressionPtr ExpressionParser::subscript(ExpressionPtr object) {
    std::vector<ExpressionPtr> parts(1);
    while (!skip_symbol("]")) {
        if (skip_symbol(":")) {
            parts.emplace_back();
        } else if (is_symbol(",") && parts.size() == 1 && parts[0]) {  // x[1, 2] is x[(1, 2)]
            ExpressionPtr key = make(Kind::tuple, "", std::move(parts[0]));
            while (skip_symbol(",")) key->operands.push_back(expression());
            parts[0] = finish(std::move(key));
        } else if (parts.back()) {
            unexpected("\"]\"");
        } else {
            parts.back() = expression();
        }
    }
    if (parts.size() == 1 && parts[0]) return make(Kind::item, "", std::move(object), std::move(parts[0]));
    if (parts.size() == 1 || parts.size() > 3) refuse("an empty or overlong subscript");
    parts.resize(3);
    ExpressionPtr result = make(Kind::slice);
    result->operands.push_back(std::move(object));
    for (ExpressionPtr& part : parts) result->operands.push_back(std::move(part));
    return finish(std::move(result));
}

/// Behind "(".
ExpressionPtr ExpressionParser::call(ExpressionPtr left) {
    left = make(Kind::call, "", std::move(left));
    left->arguments = arguments();
    return finish(std::move(left));
}

/// The name of a filter or a test.
std::string ExpressionParser::dotted_name() {
    std::string name = expect_name();
    while (skip_symbol(".")) name += '.' + expect_name();
    return name;
}

/// Behind "(".
std::vector<Argument> ExpressionParser::arguments() {
    std::vector<Argument> result;
    while (!skip_symbol(")")) {
        Argument argument{Argument::Kind::positional, "", nullptr};
        if (skip_symbol("*")) {
            argument.kind = Argument::Kind::list;
        } else if (skip_symbol("**")) {
            argument.kind = Argument::Kind::dict;
        } else if (peek().kind == Token::Kind::name && peek(1).kind == Token::Kind::symbol && peek(1).text == "=") {
            argument.kind = Argument::Kind::named;
            argument.name = take().text;
            ++at_;
        }
        argument.value = expression();
        result.push_back(std::move(argument));
        if (!is_symbol(")")) expect_symbol(",");
    }
    return result;
}

ExpressionPtr ExpressionParser::filter(ExpressionPtr left) {
    std::string name = dotted_name();
    ExpressionPtr result = make(Kind::filter, std::move(name));
    result->operands.push_back(std::move(left));
    if (skip_symbol("(")) result->arguments = arguments();
    return finish(std::move(result));
}

ExpressionPtr ExpressionParser::filters_only(ExpressionPtr left, bool named) {
    if (named) left = filter(std::move(left));
    while (skip_symbol("|")) left = filter(std::move(left));
    return left;
}

ExpressionPtr ExpressionParser::filters(ExpressionPtr left) {
    while (true) {
        if (skip_symbol("|")) {
            left = filter(std::move(left));
        } else if (skip_name("is")) {
            left = test(std::move(left));
        } else if (skip_symbol("(")) {
            left = call(std::move(left));
        } else {
            return left;
        }
    }
}

ExpressionPtr ExpressionParser::test(ExpressionPtr left) {
    const bool negated = skip_name("not");
    std::string name = dotted_name();
    ExpressionPtr result = make(Kind::test, std::move(name), std::move(left));
    const auto divides = [this] {
        return is_name("else") || is_name("or") || is_name("and") || is_name("if") || is_name("is") || is_name("in") ||
               is_name("not");
    };
    const bool value =
        peek().kind == Token::Kind::literal || peek().kind == Token::Kind::unknown || is_symbol("[") || is_symbol("{");
    if (skip_symbol("(")) {
        result->arguments = arguments();
    } else if (value || (peek().kind == Token::Kind::name && !divides())) {
        const Level level(depth_);
        result->arguments.push_back({Argument::Kind::positional, "", postfix(primary())});
    }
    result = finish(std::move(result));
    return negated ? make(Kind::negation, "", std::move(result)) : std::move(result);
}

}  // namespace tdrm::text::jinja
