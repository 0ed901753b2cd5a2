// When two trees are the same answer.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tdrm/math/budget.hpp"
#include "tdrm/math/expression.hpp"
#include "tdrm/math/real.hpp"

namespace tdrm::math {

/// How exactly answers must agree.
struct CompareOptions {
    /// Decimal digits to which numbers must agree when both are rounded. Unset: exact numbers must be equal, and
    /// numbers written with a decimal point must agree to 6 decimals and to 1e-4 relatively.
    std::optional<int> precision;
    std::optional<double> abs_tolerance;  ///< numbers may differ by this much
    bool strict_symbols = true;           ///< false: variables are matched by their order, sets may equal tuples
    bool positive_variables = false;      ///< true: variables are greater than 0, so that sqrt(x^2) is x
    bool allow_set_relation = true;       ///< false: an answer "1 < x < 2" isn't the gold (1, 2); the reverse still is
};

enum class Decision { different, equal, undecided };

/// Whether two scalar expressions have the same value for all values of their symbols: exact rationals, then residues
/// modulo primes, then quad precision at real points of both signs. Deterministic. Local.
[[nodiscard]] Decision compare_values(const Expression& a, const Expression& b, const CompareOptions& options,
                                      Budget& budget);
/// Whether a = c b with a constant c != 0 (c > 0 if `positive`): equations and inequalities up to a factor.
[[nodiscard]] Decision compare_up_to_factor(const Expression& a, const Expression& b, bool positive,
                                            bool positive_variables, Budget& budget);

/// A piece of a subset of the real line; infinite ends are open.
struct Endpoint {
    Expression expression;
    Real value = 0;
    bool closed = false;
};
struct Interval {
    Endpoint low, high;
};
using RealSet = std::vector<Interval>;  ///< sorted, disjoint, not touching

/// The set that an interval, finite set, union, inequality or list of them describes, if its ends are known numbers.
/// Inequalities must be about `variable`; if that is empty, the first one names it.
[[nodiscard]] std::optional<RealSet> real_set(const Expression& expression, std::string& variable, Budget& budget);
[[nodiscard]] Decision compare_sets(const RealSet& a, const RealSet& b, const CompareOptions& options, Budget& budget);

/// What remains of a quantity without its unit, degree sign and percent sign.
struct Quantity {
    Expression value;
    std::string unit;    ///< canonical, "" if unknown or none
    std::string letter;  ///< a unit of one letter, or m/s, as it was written
    bool percent = false;
};
[[nodiscard]] Quantity bare_quantity(const Expression& expression);

/// Whether the left side of a relation is only a name: x, f(x), a_n, V_1:V_2, (x, y), |z|.
[[nodiscard]] bool is_name(const Expression& expression);

/// Whether two answers are the same, whatever their kind. `gold` and `answer` differ only for allow_set_relation.
[[nodiscard]] Decision compare(const Expression& gold, const Expression& answer, const CompareOptions& options,
                               Budget& budget);

}  // namespace tdrm::math
