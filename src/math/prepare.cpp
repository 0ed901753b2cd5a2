#include "prepare.hpp"

#include <algorithm>
#include <functional>
#include <iterator>
#include <map>
#include <set>

#include "tdrm/math/compare.hpp"

namespace tdrm::math {
namespace {

bool has_plus_minus(const Expression& e) {
    return any_node(e, [](const Expression& node) { return node.is(Kind::plus_minus); });
}

Expression with_signs(const Expression& e, bool upper) {
    if (e.is(Kind::plus_minus)) {
        Expression inside = with_signs(e.args[0], upper);
        return (e.name == "+") == upper ? inside : make(Kind::negate, {std::move(inside)});
    }
    Expression result = e;
    for (Expression& arg : result.args) arg = with_signs(arg, upper);
    return result;
}

/// "n = 1, 2, 3": the name belongs to all values.
Expression without_leading_name(Expression e) {
    if (!e.is(Kind::list) || !e.args[0].is(Kind::relation, "=") || !is_name(e.args[0].args[0])) return e;
    for (std::size_t i = 1; i < e.args.size(); ++i)
        if (e.args[i].is(Kind::relation)) return e;
    e.args[0] = Expression(e.args[0].args[1]);
    return e;
}

/// "pi/6 + k pi, k in Z": where the parameter comes from doesn't matter.
Expression without_parameters(Expression e) {
    if (!e.is(Kind::list)) return e;
    const auto is_parameter = [](const Expression& item) {
        return item.is(Kind::relation, "i") && item.args[1].is(Kind::symbol) && item.args[1].name.starts_with("set ");
    };
    std::vector<Expression> kept;
    std::copy_if(e.args.begin(), e.args.end(), std::back_inserter(kept), std::not_fn(is_parameter));
    if (kept.size() == 1) return std::move(kept.front());
    if (!kept.empty()) e.args = std::move(kept);
    return e;
}

/// "p = 5, q = 2; p = 7, q = 2": one list for each time that all names have a value.
Expression with_grouped_assignments(Expression e) {
    if (!e.is(Kind::list) || e.args.size() < 4) return e;
    std::set<std::string> names;
    for (const Expression& item : e.args) {
        if (!item.is(Kind::relation, "=") || !item.args[0].is(Kind::symbol)) return e;
        names.insert(item.args[0].name);
    }
    if (names.size() < 2 || e.args.size() % names.size() != 0 || e.args.size() == names.size()) return e;
    Expression groups = make(Kind::list, ",", {});
    for (std::size_t i = 0; i < e.args.size(); i += names.size()) {
        Expression group = make(Kind::list, ",", {});
        std::set<std::string> seen;
        for (std::size_t k = i; k < i + names.size(); ++k) {
            seen.insert(e.args[k].args[0].name);
            group.args.push_back(e.args[k]);
        }
        if (seen.size() != names.size()) return e;
        groups.args.push_back(std::move(group));
    }
    return groups;
}

void collect_symbols(const Expression& e, std::set<std::string>& names) {
    if (e.is(Kind::symbol)) names.insert(e.name);
    for (const Expression& arg : e.args) collect_symbols(arg, names);
}

Expression with_numbered_symbols(Expression e) {
    std::set<std::string> names;
    collect_symbols(e, names);
    std::map<std::string, std::string> numbered;
    for (const std::string& name : names) numbered.emplace(name, "v" + std::to_string(numbered.size()));
    const auto rename = [&](const auto& self, Expression& node) -> void {
        if (node.is(Kind::symbol)) node.name = numbered.at(node.name);
        for (Expression& arg : node.args) self(self, arg);
    };
    rename(rename, e);
    return e;
}

}  // namespace

Expression expanded(const Expression& e) {
    if (!has_plus_minus(e) && !e.is(Kind::list)) return e;
    if (!e.is(Kind::list) && !e.is(Kind::set))
        return make(Kind::list, e.is(Kind::relation, "n") ? "and" : "or", {with_signs(e, true), with_signs(e, false)});
    Expression result = make(e.kind, e.name, {});
    for (const Expression& arg : e.args) {
        Expression item = expanded(arg);
        if (item.is(Kind::list))
            result.args.insert(result.args.end(), item.args.begin(), item.args.end());
        else
            result.args.push_back(std::move(item));
    }
    return result;
}

Expression prepared(const Expression& answer, bool strict_symbols) {
    Expression result = with_grouped_assignments(without_leading_name(without_parameters(expanded(answer))));
    return strict_symbols ? result : with_numbered_symbols(std::move(result));
}

}  // namespace tdrm::math
