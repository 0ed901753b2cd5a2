// Equality of answers of any kind: which parts are compared with which, in order or not.
#include "tdrm/math/compare.hpp"

#include <algorithm>

#include "prepare.hpp"
#include "tdrm/math/fields.hpp"

namespace tdrm::math {
namespace {

constexpr std::size_t kMaxListLength = 256;

bool is_flat(const Expression& e) { return e.is(Kind::list) || e.is(Kind::set) || e.is(Kind::tuple); }

class Comparison {
public:
    Comparison(const CompareOptions& options, Budget& budget) : options_(options), budget_(budget) {}

    /// a is of the gold answer.
    bool equal(const Expression& a, const Expression& b) {
        budget_.spend();
        if (a.is(Kind::relation) && b.is(Kind::relation)) return equal_relations(a, b);
        if (a.is(Kind::relation)) return equal_to_relation(a, b, false);
        if (b.is(Kind::relation)) return equal_to_relation(b, a, true);
        if (is_set_operation(a) || is_set_operation(b)) return equal_sets(a, b) || equal_operands(a, b);
        if (is_flat(a) && is_flat(b)) return equal_collections(a, b);
        if (a.is(Kind::matrix) || b.is(Kind::matrix)) return equal_matrices(a, b);
        if (is_flat(a) || is_flat(b)) return equal_to_single(is_flat(a) ? a : b, is_flat(a) ? b : a);
        if (a.is(Kind::ratio) || b.is(Kind::ratio)) return equal_ratios(a, b);
        return equal_quantities(a, b);
    }

    [[nodiscard]] bool undecided() const { return undecided_; }

private:
    bool yes(Decision decision) {
        undecided_ = undecided_ || decision == Decision::undecided;
        return decision == Decision::equal;
    }

    static bool is_set_operation(const Expression& e) {
        return e.is(Kind::set_union) || e.is(Kind::intersection) || e.is(Kind::difference) ||
               e.is(Kind::constant, "reals") || e.is(Kind::constant, "empty");
    }

    bool equal_sets(const Expression& a, const Expression& b) {
        std::string variable;
        const auto left = real_set(a, variable, budget_);
        const auto right = left ? real_set(b, variable, budget_) : std::nullopt;
        return right && yes(compare_sets(*left, *right, options_, budget_));
    }

    /// Set operations on things without known ends: the operands one by one, those of a union in any order.
    bool equal_operands(const Expression& a, const Expression& b) {
        if (a.kind != b.kind) return false;
        if (a.is(Kind::constant)) return a.name == b.name;
        if (!a.is(Kind::set_union)) return equal_in_order(a.args, b.args);
        std::vector<Expression> left, right;
        flatten(a, left);
        flatten(b, right);
        return equal_in_any_order(left, right);
    }
    static void flatten(const Expression& e, std::vector<Expression>& parts) {
        if (!e.is(Kind::set_union)) return parts.push_back(e);
        for (const Expression& arg : e.args) flatten(arg, parts);
    }

    bool equal_in_order(const std::vector<Expression>& a, const std::vector<Expression>& b) {
        if (a.size() != b.size()) return false;
        for (std::size_t i = 0; i < a.size(); ++i)
            if (!equal(a[i], b[i])) return false;
        return true;
    }

    bool equal_in_any_order(const std::vector<Expression>& a, const std::vector<Expression>& b) {
        if (a.size() != b.size() || a.size() > kMaxListLength) return false;
        std::vector<bool> used(b.size(), false);
        for (std::size_t i = 0; i < a.size(); ++i) {
            // The same place first: equal lists then take linear time.
            std::size_t match = b.size();
            for (std::size_t k = 0; k < b.size() && match == b.size(); ++k) {
                const std::size_t at = (i + k) % b.size();
                if (!used[at] && equal(a[i], b[at])) match = at;
            }
            if (match == b.size()) return false;
            used[match] = true;
        }
        return true;
    }

    std::vector<Expression> without_repetitions(const std::vector<Expression>& items) {
        std::vector<Expression> result;
        if (items.size() > kMaxListLength) return items;
        for (const Expression& item : items) {
            const bool seen =
                std::any_of(result.begin(), result.end(), [&](const Expression& other) { return equal(other, item); });
            if (!seen) result.push_back(item);
        }
        return result;
    }

    bool equal_collections(const Expression& a, const Expression& b) {
        if (a.is(Kind::tuple) && b.is(Kind::tuple)) {
            if (a.name != b.name && a.args.size() == 2) return false;
            return equal_in_order(a.args, b.args);
        }
        if (a.is(Kind::tuple) || b.is(Kind::tuple)) {
            const Expression& other = a.is(Kind::tuple) ? b : a;
            if (other.is(Kind::list) && holds_sets(other) && equal_sets(a, b)) return true;
            const bool with_set = a.is(Kind::set) || b.is(Kind::set);
            return (!with_set || !options_.strict_symbols) && equal_in_order(a.args, b.args);
        }
        if (a.is(Kind::list) && b.is(Kind::list)) {
            if (equal_in_any_order(a.args, b.args)) return true;
            if (holds_sets(a) && holds_sets(b) && equal_sets(a, b)) return true;
        }
        // {1, 1, 2} is {1, 2}; of lists only one may repeat something, so "1, 1, 2" isn't "1, 2, 2".
        const auto left = without_repetitions(a.args), right = without_repetitions(b.args);
        const bool both_repeat = left.size() < a.args.size() && right.size() < b.args.size();
        return (a.is(Kind::set) || !both_repeat) && equal_in_any_order(left, right);
    }

    static bool holds_sets(const Expression& e) {
        return std::all_of(e.args.begin(), e.args.end(), [](const Expression& arg) {
            return arg.is(Kind::relation) || is_set_operation(arg) || (arg.is(Kind::tuple) && arg.args.size() == 2);
        });
    }

    /// {5} and 5; "3/4 or 0.75" and 3/4; "x < 1 or x > 2" and an interval.
    bool equal_to_single(const Expression& collection, const Expression& other) {
        if (collection.is(Kind::list) && holds_sets(collection)) return equal_sets(collection, other);
        if (collection.is(Kind::tuple) || !equal(collection.args[0], other)) return false;
        return without_repetitions(collection.args).size() == 1;
    }

    // ---- matrices

    bool equal_matrices(const Expression& a, const Expression& b) {
        if (a.is(Kind::matrix) && b.is(Kind::matrix)) {
            if (a.args.size() != b.args.size()) return false;
            for (std::size_t i = 0; i < a.args.size(); ++i)
                if (!equal_in_order(a.args[i].args, b.args[i].args)) return false;
            return true;
        }
        const Expression& matrix = a.is(Kind::matrix) ? a : b;
        const Expression& other = a.is(Kind::matrix) ? b : a;
        if (!other.is(Kind::tuple) && rational_value(other, budget_)) return false;
        if (!other.is(Kind::tuple)) return !is_flat(other) && yes(compare_values(a, b, options_, budget_));
        return equal_in_order(entries_of_vector(matrix), other.args);
    }

    static std::vector<Expression> entries_of_vector(const Expression& matrix) {
        if (matrix.args.size() == 1) return matrix.args[0].args;
        std::vector<Expression> entries;
        for (const Expression& row : matrix.args)
            if (row.args.size() == 1) entries.push_back(row.args[0]);
        return entries.size() == matrix.args.size() ? entries : std::vector<Expression>{};
    }

    // ---- ratios and quantities

    /// Two-digit second parts might be minutes ("2:30"), so those aren't scaled.
    bool may_be_time(const Expression& e) {
        const auto minutes = e.args.size() == 2 ? rational_value(e.args[1], budget_) : std::nullopt;
        return minutes && (*minutes == 0 || (*minutes >= 10 && *minutes < 60));
    }

    bool equal_ratios(const Expression& left, const Expression& right) {
        const Expression a = bare_quantity(left).value, b = bare_quantity(right).value;
        if (a.is(Kind::ratio) && b.is(Kind::ratio)) {
            if (a.args.size() != b.args.size()) return false;
            const auto has_parts = [](const Expression& e) {
                return std::any_of(e.args.begin(), e.args.end(), is_flat);
            };
            if ((may_be_time(a) && may_be_time(b)) || has_parts(a) || has_parts(b))
                return equal_in_order(a.args, b.args);
            for (std::size_t i = 0; i + 1 < a.args.size(); ++i) {
                const Expression cross = make(Kind::multiply, {a.args[i], b.args[i + 1]});
                if (!yes(compare_values(cross, make(Kind::multiply, {a.args[i + 1], b.args[i]}), options_, budget_)))
                    return false;
            }
            return true;
        }
        const Expression& ratio = a.is(Kind::ratio) ? a : b;
        const Expression& other = a.is(Kind::ratio) ? b : a;
        if (ratio.args.size() != 2 || is_flat(other)) return false;
        return yes(compare_values(make(Kind::divide, ratio.args), other, options_, budget_));
    }

    /// "2 m" written as mathrm{m} and as the symbol m.
    bool same_with_letter(const Quantity& a, const Expression& b) {
        if (a.letter.empty()) return false;
        const Expression product = make(Kind::multiply, {a.value, make(Kind::symbol, a.letter, {})});
        return compare_values(product, b, options_, budget_) == Decision::equal;
    }

    bool equal_quantities(const Expression& left, const Expression& right) {
        const Quantity a = bare_quantity(left), b = bare_quantity(right);
        if (!a.unit.empty() && !b.unit.empty() && a.unit != b.unit) return false;
        if (same_with_letter(a, b.value) || same_with_letter(b, a.value)) return true;
        if (a.percent == b.percent) return yes(compare_values(a.value, b.value, options_, budget_));
        // 10% is 10 as well as 0.1: answers are asked for "in percent".
        const Expression& percent = a.percent ? a.value : b.value;
        const Expression& other = a.percent ? b.value : a.value;
        const Expression share = make(Kind::percent, {percent});
        return yes(compare_values(percent, other, options_, budget_)) ||
               yes(compare_values(share, other, options_, budget_));
    }

    // ---- relations

    /// What "x = 5", "5 = x", "2 + 3 = 5", "x in S" say, or nothing for other relations.
    const Expression* named_value(const Expression& relation) {
        const std::vector<Expression>& sides = relation.args;
        if (relation.name == "i") return is_name(sides[0]) ? &sides[1] : nullptr;
        if (relation.name.find_first_not_of('=') != std::string::npos) return nullptr;
        if (is_name(sides.front())) return &sides.back();
        if (relation.name.size() == 1 && sides.back().is(Kind::symbol) && rational_value(sides[0], budget_))
            return &sides[0];
        const auto first = rational_value(sides.front(), budget_);
        const auto last = first ? rational_value(sides.back(), budget_) : std::nullopt;
        return last && *first == *last ? &sides.back() : nullptr;
    }

    bool equal_to_relation(const Expression& relation, const Expression& other, bool relation_is_answer) {
        if (const Expression* value = named_value(relation)) {
            const Expression inner = expanded(*value);
            if (relation_is_answer ? equal(other, inner) : equal(inner, other)) return true;
        }
        if (relation_is_answer && !options_.allow_set_relation && relation.name != "i") return false;
        return equal_sets(relation, other);
    }

    bool equal_relations(const Expression& a, const Expression& b) {
        if (same_sides(a, b) || same_sides(a, mirrored(b))) return true;
        if (a.args.size() == 2 && b.args.size() == 2) {
            if (is_scalar(a) && is_scalar(b) && equal_up_to_factor(a, b)) return true;
            const Expression* left = named_value(a);
            const Expression* right = named_value(b);
            const auto collection = [](const Expression* e) {
                return is_flat(*e) || is_set_operation(*e) || e->is(Kind::matrix);
            };
            if (left && right && collection(left) && collection(right) && equal(*left, *right)) return true;
        }
        const bool equations = a.name == "=" && b.name == "=";
        return !equations && equal_sets(a, b);
    }

    bool same_sides(const Expression& a, const Expression& b) {
        if (a.name != b.name) return false;
        for (std::size_t i = 0; i < a.args.size(); ++i)
            if (to_text(a.args[i]) != to_text(b.args[i]) && !equal(a.args[i], b.args[i])) return false;
        return true;
    }

    static Expression mirrored(const Expression& relation) {
        Expression result = relation;
        std::reverse(result.args.begin(), result.args.end());
        std::reverse(result.name.begin(), result.name.end());
        for (char& sign : result.name)
            sign = sign == '<' ? '>' : sign == '>' ? '<' : sign == 'l' ? 'g' : sign == 'g' ? 'l' : sign;
        return result;
    }

    static bool is_scalar(const Expression& relation) {
        return std::none_of(relation.args.begin(), relation.args.end(), [](const Expression& side) {
            return is_flat(side) || is_set_operation(side) || side.is(Kind::matrix) || side.is(Kind::ratio);
        });
    }

    /// Left minus right (or right minus left, so that "less" means positive), up to a factor.
    bool equal_up_to_factor(const Expression& a, const Expression& b) {
        const auto sign = [](char c) { return c == '>' ? '<' : c == 'g' ? 'l' : c; };
        if (sign(a.name[0]) != sign(b.name[0]) || a.name[0] == 'i' || a.name[0] == 'o') return false;
        const auto difference = [](const Expression& e) {
            const bool greater = e.name[0] == '>' || e.name[0] == 'g';
            const Expression& large = greater ? e.args[0] : e.args[1];
            const Expression& small = greater ? e.args[1] : e.args[0];
            return make(Kind::add, {bare_quantity(large).value, make(Kind::negate, {bare_quantity(small).value})});
        };
        const std::string unit = bare_quantity(a.args[1]).unit, other_unit = bare_quantity(b.args[1]).unit;
        if (!unit.empty() && !other_unit.empty() && unit != other_unit) return false;
        const bool ordered = sign(a.name[0]) == '<' || sign(a.name[0]) == 'l';
        return yes(compare_up_to_factor(difference(a), difference(b), ordered, budget_));
    }

    const CompareOptions& options_;
    Budget& budget_;
    bool undecided_ = false;
};

}  // namespace

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

Decision compare(const Expression& gold, const Expression& answer, const CompareOptions& options, Budget& budget) {
    const Expression a = prepared(gold, options.strict_symbols), b = prepared(answer, options.strict_symbols);
    Comparison comparison(options, budget);
    if (comparison.equal(a, b)) return Decision::equal;
    return comparison.undecided() ? Decision::undecided : Decision::different;
}

}  // namespace tdrm::math
