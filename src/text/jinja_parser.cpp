#include <set>

#include "jinja.hpp"
#include "jinja_expressions.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/text.hpp"

namespace tdrm::text::jinja {
namespace {

/// The blocks of a template around its expressions.
class StatementParser : ExpressionParser {
public:
    explicit StatementParser(std::vector<Token> tokens) : ExpressionParser(std::move(tokens)) {}

    Template run() {
        Template result;
        result.nodes = parse_nodes();
        if (peek().kind != Token::Kind::end) refuse(cat("a misplaced \"", peek(1).text, "\""));
        result.names = std::move(names_);
        return result;
    }

private:
    /// Up to the end or a block that closes or divides the surrounding one.
    Nodes parse_nodes() {
        Nodes nodes;
        while (true) {
            if (peek().kind == Token::Kind::text) {
                nodes.push_back({.kind = Node::Kind::text, .text = take().text});
            } else if (peek().kind == Token::Kind::open_output) {
                ++at_;
                nodes.push_back({.kind = Node::Kind::output});
                nodes.back().expressions.push_back(tuple(true));
                expect_close();
            } else if (peek().kind == Token::Kind::open_block) {
                const std::string& name = peek(1).text;
                if (unknown_ends_.contains(name)) {
                    skip_tag();
                    continue;
                }
                if (peek(1).kind == Token::Kind::name && (name.starts_with("end") || name == "else" || name == "elif"))
                    return nodes;
                ++at_;
                nodes.push_back(statement());
            } else {
                return nodes;
            }
        }
    }

    void expect_close() {
        if (peek().kind != Token::Kind::close) unexpected("the end of a tag");
        ++at_;
    }
    void skip_tag() {
        while (peek().kind != Token::Kind::close) ++at_;
        ++at_;
    }
    Nodes body() {
        skip_symbol(":");
        expect_close();
        return parse_nodes();
    }
    void end_block(std::string_view name) {
        if (peek().kind != Token::Kind::open_block || peek(1).text != name) refuse(cat("a missing ", name));
        at_ += 2;
        if (name == "endblock" && peek().kind == Token::Kind::name) ++at_;
        expect_close();
    }
    /// Enters "{% name" if it is next.
    bool divide(std::string_view name) {
        if (peek().kind != Token::Kind::open_block || peek(1).kind != Token::Kind::name || peek(1).text != name)
            return false;
        at_ += 2;
        return true;
    }

    Node statement() {
        if (++depth_ > kMostBlockDepth)
            refuse(cat("more than ", kMostBlockDepth, " nested blocks, which no real template needs"));
        const std::string name = expect_name();
        Node node{.kind = Node::Kind::scope};
        if (name == "if")
            parse_if(node);
        else if (name == "for")
            parse_for(node);
        else if (name == "set")
            parse_set(node);
        else if (name == "with")
            parse_with(node);
        else if (name == "macro")
            parse_macro(node);
        else if (name == "call")
            parse_call(node);
        else if (name == "filter")
            parse_filter(node);
        else if (name == "block")
            parse_block(node);
        else if (name == "print")
            parse_print(node);
        else if (name == "generation") {
            node.bodies.push_back(body());
            end_block("endgeneration");
        } else if (name == "break" || name == "continue") {
            node.kind = name == "break" ? Node::Kind::leave : Node::Kind::next;
            expect_close();
        } else {
            node.kind = Node::Kind::unknown;
            node.text = cat("the block \"", shortened(name, 40), "\"");
            unknown_ends_.insert("end" + name);
            skip_tag();
        }
        --depth_;
        return node;
    }

    void parse_if(Node& node) {
        node.kind = Node::Kind::branch;
        do {
            node.expressions.push_back(tuple(false));
            node.bodies.push_back(body());
        } while (divide("elif"));
        if (divide("else")) node.bodies.push_back(body());
        end_block("endif");
    }

    void parse_for(Node& node) {
        node.kind = Node::Kind::loop;
        node.targets.push_back(targets(false));
        if (!skip_name("in")) refuse("a for without in");
        node.expressions.push_back(tuple(false));
        node.expressions.push_back(skip_name("if") ? expression() : nullptr);
        node.recursive = skip_name("recursive");
        node.bodies.push_back(body());
        if (divide("else")) node.bodies.push_back(body());
        end_block("endfor");
    }

    Target target(bool with_members) {
        if (skip_symbol("(")) {
            if (++depth_ > kMostBlockDepth) refuse("deeply nested names");
            Target inner = targets(with_members);
            expect_symbol(")");
            --depth_;
            return inner;
        }
        const std::string name = expect_name();
        Target result{.id = id_of(name), .name = name};
        if (with_members && skip_symbol(".")) result.member = expect_name();
        return result;
    }
    Target targets(bool with_members) {
        Target first = target(with_members);
        if (!is_symbol(",")) return first;
        Target result{.is_tuple = true};
        result.parts.push_back(std::move(first));
        while (skip_symbol(",") && (peek().kind == Token::Kind::name || is_symbol("(")) && !is_name("in"))
            result.parts.push_back(target(with_members));
        return result;
    }

    void parse_set(Node& node) {
        node.kind = Node::Kind::set;
        node.targets.push_back(targets(true));
        if (skip_symbol("=")) {
            node.expressions.push_back(tuple(true));
            expect_close();
            return;
        }
        node.kind = Node::Kind::set_block;
        node.expressions.push_back(filters_only(nullptr));
        node.bodies.push_back(body());
        end_block("endset");
    }

    void parse_with(Node& node) {
        node.kind = Node::Kind::with;
        while (peek().kind != Token::Kind::close) {
            if (!node.targets.empty()) expect_symbol(",");
            node.targets.push_back(target(false));
            expect_symbol("=");
            node.expressions.push_back(expression());
        }
        node.bodies.push_back(body());
        end_block("endwith");
    }

    /// Behind "(".
    void parse_parameters(Node& node) {
        while (!skip_symbol(")")) {
            const std::string name = expect_name();
            node.parameters.push_back({id_of(name), name, skip_symbol("=") ? expression() : nullptr});
            if (!is_symbol(")")) expect_symbol(",");
        }
    }
    void parse_macro(Node& node) {
        node.kind = Node::Kind::macro;
        node.text = expect_name();
        node.id = id_of(node.text);
        expect_symbol("(");
        parse_parameters(node);
        node.bodies.push_back(body());
        end_block("endmacro");
    }
    void parse_call(Node& node) {
        node.kind = Node::Kind::call;
        node.text = "caller";
        if (skip_symbol("(")) parse_parameters(node);
        node.expressions.push_back(expression());
        if (node.expressions[0]->kind != Expression::Kind::call) refuse("a call block that calls nothing");
        node.bodies.push_back(body());
        end_block("endcall");
    }
    void parse_filter(Node& node) {
        node.kind = Node::Kind::filter_block;
        node.expressions.push_back(filters_only(nullptr, true));
        node.bodies.push_back(body());
        end_block("endfilter");
    }
    void parse_block(Node& node) {
        node.kind = Node::Kind::block;
        (void)expect_name();
        if (skip_name("scoped")) node.kind = Node::Kind::scope;
        skip_name("required");
        node.bodies.push_back(body());
        end_block("endblock");
    }
    void parse_print(Node& node) {
        node.kind = Node::Kind::output;
        while (peek().kind != Token::Kind::close) {
            if (!node.expressions.empty()) expect_symbol(",");
            node.expressions.push_back(expression());
        }
        expect_close();
    }

    int depth_ = 0;
    std::set<std::string> unknown_ends_;  ///< what closes blocks that aren't known
};

}  // namespace

Template parse(std::string_view source) { return StatementParser(tokenize(source)).run(); }

}  // namespace tdrm::text::jinja
