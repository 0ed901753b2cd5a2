// Equality of equations, inequalities and chains of them.
#include <algorithm>

#include "compare_rules.hpp"
#include "prepare.hpp"
#include "tdrm/math/fields.hpp"

namespace tdrm::math {
namespace {

/// Letters without numbers (a + b, |r - s|) or a function of something: what an equation may give a value to.
bool is_asked_quantity(const Expression& e) {
    const auto is_number = [](const Expression& node) { return node.is(Kind::number) || node.is(Kind::list); };
    const auto is_letter = [](const Expression& node) { return node.is(Kind::symbol); };
    if (is_flat(e) || is_set_operation(e) || e.is(Kind::relation)) return false;
    return any_node(e, is_letter) && !any_node(e, is_number);
}

bool holds_symbols(const Expression& e) {
    return any_node(e, [](const Expression& node) { return node.is(Kind::symbol); });
}

/// The relation read from right to left; nothing if that isn't the same statement for one of its signs.
Expression mirrored(const Expression& relation) {
    Expression result = relation;
    std::reverse(result.args.begin(), result.args.end());
    std::reverse(result.name.begin(), result.name.end());
    static constexpr std::string_view kSigns = "=<>lgna~pPsuSU", kMirrored = "=><glna~pPusUS";
    for (char& sign : result.name) {
        const std::size_t at = kSigns.find(sign);
        sign = at == std::string_view::npos ? '?' : kMirrored[at];
    }
    return result;
}

/// "f(y) = y + 1" with the variable of "f(x) = ...": what a function's argument is called doesn't matter.
Expression with_argument_of(const Expression& b, const Expression& a) {
    const auto defines = [](const Expression& e) {
        return e.name == "=" && e.args[0].is(Kind::call) && e.args[0].args.size() == 1 &&
               e.args[0].args[0].is(Kind::symbol);
    };
    if (!defines(a) || !defines(b) || a.args[0].name != b.args[0].name) return b;
    const std::string to = a.args[0].args[0].name, from = b.args[0].args[0].name;
    const bool taken = any_node(b, [&](const Expression& node) { return node.is(Kind::symbol, to); });
    if (to == from || taken) return b;
    Expression renamed = b;
    const auto rename = [&](const auto& self, Expression& node) -> void {
        if (node.is(Kind::symbol, from)) node.name = to;
        for (Expression& arg : node.args) self(self, arg);
    };
    rename(rename, renamed);
    return renamed;
}

bool is_scalar(const Expression& relation) {
    return std::none_of(relation.args.begin(), relation.args.end(), [](const Expression& side) {
        return is_flat(side) || is_set_operation(side) || side.is(Kind::matrix) || side.is(Kind::ratio);
    });
}

}  // namespace

/// What "x = 5", "5 = x", "2 + 3 = 5", "x in S" say, with any_quantity also "|r - s| = 16"; nothing for other
/// relations.
const Expression* Comparison::named_value(const Expression& relation, bool any_quantity) {
    const std::vector<Expression>& sides = relation.args;
    if (relation.name == "i") return is_name(sides[0]) ? &sides[1] : nullptr;
    if (relation.name.find_first_not_of('=') != std::string::npos) return nullptr;
    if (is_name(sides.front())) return &sides.back();
    if (relation.name.size() == 1 && sides.back().is(Kind::symbol) && rational_value(sides.front(), budget_))
        return &sides.front();
    if (any_quantity && is_asked_quantity(sides.front()) && !holds_symbols(sides.back())) return &sides.back();
    if (!is_scalar(relation) || holds_symbols(sides.front()) || holds_symbols(sides.back())) return nullptr;
    CompareOptions exactly;
    return compare_values(sides.front(), sides.back(), exactly, budget_) == Decision::equal ? &sides.back() : nullptr;
}

/// Whether `rounded`, a number as it is written, is `value` rounded or cut off.
bool Comparison::approximates(const Expression& value, const Expression& rounded) {
    const auto written = rational_value(rounded, budget_);
    const Approximation exact = approximate(value, Samples(), 0, budget_);
    if (!written || holds_symbols(value) || !exact.defined || abs_of(exact.im) > exact.error) return false;
    double unit = 1;
    mpq_class shifted = *written;
    for (int digits = 0; digits < 12 && shifted.get_den() != 1; ++digits, unit /= 10) shifted *= 10;
    const Real difference = abs_of(exact.re - Real(written->get_d()));
    return difference <= (unit == 1 ? 0.5001 : 1.0001) * unit;
}

/// "sqrt 3 / 3 ~ 0.577" is an exact value and what it is near to: either is the answer if they fit each other.
Decision Comparison::approximation(const Expression& relation, const Expression& other, bool relation_is_answer) {
    const std::size_t at = relation.name.find('a');
    if (relation.name.find_first_not_of("=a") != std::string::npos) return Decision::undecided;
    Expression exact = relation.args[at];
    if (at > 0) {
        exact = make(Kind::relation, relation.name.substr(0, at), {});
        exact.args.assign(relation.args.begin(), relation.args.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    }
    const Expression& last = relation.args[at];
    if (holds_symbols(last)) {  // "x ~ 3.14"
        Expression equation = relation;
        std::replace(equation.name.begin(), equation.name.end(), 'a', '=');
        return relation_and_other(equation, other, relation_is_answer);
    }
    for (std::size_t i = at + 1; i < relation.args.size(); ++i)
        if (!approximates(last, bare_quantity(relation.args[i]).value)) return Decision::undecided;
    const auto judged = [&](const Expression& side) {
        return relation_is_answer ? compare(other, side) : compare(side, other);
    };
    const Decision first = judged(exact);
    if (first == Decision::equal) return first;
    return judged(relation.args.back()) == Decision::equal ? Decision::equal : first;
}

Decision Comparison::relation_and_other(const Expression& relation, const Expression& other, bool relation_is_answer) {
    if (relation.name.find('a') != std::string::npos) return approximation(relation, other, relation_is_answer);
    Decision decision = Decision::undecided;
    if (const Expression* value = named_value(relation, true)) {
        const Expression inner = expanded(*value);
        decision = relation_is_answer ? compare(other, inner) : compare(inner, other);
        if (decision == Decision::equal) return decision;
    }
    if (relation_is_answer && !options_.allow_set_relation && relation.name != "i") return decision;
    const Decision as_sets = sets(relation, other);
    return as_sets == Decision::undecided ? decision : as_sets;
}

Decision Comparison::relations(const Expression& a, const Expression& other) {
    const Expression b = with_argument_of(other, a);
    if (same_sides(a, b) || same_sides(a, mirrored(b))) return Decision::equal;
    const auto approximate_tail = [](const Expression& e) {
        return e.name.find('a') != std::string::npos && !holds_symbols(e.args[e.name.find('a')]);
    };
    if (approximate_tail(a) != approximate_tail(b))
        return approximate_tail(a) ? approximation(a, b, false) : approximation(b, a, true);
    Decision decision = Decision::undecided;
    if (a.args.size() == 2 && b.args.size() == 2) {
        if (is_scalar(a) && is_scalar(b)) decision = up_to_factor(a, b);
        if (decision == Decision::equal) return decision;
        const Expression* left = named_value(a, false);
        const Expression* right = named_value(b, false);
        const auto collection = [](const Expression* e) {
            return is_flat(*e) || is_set_operation(*e) || e->is(Kind::matrix);
        };
        if (left && right && collection(left) && collection(right)) return compare(*left, *right);
    }
    if (a.name == "=" && b.name == "=") return decision;
    const Decision as_sets = sets(a, b);
    return as_sets == Decision::undecided ? decision : as_sets;
}

bool Comparison::same_sides(const Expression& a, const Expression& b) {
    if (a.name != b.name) return false;
    for (std::size_t i = 0; i < a.args.size(); ++i)
        if (to_text(a.args[i]) != to_text(b.args[i]) && !equal(a.args[i], b.args[i])) return false;
    return true;
}

/// Left minus right (or right minus left, so that "less" means positive), up to a factor.
Decision Comparison::up_to_factor(const Expression& a, const Expression& b) {
    const auto sign = [](char c) { return c == '>' ? '<' : c == 'g' ? 'l' : c == 'a' ? '=' : c; };
    const char kind = sign(a.name[0]);
    if (std::string_view("=<ln").find(kind) == std::string_view::npos) return Decision::undecided;
    if (kind != sign(b.name[0])) return Decision::different;
    const auto difference = [](const Expression& e) {
        const bool greater = e.name[0] == '>' || e.name[0] == 'g';
        const Expression& large = greater ? e.args[0] : e.args[1];
        const Expression& small = greater ? e.args[1] : e.args[0];
        return make(Kind::add, {bare_quantity(large).value, make(Kind::negate, {bare_quantity(small).value})});
    };
    const std::string unit = bare_quantity(a.args[1]).unit, other_unit = bare_quantity(b.args[1]).unit;
    if (!unit.empty() && !other_unit.empty() && unit != other_unit) return Decision::different;
    const bool ordered = kind == '<' || kind == 'l';
    const Decision decision =
        compare_up_to_factor(difference(a), difference(b), ordered, options_.positive_variables, budget_);
    // "x^2 = 4" isn't proportional to "x^4 = 16", but that refutes nothing; "y = 2x" and "y = 3x" do.
    const bool definitions = kind == '=' && is_name(a.args[0]) && is_name(b.args[0]);
    return decision == Decision::different && !definitions ? Decision::undecided : decision;
}

bool is_name(const Expression& e) {
    switch (e.kind) {
        case Kind::symbol:
            return true;
        case Kind::call:
            return e.name == "abs" ? is_name(e.args[0])
                                   : e.name.size() == 1 || e.name[1] == '_' || e.name[1] == '\'' || e.name[1] == '^';
        case Kind::unit:
            return is_name(e.args[0]);
        case Kind::tuple:
        case Kind::matrix:
        case Kind::divide:
        case Kind::ratio:
            return std::all_of(e.args.begin(), e.args.end(), is_name);
        case Kind::multiply:  // S_{ABC}, AB, P(X = 1), E(X)
            return std::all_of(e.args.begin(), e.args.end(), [&](const Expression& arg) {
                return is_name(arg) || (&arg != e.args.data() && (arg.is(Kind::relation) || arg.is(Kind::number)));
            });
        case Kind::constant:
            return e.name == "e" || e.name == "i";
        default:
            return false;
    }
}

}  // namespace tdrm::math
