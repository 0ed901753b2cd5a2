// Known functions, determinants, sums and products.
#include "parser_rules.hpp"

namespace tdrm::math {
namespace {

constexpr unsigned long kMaxTerms = 300, kMaxWrittenNodes = 6000;

}  // namespace

Expression Parser::determinant(const Expression& rows) {
    const std::size_t n = rows.args.size();
    const bool square =
        std::all_of(rows.args.begin(), rows.args.end(), [&](const Expression& row) { return row.args.size() == n; });
    if (!square || n > 4) return make(Kind::call, "det", rows.args);
    if (n == 1) return rows.args[0].args[0];
    std::vector<Expression> terms;  // along the first row
    for (std::size_t column = 0; column < n; ++column) {
        Expression minor = make(Kind::matrix, {});
        for (std::size_t i = 1; i < n; ++i) {
            Expression row = rows.args[i];
            row.args.erase(row.args.begin() + static_cast<std::ptrdiff_t>(column));
            minor.args.push_back(std::move(row));
        }
        budget_.spend(n * n);
        Expression term = make(Kind::multiply, {rows.args[0].args[column], determinant(minor)});
        terms.push_back(column % 2 == 0 ? std::move(term) : make(Kind::negate, {std::move(term)}));
    }
    return make(Kind::add, std::move(terms));
}

Expression Parser::function() {
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
    if (name == "det" && call.args.size() == 1 && call.args[0].is(Kind::matrix)) call = determinant(call.args[0]);
    if (name == "log" && call.args.size() == 2) std::swap(call.args[0], call.args[1]);  // (x, base)
    if (!raised) return call;
    if (exponent.is(Kind::negate) && is_integer(exponent.args[0]) && exponent.args[0].value() == 1) {
        call.name = "arc" + name;
        return call;
    }
    return make(Kind::power, {std::move(call), std::move(exponent)});
}

void Parser::function_arguments(Expression& call) {
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

Expression Parser::big_operator(const std::string& name) {
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
    if (auto terms = written_out(call)) return std::move(*terms);
    return call;
}

namespace {

std::size_t count_nodes(const Expression& e) {
    std::size_t count = 1;
    for (const Expression& arg : e.args) count += count_nodes(arg);
    return count;
}

Expression with_value(const Expression& e, const Expression& variable, const Expression& value) {
    if (e.kind == variable.kind && e.name == variable.name && e.args.empty()) return value;
    Expression result = e;
    for (Expression& arg : result.args) arg = with_value(arg, variable, value);
    return result;
}

}  // namespace

std::optional<Expression> Parser::written_out(const Expression& call) {
    if ((call.name != "sum_^" && call.name != "prod_^") || !call.args[0].is(Kind::relation, "=")) return std::nullopt;
    const Expression &variable = call.args[0].args[0], &first = call.args[0].args[1], &last = call.args[1];
    if (call.args[0].args.size() != 2 || (!variable.is(Kind::symbol) && !variable.is(Kind::constant, "i")))
        return std::nullopt;
    if (!is_integer(first) || !is_integer(last) || last.value() < first.value()) return std::nullopt;
    const mpz_class count = last.value().get_num() - first.value().get_num() + 1;
    const std::size_t nodes = count_nodes(call.args[2]);
    if (count > kMaxTerms || count * nodes > kMaxWrittenNodes) return std::nullopt;
    budget_.spend(count.get_ui() * nodes);
    std::vector<Expression> terms;
    for (mpz_class k = first.value().get_num(); k <= last.value().get_num(); ++k)
        terms.push_back(with_value(call.args[2], variable, make_number(mpq_class(k))));
    if (terms.size() == 1) return std::move(terms.front());
    return make(call.name == "sum_^" ? Kind::add : Kind::multiply, std::move(terms));
}

}  // namespace tdrm::math
