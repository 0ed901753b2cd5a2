// Equality of scalars.
#include "tdrm/math/compare.hpp"
#include "tdrm/math/fields.hpp"
#include "tdrm/math/words.hpp"

namespace tdrm::math {
namespace {

constexpr int kResiduePoints = 2;
constexpr int kPoints = 8;        // at most
constexpr int kNeededPoints = 3;  // where both sides are defined
constexpr int kSpreadFactor = 8;  // more of both where steps must be met
constexpr int kDefaultPrecision = 6;
constexpr double kDefaultRelative = 1e-4;

mpz_class rounded(const mpq_class& value, int digits) {
    mpz_class scale;
    mpz_ui_pow_ui(scale.get_mpz_t(), 10, static_cast<unsigned long>(digits));
    const mpq_class shifted = value * scale + mpq_class(1, 2);
    mpz_class whole;
    mpz_fdiv_q(whole.get_mpz_t(), shifted.get_num_mpz_t(), shifted.get_den_mpz_t());
    return whole;
}

bool close(const mpq_class& a, const mpq_class& b, const CompareOptions& options) {
    const mpq_class difference = ::abs(a - b);
    if (options.abs_tolerance) return difference <= mpq_class(*options.abs_tolerance * (1 + 1e-9));
    if (rounded(a, options.precision.value_or(kDefaultPrecision)) !=
        rounded(b, options.precision.value_or(kDefaultPrecision)))
        return false;
    return options.precision || difference <= mpq_class(kDefaultRelative) * ::abs(a);
}

bool close(Real a, Real b, const CompareOptions& options) {
    const Real difference = abs_of(a - b);
    if (options.abs_tolerance) return difference <= Real(*options.abs_tolerance * (1 + 1e-9));
    Real scale = 1;
    for (int i = 0; i < options.precision.value_or(kDefaultPrecision); ++i) scale *= 10;
    if (floor_of(a * scale + Real(0.5)) != floor_of(b * scale + Real(0.5))) return false;
    return options.precision || difference <= Real(kDefaultRelative) * abs_of(a);
}

/// Whether functions occur whose values for negative arguments depend on a choice of branch.
bool has_branches(const Expression& e) {
    return any_node(e, [](const Expression& node) {
        if (node.is(Kind::power)) return !node.args[1].is(Kind::number) || node.args[1].value().get_den() != 1;
        if (!node.is(Kind::call)) return false;
        return node.name == "sqrt" || node.name == "ln" || node.name == "log" || node.name == "lg" ||
               node.name == "factorial" || node.name == "binom" || node.name.starts_with("arc");
    });
}

Points points_for(const Expression& a, const Expression& b) {
    const auto rounds = [](const Expression& node) {
        return node.is(Kind::call, "floor") || node.is(Kind::call, "ceil");
    };
    if (any_node(a, rounds) || any_node(b, rounds)) return Points::spread;
    return has_branches(a) || has_branches(b) ? Points::positive : Points::any_sign;
}

bool has_symbols(const Expression& e) {
    return any_node(e, [](const Expression& node) { return node.is(Kind::symbol); });
}

Decision compare_residues(const Expression& a, const Expression& b, bool tolerant, Budget& budget) {
    bool conclusive = !tolerant, equal = true;
    for (int point = 0; point < kResiduePoints && equal; ++point) {
        const Residue left = residue(a, point, budget), right = residue(b, point, budget);
        if (!left.defined || !right.defined) return Decision::undecided;
        equal = left.value == right.value;
        conclusive = conclusive && left.conclusive && right.conclusive;
    }
    if (equal) return Decision::equal;
    return conclusive ? Decision::different : Decision::undecided;
}

/// Whether the error bounds leave enough digits to tell.
bool is_accurate(const Approximation& a, const Approximation& b) {
    const Real size = abs_of(a.re) + abs_of(a.im) + abs_of(b.re) + abs_of(b.im);
    return 8 * (a.error + b.error) <= Real(1e-12) * (size + Real(1e-8));
}

Decision compare_at_points(const Expression& a, const Expression& b, bool tolerant, const CompareOptions& options,
                           Budget& budget) {
    const bool constant = !has_symbols(a) && !has_symbols(b);
    const Points points = points_for(a, b);
    const int factor = points == Points::spread ? kSpreadFactor : 1;
    const int most = constant ? 1 : kPoints * factor, needed = constant ? 1 : kNeededPoints * factor;
    int agreed = 0;
    for (int point = 0; point < most && agreed < needed; ++point) {
        const Approximation x = approximate(a, point, points, budget);
        if (!x.defined) continue;
        const Approximation y = approximate(b, point, points, budget);
        if (!y.defined || !is_accurate(x, y)) continue;
        const Real bound = 8 * (x.error + y.error);
        const bool same = abs_of(x.re - y.re) <= bound && abs_of(x.im - y.im) <= bound;
        const auto near = [&] { return close(x.re, y.re, options) && (x.im == y.im || close(x.im, y.im, options)); };
        if (!same && !(tolerant && near())) return Decision::different;
        ++agreed;
    }
    return agreed >= needed ? Decision::equal : Decision::undecided;
}

}  // namespace

Decision compare_values(const Expression& a, const Expression& b, const CompareOptions& options, Budget& budget) {
    const auto is_inexact = [](const Expression& node) { return node.inexact; };
    const bool tolerant =
        options.precision || options.abs_tolerance || any_node(a, is_inexact) || any_node(b, is_inexact);
    const auto left = rational_value(a, budget);
    const auto right = left ? rational_value(b, budget) : std::nullopt;
    if (left && right) {
        if (*left == *right) return Decision::equal;
        return tolerant && close(*left, *right, options) ? Decision::equal : Decision::different;
    }
    const Decision exact = compare_residues(a, b, tolerant, budget);
    if (exact != Decision::undecided) return exact;
    return compare_at_points(a, b, tolerant, options, budget);
}

Decision compare_up_to_factor(const Expression& a, const Expression& b, bool positive, Budget& budget) {
    const Expression quotient = make(Kind::divide, {a, b});
    if (!has_symbols(a) || !has_symbols(b)) return Decision::different;  // two numbers are always proportional
    const Points points = points_for(a, b);
    const auto sign_fits = [&](const Approximation& c) {
        const bool zero = abs_of(c.re) + abs_of(c.im) <= 8 * c.error;
        return !zero && (!positive || c.re > 0);
    };
    const Residue first = residue(quotient, 0, budget), second = residue(quotient, 1, budget);
    if (first.defined && second.defined && first.conclusive && second.conclusive && first.value != second.value)
        return Decision::different;
    const bool proportional = first.defined && first.value == second.value && first.value[0] != 0;
    int agreed = 0;
    Approximation before;
    for (int point = 0; point < kPoints && agreed < kNeededPoints; ++point) {
        const Approximation c = approximate(quotient, point, points, budget);
        if (!c.defined || !is_accurate(c, c)) continue;
        if (!sign_fits(c)) return Decision::different;
        if (proportional) return Decision::equal;
        const Real bound = 8 * (c.error + before.error);
        if (agreed > 0 && (abs_of(c.re - before.re) > bound || abs_of(c.im - before.im) > bound))
            return Decision::different;
        before = c;
        ++agreed;
    }
    return agreed >= kNeededPoints ? Decision::equal : Decision::undecided;
}

namespace {

/// Takes units and degree signs out of sums and products; arguments of functions keep theirs.
Expression without_units(const Expression& e, Quantity& found) {
    if (e.is(Kind::unit)) {
        found.unit = canonical_unit(e.name);
        found.letter = e.name.size() == 1 ? e.name : std::string();
        return without_units(e.args[0], found);
    }
    if (e.is(Kind::degree)) return without_units(e.args[0], found);
    if (e.kind != Kind::add && e.kind != Kind::multiply && e.kind != Kind::divide && e.kind != Kind::negate) return e;
    Expression result = make(e.kind, e.name, {});
    for (const Expression& arg : e.args) result.args.push_back(without_units(arg, found));
    return result;
}

}  // namespace

Quantity bare_quantity(const Expression& expression) {
    Quantity result;
    const bool plain =
        !any_node(expression, [](const Expression& node) { return node.is(Kind::unit) || node.is(Kind::degree); });
    result.value = plain ? expression : without_units(expression, result);
    if (result.value.is(Kind::percent)) {
        result.percent = true;
        result.value = Expression(result.value.args[0]);
    } else if (result.value.is(Kind::negate) && result.value.args[0].is(Kind::percent)) {
        result.percent = true;
        result.value = make(Kind::negate, {result.value.args[0].args[0]});
    }
    return result;
}

}  // namespace tdrm::math
