// Three number systems in which a tree is evaluated: exact rationals, integers modulo two primes, and complex floating
// point numbers with an error bound. The first two decide, the last decides where functions and roots occur.
#pragma once

#include <gmpxx.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tdrm/base/random.hpp"
#include "tdrm/math/budget.hpp"
#include "tdrm/math/expression.hpp"
#include "tdrm/math/real.hpp"

namespace tdrm::math {

/// Exact rational value, or nothing (a symbol, an irrational, a number of more than 16384 bits).
/// With `variable`, that one symbol has the value `at`.
[[nodiscard]] std::optional<mpq_class> rational_value(const Expression& expression, Budget& budget,
                                                      std::string_view variable = {}, const mpq_class& at = {});

/// Value modulo 2^61 - 1 and 2^60 - 93 at random point number `point`, where each symbol has a residue drawn from its
/// name. Rational operations and integer powers are exact; anything else (sin, roots, powers with symbols) is hashed
/// from its name and the residues of its arguments. Equal residues therefore mean equal expressions (Schwartz-Zippel:
/// an error needs both primes to fail, below 2^-100 for answers of practical degree); unequal residues mean unequal
/// expressions only if nothing was hashed.
struct Residue {
    std::array<std::uint64_t, 2> value{};
    bool conclusive = true;  ///< nothing was hashed
    bool defined = true;     ///< no division by zero
};
[[nodiscard]] Residue residue(const Expression& expression, int point, Budget& budget);

/// Real values for the symbols of two expressions: of both signs (unless they are known to be positive), small and
/// large, whole and irrational, near the constants that occur and far beyond them. A value depends on the place of a
/// symbol among the sorted names and on the number of the point, so that another choice of names gives the same points.
class Samples {
public:
    Samples() = default;  ///< for expressions without symbols
    struct Options {
        bool positive = false;  ///< all symbols are greater than 0
        bool plain = false;     ///< only values of the size of 1, for comparisons with a tolerance
    };
    Samples(const Expression& a, const Expression& b, Options options);

    [[nodiscard]] double at(std::string_view symbol, int point) const;

private:
    [[nodiscard]] double size_at(const Random& random, int point) const;

    std::vector<std::string> symbols_;    ///< sorted
    std::vector<double> constants_ = {};  ///< sizes, sorted
    Options options_;
};

/// Complex value with a bound of its absolute rounding error at point number `point` of `samples`.
struct Approximation {
    Real re = 0;
    Real im = 0;
    Real error = 0;
    bool defined = true;
    bool real = true;  ///< all that it was computed from is real too: within the domain of a real function
};
[[nodiscard]] Approximation approximate(const Expression& expression, const Samples& samples, int point,
                                        Budget& budget);

}  // namespace tdrm::math
