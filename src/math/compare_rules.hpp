// Equality of answers of any kind: which parts are compared with which, in order or not. Collections, sets, matrices
// and quantities in compare.cpp, relations in compare_relations.cpp.
#pragma once

#include "tdrm/math/compare.hpp"

namespace tdrm::math {

[[nodiscard]] inline bool is_flat(const Expression& e) {
    return e.is(Kind::list) || e.is(Kind::set) || e.is(Kind::tuple);
}

[[nodiscard]] inline bool is_set_operation(const Expression& e) {
    return e.is(Kind::set_union) || e.is(Kind::intersection) || e.is(Kind::difference) ||
           e.is(Kind::constant, "reals") || e.is(Kind::constant, "empty");
}

class Comparison {
public:
    Comparison(const CompareOptions& options, Budget& budget) : options_(options), budget_(budget) {}

    /// a is of the gold answer. "Different" only if something was refuted; what isn't understood is undecided.
    Decision compare(const Expression& a, const Expression& b);

private:
    bool equal(const Expression& a, const Expression& b) { return compare(a, b) == Decision::equal; }

    // ---- sets and collections
    Decision sets(const Expression& a, const Expression& b);
    /// Set operations on things without known ends: the operands one by one, those of a union in any order.
    Decision operands(const Expression& a, const Expression& b);
    Decision in_order(const std::vector<Expression>& a, const std::vector<Expression>& b);
    Decision in_any_order(const std::vector<Expression>& a, const std::vector<Expression>& b);
    std::vector<Expression> without_repetitions(const std::vector<Expression>& items);
    Decision collections(const Expression& a, const Expression& b);
    Decision tuple_and_other(const Expression& a, const Expression& b);
    Decision lists(const Expression& a, const Expression& b);
    /// {5} and 5; "3/4 or 0.75" and 3/4; "x < 1 or x > 2" and an interval.
    Decision single(const Expression& collection, const Expression& other);
    Decision cases(const Expression& a, const Expression& b);
    Decision matrices(const Expression& a, const Expression& b);

    // ---- ratios and quantities
    bool may_be_time(const Expression& e);
    Decision ratios(const Expression& left, const Expression& right);
    bool same_with_letter(const Quantity& a, const Expression& b);
    Decision quantities(const Expression& left, const Expression& right);

    // ---- relations
    const Expression* named_value(const Expression& relation, bool any_quantity);
    bool approximates(const Expression& value, const Expression& rounded);
    Decision approximation(const Expression& relation, const Expression& other, bool relation_is_answer);
    Decision relation_and_other(const Expression& relation, const Expression& other, bool relation_is_answer);
    Decision relations(const Expression& a, const Expression& other);
    bool same_sides(const Expression& a, const Expression& b);
    Decision up_to_factor(const Expression& a, const Expression& b);

    const CompareOptions& options_;
    Budget& budget_;
};

}  // namespace tdrm::math
