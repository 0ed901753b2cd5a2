#include "tdrm/math/compare.hpp"

#include <algorithm>

#include "compare_rules.hpp"
#include "prepare.hpp"
#include "tdrm/math/fields.hpp"

namespace tdrm::math {
namespace {

constexpr std::size_t kMaxListLength = 256;

void flatten(const Expression& e, std::vector<Expression>& parts) {
    if (!e.is(Kind::set_union)) return parts.push_back(e);
    for (const Expression& arg : e.args) flatten(arg, parts);
}

bool is_infinite(const Expression& e) {
    return e.is(Kind::constant, "infinity") || (e.is(Kind::negate) && is_infinite(e.args[0]));
}

/// Two entries in brackets that aren't a point's.
bool is_interval(const Expression& e) {
    return e.is(Kind::tuple) && e.args.size() == 2 &&
           (e.name != "()" || is_infinite(e.args[0]) || is_infinite(e.args[1]));
}

bool holds_sets(const Expression& e) {
    return std::all_of(e.args.begin(), e.args.end(), [](const Expression& arg) {
        return arg.is(Kind::relation) || is_set_operation(arg) || (arg.is(Kind::tuple) && arg.args.size() == 2);
    });
}

/// "p and q" isn't "p or q", nor are conditions; of values both say which there are.
bool connectives_differ(const Expression& a, const Expression& b) {
    const auto matters = [](const Expression& item) {
        return item.is(Kind::symbol) || (item.is(Kind::relation) && item.name != "=");
    };
    if (a.name == b.name || (!std::any_of(a.args.begin(), a.args.end(), matters))) return false;
    const auto meaning = [](const std::string& name) {
        return name == "land" ? std::string("and") : name == "lor" ? std::string("or") : name;
    };
    const bool logical = a.name[0] == 'l' || b.name[0] == 'l';
    return logical ? meaning(a.name) != meaning(b.name) : a.name != "," && b.name != ",";
}

/// Several capitals beside each other and nothing else: HTH, ABC. Their order counts.
bool is_capitals(const Expression& e) {
    return e.is(Kind::multiply) && std::all_of(e.args.begin(), e.args.end(), [](const Expression& arg) {
               return arg.is(Kind::symbol) && arg.name.size() == 1 && arg.name[0] >= 'A' && arg.name[0] <= 'Z';
           });
}

bool units_differ(const std::string& a, const std::string& b) {
    if (a.empty() || b.empty() || a == b) return false;
    const auto power = [](const std::string& unit) { return unit.substr(std::min(unit.size(), unit.find('^'))); };
    if (a.starts_with("unit^") || b.starts_with("unit^")) return power(a) != power(b);
    const auto is_temperature = [](const std::string& unit) { return unit.starts_with("\xC2\xB0"); };
    return !(a == "deg" && is_temperature(b)) && !(b == "deg" && is_temperature(a));
}

}  // namespace

Decision Comparison::compare(const Expression& a, const Expression& b) {
    budget_.spend();
    if (a.is(Kind::relation) && b.is(Kind::relation)) return relations(a, b);
    if (a.is(Kind::relation)) return relation_and_other(a, b, false);
    if (b.is(Kind::relation)) return relation_and_other(b, a, true);
    if (a.is(Kind::call, "cases") || b.is(Kind::call, "cases")) return cases(a, b);
    if (is_set_operation(a) || is_set_operation(b)) {
        const Decision decision = sets(a, b);
        return decision == Decision::undecided ? operands(a, b) : decision;
    }
    if (is_flat(a) && is_flat(b)) return collections(a, b);
    if (a.is(Kind::matrix) || b.is(Kind::matrix)) return matrices(a, b);
    if (is_flat(a) || is_flat(b)) return single(is_flat(a) ? a : b, is_flat(a) ? b : a);
    if (a.is(Kind::ratio) || b.is(Kind::ratio)) return ratios(a, b);
    return quantities(a, b);
}

Decision Comparison::sets(const Expression& a, const Expression& b) {
    std::string variable;
    const auto left = real_set(a, variable, budget_);
    const auto right = left ? real_set(b, variable, budget_) : std::nullopt;
    return right ? compare_sets(*left, *right, options_, budget_) : Decision::undecided;
}

Decision Comparison::operands(const Expression& a, const Expression& b) {
    if (a.kind != b.kind) return Decision::undecided;
    if (a.is(Kind::constant)) return a.name == b.name ? Decision::equal : Decision::different;
    Decision decision = Decision::undecided;
    if (a.is(Kind::set_union)) {
        std::vector<Expression> left, right;
        flatten(a, left);
        flatten(b, right);
        decision = in_any_order(left, right);
    } else if (a.is(Kind::intersection)) {
        decision = in_any_order(a.args, b.args);
    } else {
        decision = in_order(a.args, b.args);
    }
    return decision == Decision::equal ? decision : Decision::undecided;
}

Decision Comparison::in_order(const std::vector<Expression>& a, const std::vector<Expression>& b) {
    if (a.size() != b.size()) return Decision::different;
    Decision result = Decision::equal;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const Decision decision = compare(a[i], b[i]);
        if (decision == Decision::different) return decision;
        if (decision == Decision::undecided) result = decision;
    }
    return result;
}

Decision Comparison::in_any_order(const std::vector<Expression>& a, const std::vector<Expression>& b) {
    if (a.size() != b.size()) return Decision::different;
    if (a.size() > kMaxListLength) return Decision::undecided;
    std::vector<bool> used(b.size(), false);
    for (std::size_t i = 0; i < a.size(); ++i) {
        // The same place first: equal lists then take linear time.
        std::size_t match = b.size();
        bool undecided = false;
        for (std::size_t k = 0; k < b.size() && match == b.size(); ++k) {
            const std::size_t at = (i + k) % b.size();
            if (used[at]) continue;
            const Decision decision = compare(a[i], b[at]);
            if (decision == Decision::equal) match = at;
            undecided = undecided || decision == Decision::undecided;
        }
        if (match == b.size()) return undecided ? Decision::undecided : Decision::different;
        used[match] = true;
    }
    return Decision::equal;
}

std::vector<Expression> Comparison::without_repetitions(const std::vector<Expression>& items) {
    std::vector<Expression> result;
    if (items.size() > kMaxListLength) return items;
    for (const Expression& item : items) {
        const bool seen =
            std::any_of(result.begin(), result.end(), [&](const Expression& other) { return equal(other, item); });
        if (!seen) result.push_back(item);
    }
    return result;
}

Decision Comparison::collections(const Expression& a, const Expression& b) {
    if (a.is(Kind::tuple) && b.is(Kind::tuple)) {
        const bool intervals = a.name != b.name && a.args.size() == 2;
        return intervals ? Decision::different : in_order(a.args, b.args);
    }
    if (a.is(Kind::tuple) || b.is(Kind::tuple)) return tuple_and_other(a, b);
    return lists(a, b);
}

/// "(1, 2)" and "1, 2"; an interval is no list of its ends.
Decision Comparison::tuple_and_other(const Expression& a, const Expression& b) {
    const Expression &tuple = a.is(Kind::tuple) ? a : b, &other = a.is(Kind::tuple) ? b : a;
    const bool all_sets = other.is(Kind::list) && holds_sets(other);
    if (all_sets && sets(a, b) == Decision::equal) return Decision::equal;
    if (is_interval(tuple)) return all_sets ? Decision::undecided : Decision::different;
    if (other.is(Kind::set) && options_.strict_symbols) return Decision::different;
    return in_order(a.args, b.args);
}

Decision Comparison::lists(const Expression& a, const Expression& b) {
    const bool both_lists = a.is(Kind::list) && b.is(Kind::list);
    if (both_lists && connectives_differ(a, b)) return holds_sets(a) ? sets(a, b) : Decision::undecided;
    Decision decision = both_lists ? in_any_order(a.args, b.args) : Decision::different;
    if (decision == Decision::equal) return decision;
    if (both_lists && holds_sets(a) && holds_sets(b) && sets(a, b) == Decision::equal) return Decision::equal;
    // {1, 1, 2} is {1, 2}; of lists only one may repeat something, so "1, 1, 2" isn't "1, 2, 2".
    const auto left = without_repetitions(a.args), right = without_repetitions(b.args);
    const bool both_repeat = left.size() < a.args.size() && right.size() < b.args.size();
    if (both_repeat && !a.is(Kind::set)) return decision;
    const Decision unique = in_any_order(left, right);
    return unique == Decision::different ? decision : unique;
}

Decision Comparison::single(const Expression& collection, const Expression& other) {
    if (collection.is(Kind::list) && holds_sets(collection)) {
        const Decision decision = sets(collection, other);
        if (decision != Decision::undecided || !collection.args[0].is(Kind::relation, "=")) return decision;
    }
    if (collection.is(Kind::tuple)) return Decision::different;
    const auto unique = without_repetitions(collection.args);
    return unique.size() == 1 ? compare(unique[0], other) : Decision::different;
}

/// Rows "value, condition" in any order.
Decision Comparison::cases(const Expression& a, const Expression& b) {
    if (a.kind != b.kind || a.name != b.name) return Decision::undecided;
    const auto is_row = [](const Expression& row) { return row.args.size() == 2; };
    if (!std::all_of(a.args.begin(), a.args.end(), is_row) || !std::all_of(b.args.begin(), b.args.end(), is_row))
        return Decision::undecided;
    return in_any_order(a.args, b.args) == Decision::equal ? Decision::equal : Decision::undecided;
}

// ---- matrices

namespace {

std::vector<Expression> entries_of_vector(const Expression& matrix) {
    if (matrix.args.size() == 1) return matrix.args[0].args;
    std::vector<Expression> entries;
    for (const Expression& row : matrix.args)
        if (row.args.size() == 1) entries.push_back(row.args[0]);
    return entries.size() == matrix.args.size() ? entries : std::vector<Expression>{};
}

}  // namespace

Decision Comparison::matrices(const Expression& a, const Expression& b) {
    if (a.is(Kind::matrix) && b.is(Kind::matrix)) {
        if (a.args.size() != b.args.size()) return Decision::different;
        Decision result = Decision::equal;
        for (std::size_t i = 0; i < a.args.size(); ++i) {
            const Decision decision = in_order(a.args[i].args, b.args[i].args);
            if (decision == Decision::different) return decision;
            if (decision == Decision::undecided) result = decision;
        }
        return result;
    }
    const Expression& matrix = a.is(Kind::matrix) ? a : b;
    const Expression& other = a.is(Kind::matrix) ? b : a;
    if (other.is(Kind::tuple)) return in_order(entries_of_vector(matrix), other.args);
    if (rational_value(other, budget_)) return Decision::different;
    return is_flat(other) ? Decision::undecided : compare_values(a, b, options_, budget_);
}

// ---- ratios and quantities

/// Two-digit second parts might be minutes ("2:30"), so those aren't scaled.
bool Comparison::may_be_time(const Expression& e) {
    const auto minutes = e.args.size() == 2 ? rational_value(e.args[1], budget_) : std::nullopt;
    return minutes && (*minutes == 0 || (cmp(*minutes, 10) >= 0 && cmp(*minutes, 60) < 0));
}

Decision Comparison::ratios(const Expression& left, const Expression& right) {
    const Quantity first = bare_quantity(left), second = bare_quantity(right);
    if (units_differ(first.unit, second.unit)) return Decision::different;
    const Expression &a = first.value, &b = second.value;
    if (a.is(Kind::ratio) && b.is(Kind::ratio)) {
        if (a.args.size() != b.args.size()) return Decision::different;
        const auto has_parts = [](const Expression& e) { return std::any_of(e.args.begin(), e.args.end(), is_flat); };
        if ((may_be_time(a) && may_be_time(b)) || has_parts(a) || has_parts(b)) return in_order(a.args, b.args);
        for (std::size_t i = 0; i + 1 < a.args.size(); ++i) {
            const Expression cross = make(Kind::multiply, {a.args[i], b.args[i + 1]});
            const Decision decision =
                compare_values(cross, make(Kind::multiply, {a.args[i + 1], b.args[i]}), options_, budget_);
            if (decision != Decision::equal) return decision;
        }
        return Decision::equal;
    }
    const Expression& ratio = a.is(Kind::ratio) ? a : b;
    const Expression& other = a.is(Kind::ratio) ? b : a;
    if (ratio.args.size() != 2 || is_flat(other)) return Decision::undecided;
    // "10:30" is no third, but "1:20" may be meant by "1/20".
    const Expression quotient = make(Kind::divide, ratio.args);
    if (may_be_time(ratio) && to_text(quotient) != to_text(other)) return Decision::undecided;
    return compare_values(quotient, other, options_, budget_);
}

/// "2 m" (or "2 m/s") written as mathrm{m} and as the symbol m.
bool Comparison::same_with_letter(const Quantity& a, const Expression& b) {
    if (a.letter.empty()) return false;
    Expression product = make(Kind::multiply, {a.value, make(Kind::symbol, a.letter.substr(0, 1), {})});
    if (a.letter.size() > 1) product = make(Kind::divide, {product, make(Kind::symbol, a.letter.substr(2), {})});
    return compare_values(product, b, options_, budget_) == Decision::equal;
}

Decision Comparison::quantities(const Expression& left, const Expression& right) {
    const Quantity a = bare_quantity(left), b = bare_quantity(right);
    if (units_differ(a.unit, b.unit)) return Decision::different;
    if (is_capitals(a.value) || is_capitals(b.value)) {
        const Decision decision = compare_values(a.value, b.value, options_, budget_);
        const bool same_order = to_text(a.value) == to_text(b.value);
        return decision == Decision::equal && !same_order ? Decision::undecided : decision;
    }
    if ((a.percent && !b.unit.empty()) || (b.percent && !a.unit.empty())) return Decision::different;
    if (same_with_letter(a, b.value) || same_with_letter(b, a.value)) return Decision::equal;
    const Decision plain = compare_values(a.value, b.value, options_, budget_);
    if (a.percent == b.percent || plain == Decision::equal) return plain;
    // 10% is 10 as well as 0.1: answers are asked for "in percent".
    const Expression& percent = a.percent ? a.value : b.value;
    return compare_values(make(Kind::percent, {percent}), a.percent ? b.value : a.value, options_, budget_);
}

Decision compare(const Expression& gold, const Expression& answer, const CompareOptions& options, Budget& budget) {
    const Expression a = prepared(gold, options.strict_symbols), b = prepared(answer, options.strict_symbols);
    return Comparison(options, budget).compare(a, b);
}

}  // namespace tdrm::math
