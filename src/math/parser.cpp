#include "tdrm/math/parser.hpp"

#include "parser_rules.hpp"

namespace tdrm::math {

std::vector<Expression> Parser::elements(std::string& connective) {
    std::vector<Expression> result;
    connective.assign(1, ',');
    while (at_separator()) take();
    bool joined_by_and = false;
    while (starts_operand()) {
        Expression item = relation();
        if (joined_by_and && is_text(item) && !result.empty() && result.back().is(Kind::unit))
            result.back().name += " " + item.name.substr(kTextPrefix.size());  // "3 cats and dogs"
        else
            result.push_back(std::move(item));
        joined_by_and = false;
        bool separated = false;
        for (; at_separator(); separated = true) {
            const bool word = at_connective();
            joined_by_and = next().is("and");
            const Token token = take();
            if (!word) continue;
            // "p \land q \lor r" means something, but not a list.
            if (connective != "," && connective != token.text && (connective[0] == 'l' || token.text[0] == 'l'))
                throw ParseError{};
            connective = token.text;
        }
        if (!separated) break;
    }
    return result;
}

Expression Parser::list() {
    const Nesting nesting(*this);
    std::string connective;
    std::vector<Expression> items = elements(connective);
    if (items.empty()) throw ParseError{};
    if (items.size() == 1) return std::move(items.front());
    return make(Kind::list, connective, std::move(items));
}

char Parser::relation_sign() const {
    if (next().kind != TokenKind::sign || next().text.size() != 1) return 0;
    return std::string_view("=<>lgnioatTsSuU~pPN").find(next().text[0]) == std::string_view::npos ? '\0'
                                                                                                  : next().text[0];
}

Expression Parser::relation() {
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

Expression Parser::set_expression() {
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

Expression Parser::ratio() {
    Expression first = sum();
    if (in_set_ || !next().is(":")) return first;
    Expression result = make(Kind::ratio, {});
    result.args.push_back(std::move(first));
    while (accept(":")) result.args.push_back(sum());
    return result;
}

std::optional<Expression> parse(std::string_view answer, Comma comma, Budget& budget) {
    std::vector<Token> tokens = tokenize(answer, comma, budget);
    if (tokens.size() == 1) return std::nullopt;
    try {
        return Parser(std::move(tokens), budget).whole();
    } catch (const ParseError&) {
        return std::nullopt;
    }
}

}  // namespace tdrm::math
