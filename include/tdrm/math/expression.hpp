// The tree that an answer is parsed to.
#pragma once

#include <gmpxx.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace tdrm::math {

enum class Kind {
    number,        ///< value(); inexact if written with a decimal point
    symbol,        ///< name: "x", "k_B", "\alpha", a word such as "even"
    constant,      ///< name: "pi", "e", "i", "infinity", "reals", "empty"
    add,           ///< n terms
    multiply,      ///< n factors
    divide,        ///< numerator, denominator
    power,         ///< base, exponent
    negate,        ///< one term
    plus_minus,    ///< name "+" or "-" (\mp): the sign of its one term
    percent,       ///< one term
    degree,        ///< one term, in degrees
    call,          ///< name: a known function ("sin", "sqrt") or an unknown one ("f"); arguments
    unit,          ///< name: the words behind a quantity
    ratio,         ///< a : b : ...
    list,          ///< name: the connective "," "and" "or" "land" "lor"
    set,           ///< finite set
    tuple,         ///< name: its two brackets, "()" "[)" ...; an interval if there are two entries
    set_union,     ///< also of things that aren't known to be sets
    intersection,  ///<
    difference,    ///<
    relation,      ///< name: one character per sign between neighbours: = < > l(<=) g(>=) n(!=) i(in) o(not in)
                   ///< a(approximately) t(to) T(implies) s(subset) S(subset or equal) u, U(supersets) ~(similar)
                   ///< p(parallel) P(perpendicular) N(contains)
    matrix,        ///< rows, each a tuple
};

struct Expression {
    Kind kind = Kind::number;
    std::string name;
    std::vector<Expression> args;
    std::shared_ptr<const mpq_class> number;  ///< shared: copies of a tree are cheap
    bool inexact = false;

    [[nodiscard]] const mpq_class& value() const { return *number; }
    [[nodiscard]] bool is(Kind k) const { return kind == k; }
    [[nodiscard]] bool is(Kind k, std::string_view n) const { return kind == k && name == n; }
};

[[nodiscard]] Expression make_number(mpq_class value, bool inexact = false);
[[nodiscard]] Expression make(Kind kind, std::string name, std::vector<Expression> args);
[[nodiscard]] Expression make(Kind kind, std::vector<Expression> args);

/// Plain text of a tree, the "normalised form" of a verdict: every tree has one, equal text means an equal tree.
[[nodiscard]] std::string to_text(const Expression& expression);

/// Whether some node of the tree satisfies the predicate.
template <class Predicate>
[[nodiscard]] bool any_node(const Expression& expression, const Predicate& predicate) {
    if (predicate(expression)) return true;
    for (const Expression& arg : expression.args)
        if (any_node(arg, predicate)) return true;
    return false;
}

}  // namespace tdrm::math
