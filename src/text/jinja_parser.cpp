#include <algorithm>

#include "jinja.hpp"
#include "jinja_lexer.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::text::jinja {
namespace {

/// Recursive descent over the tokens, with Jinja's precedences.
class Parser {
public:
    explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

    Nodes template_nodes() {
        Nodes nodes = parse_nodes();
        if (peek().kind != Token::Kind::end) fail(cat("a misplaced \"", tokens_[at_ + 1].text, "\""));
        return nodes;
    }

private:
    using Kind = Expression::Kind;

    [[nodiscard]] const Token& peek(std::size_t ahead = 0) const {
        return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
    }
    Token take() { return std::move(tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]); }
    [[nodiscard]] bool is_symbol(std::string_view text) const {
        return peek().kind == Token::Kind::symbol && peek().text == text;
    }
    [[nodiscard]] bool is_name(std::string_view text) const {
        return peek().kind == Token::Kind::name && peek().text == text;
    }
    bool skip_symbol(std::string_view text) {
        const bool found = is_symbol(text);
        if (found) ++at_;
        return found;
    }
    bool skip_name(std::string_view text) {
        const bool found = is_name(text);
        if (found) ++at_;
        return found;
    }
    void expect_symbol(std::string_view text) {
        if (!skip_symbol(text)) fail(cat("\"", peek().text, "\" where \"", text, "\" is expected"));
    }
    void expect_close() {
        if (peek().kind != Token::Kind::close) fail(cat("\"", peek().text, "\" at the end of a tag"));
        ++at_;
    }
    std::string expect_name() {
        if (peek().kind != Token::Kind::name) fail(cat("\"", peek().text, "\" where a name is expected"));
        return take().text;
    }

    /// Up to the end or a block that closes or divides the surrounding one.
    Nodes parse_nodes() {
        Nodes nodes;
        while (true) {
            if (peek().kind == Token::Kind::text) {
                nodes.push_back(Node{Node::Kind::text, take().text, {}, {}, {}, {}, {}});
            } else if (peek().kind == Token::Kind::open_output) {
                ++at_;
                nodes.push_back(Node{Node::Kind::output, "", expression(), {}, {}, {}, {}});
                expect_close();
            } else if (peek().kind == Token::Kind::open_block) {
                const std::string& name = peek(1).text;
                if (name.starts_with("end") || name == "else" || name == "elif") return nodes;
                ++at_;
                nodes.push_back(statement());
            } else {
                return nodes;
            }
        }
    }

    Nodes body() {
        expect_close();
        return parse_nodes();
    }
    void end_block(std::string_view name) {
        if (peek().kind != Token::Kind::open_block || peek(1).text != name) fail(cat("a missing ", name));
        at_ += 2;
        if (peek().kind == Token::Kind::name) ++at_;
        expect_close();
    }
    /// Enters "{% name" if it is next.
    bool divide(std::string_view name) {
        if (peek().kind != Token::Kind::open_block || peek(1).text != name) return false;
        at_ += 2;
        return true;
    }

    Node statement() {
        if (++depth_ > 100) fail("more than 100 nested blocks");
        const std::string name = expect_name();
        Node node{Node::Kind::block, "", {}, {}, {}, {}, {}};
        if (name == "if") {
            parse_if(node);
        } else if (name == "for") {
            parse_for(node);
        } else if (name == "set") {
            parse_set(node);
        } else if (name == "macro") {
            parse_macro(node);
        } else if (name == "generation") {
            node.bodies.push_back(body());
            end_block("endgeneration");
        } else if (name == "break" || name == "continue") {
            node.kind = name == "break" ? Node::Kind::leave : Node::Kind::next;
            expect_close();
        } else {
            fail(cat("the block \"", name, "\""));
        }
        --depth_;
        return node;
    }

    void parse_if(Node& node) {
        node.kind = Node::Kind::branch;
        do {
            node.conditions.push_back(expression());
            node.bodies.push_back(body());
        } while (divide("elif"));
        if (divide("else")) node.bodies.push_back(body());
        end_block("endif");
    }

    void parse_for(Node& node) {
        node.kind = Node::Kind::loop;
        do node.names.push_back(expect_name());
        while (skip_symbol(","));
        if (!skip_name("in")) fail("a for without in");
        node.expression = or_expression();
        if (skip_name("if")) node.condition = expression();
        node.bodies.push_back(body());
        if (divide("else")) node.bodies.push_back(body());
        end_block("endfor");
    }

    void parse_set(Node& node) {
        node.kind = Node::Kind::set;
        node.names.push_back(expect_name());
        if (skip_symbol(".")) node.names.push_back(expect_name());
        if (skip_symbol("=")) {
            node.expression = expression();
            expect_close();
        } else {
            node.bodies.push_back(body());
            end_block("endset");
        }
    }

    void parse_macro(Node& node) {
        node.kind = Node::Kind::macro;
        node.text = expect_name();
        expect_symbol("(");
        while (!skip_symbol(")")) {
            node.names.push_back(expect_name());
            node.conditions.push_back(skip_symbol("=") ? expression() : nullptr);
            if (!is_symbol(")")) expect_symbol(",");
        }
        node.bodies.push_back(body());
        end_block("endmacro");
    }

    static ExpressionPtr make(Kind kind, std::string text = "") {
        return std::make_unique<Expression>(Expression{kind, std::move(text), {}, {}, {}});
    }
    static ExpressionPtr make(Kind kind, std::string text, ExpressionPtr left, ExpressionPtr right = nullptr) {
        ExpressionPtr result = make(kind, std::move(text));
        result->operands.push_back(std::move(left));
        if (right) result->operands.push_back(std::move(right));
        return result;
    }

    ExpressionPtr expression() {
        if (++depth_ > 100) fail("more than 100 nested expressions");
        ExpressionPtr left = or_expression();
        while (skip_name("if")) {
            ExpressionPtr result = make(Kind::conditional, "", std::move(left), or_expression());
            result->operands.push_back(skip_name("else") ? expression() : nullptr);
            left = std::move(result);
        }
        --depth_;
        return left;
    }

    ExpressionPtr or_expression() {
        ExpressionPtr left = and_expression();
        while (skip_name("or")) left = make(Kind::binary, "or", std::move(left), and_expression());
        return left;
    }
    ExpressionPtr and_expression() {
        ExpressionPtr left = not_expression();
        while (skip_name("and")) left = make(Kind::binary, "and", std::move(left), not_expression());
        return left;
    }
    ExpressionPtr not_expression() {
        if (skip_name("not")) return make(Kind::unary, "not", not_expression());
        return comparison();
    }
    ExpressionPtr comparison() {
        ExpressionPtr left = sum();
        const auto op = [&]() -> std::string {
            for (const std::string_view symbol : {"==", "!=", "<", ">", "<=", ">="}) {
                if (skip_symbol(symbol)) return std::string(symbol);
            }
            if (skip_name("in")) return "in";
            if (is_name("not") && peek(1).text == "in") {
                at_ += 2;
                return "not in";
            }
            return "";
        };
        const std::string first = op();
        if (first.empty()) return left;
        left = make(Kind::binary, first, std::move(left), sum());
        if (!op().empty()) fail("a chain of comparisons");
        return left;
    }
    ExpressionPtr sum() {
        return left_to_right({"+", "-"}, [this] { return concatenation(); });
    }
    ExpressionPtr concatenation() {
        return left_to_right({"~"}, [this] { return product(); });
    }
    ExpressionPtr product() {
        return left_to_right({"*", "//", "/", "%"}, [this] { return unary(true); });
    }

    template <class Next>
    ExpressionPtr left_to_right(std::initializer_list<std::string_view> symbols, Next&& next) {
        ExpressionPtr left = next();
        while (true) {
            const auto* op = std::find_if(symbols.begin(), symbols.end(), [this](auto s) { return is_symbol(s); });
            if (op == symbols.end()) return left;
            ++at_;
            left = make(Kind::binary, std::string(*op), std::move(left), next());
        }
    }

    ExpressionPtr unary(bool with_filters) {
        if (skip_symbol("-")) {
            ExpressionPtr result = make(Kind::unary, "-", unary(false));
            return with_filters ? filters(std::move(result)) : std::move(result);
        }
        ExpressionPtr result = postfix(primary());
        return with_filters ? filters(std::move(result)) : std::move(result);
    }

    ExpressionPtr primary() {
        if (skip_symbol("(")) {
            ExpressionPtr inner = expression();
            expect_symbol(")");
            return inner;
        }
        if (skip_symbol("[")) return sequence(make(Kind::list), "]", false);
        if (skip_symbol("{")) return sequence(make(Kind::dict), "}", true);
        if (peek().kind == Token::Kind::literal) {
            ExpressionPtr result = make(Kind::literal);
            result->value = take().value;
            while (result->value.is_string() && peek().kind == Token::Kind::literal && peek().value.is_string()) {
                result->value = result->value.get<std::string>() + take().value.get<std::string>();
            }
            return result;
        }
        const std::string name = expect_name();
        ExpressionPtr result = make(Kind::literal);
        if (name == "true" || name == "True") {
            result->value = true;
        } else if (name == "false" || name == "False") {
            result->value = false;
        } else if (name != "none" && name != "None") {
            result = make(Kind::name, name);
        }
        return result;
    }

    ExpressionPtr sequence(ExpressionPtr result, std::string_view close, bool pairs) {
        while (!skip_symbol(close)) {
            result->operands.push_back(expression());
            if (pairs) {
                expect_symbol(":");
                result->operands.push_back(expression());
            }
            if (!is_symbol(close)) expect_symbol(",");
        }
        return result;
    }

    ExpressionPtr postfix(ExpressionPtr left) {
        while (true) {
            if (skip_symbol(".")) {
                left = make(Kind::attribute, expect_name(), std::move(left));
            } else if (skip_symbol("[")) {
                left = subscript(std::move(left));
            } else if (skip_symbol("(")) {
                left = make(Kind::call, "", std::move(left));
                left->arguments = arguments();
            } else {
                return left;
            }
        }
    }

    ExpressionPtr subscript(ExpressionPtr object) {
        std::vector<ExpressionPtr> parts(1);
        while (!skip_symbol("]")) {
            if (skip_symbol(":")) {
                parts.emplace_back();
            } else {
                parts.back() = expression();
            }
        }
        if (parts.size() == 1 && parts[0]) return make(Kind::item, "", std::move(object), std::move(parts[0]));
        if (parts.size() == 1 || parts.size() > 3) fail("an empty or overlong subscript");
        parts.resize(3);
        ExpressionPtr result = make(Kind::slice, "", std::move(object));
        for (ExpressionPtr& part : parts) result->operands.push_back(std::move(part));
        return result;
    }

    /// Behind "(".
    std::vector<Argument> arguments() {
        std::vector<Argument> result;
        while (!skip_symbol(")")) {
            Argument argument;
            if (peek().kind == Token::Kind::name && peek(1).kind == Token::Kind::symbol && peek(1).text == "=") {
                argument.name = take().text;
                ++at_;
            }
            argument.value = expression();
            result.push_back(std::move(argument));
            if (!is_symbol(")")) expect_symbol(",");
        }
        return result;
    }

    ExpressionPtr filters(ExpressionPtr left) {
        while (true) {
            if (skip_symbol("|")) {
                left = make(Kind::filter, expect_name(), std::move(left));
                if (skip_symbol("(")) left->arguments = arguments();
            } else if (skip_name("is")) {
                left = test(std::move(left));
            } else {
                return left;
            }
        }
    }

    ExpressionPtr test(ExpressionPtr left) {
        const bool negated = skip_name("not");
        ExpressionPtr result = make(Kind::test, expect_name(), std::move(left));
        const auto divides = [this] {
            return is_name("else") || is_name("or") || is_name("and") || is_name("if") || is_name("is") ||
                   is_name("in") || is_name("not");
        };
        if (skip_symbol("(")) {
            result->arguments = arguments();
        } else if (peek().kind == Token::Kind::literal || (peek().kind == Token::Kind::name && !divides())) {
            result->arguments.push_back({"", postfix(primary())});
        }
        return negated ? make(Kind::unary, "not", std::move(result)) : std::move(result);
    }

    std::vector<Token> tokens_;
    std::size_t at_ = 0;
    int depth_ = 0;
};

}  // namespace

Nodes parse(std::string_view source) { return Parser(tokenize(source)).template_nodes(); }

}  // namespace tdrm::text::jinja
