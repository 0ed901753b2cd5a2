// Equality of scalars.
#include "tdrm/math/compare.hpp"
#include "tdrm/math/fields.hpp"
#include "tdrm/math/words.hpp"

namespace tdrm::math {
namespace {

constexpr int kResiduePoints = 2;
/// How many points are tried at most, and at how many of them both sides must be defined. Functions without pieces and
/// branches agree everywhere if they agree at a few points; the others must be met in all of their pieces.
struct Effort {
    int most, needed;
    bool early;  ///< enough is enough
};
constexpr Effort kSmooth = {10, 3, true}, kBranched = {24, 5, false}, kStepped = {64, 16, false};
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

Effort effort_for(const Expression& a, const Expression& b) {
    const auto steps = [](const Expression& node) {
        return node.is(Kind::call, "floor") || node.is(Kind::call, "ceil") || node.is(Kind::call, "sgn");
    };
    const auto branches = [](const Expression& node) {
        if (node.is(Kind::power)) return !node.args[1].is(Kind::number) || node.args[1].value().get_den() != 1;
        if (!node.is(Kind::call)) return false;
        return node.name == "sqrt" || node.name == "ln" || node.name == "log" || node.name == "lg" ||
               node.name == "abs" || node.name == "max" || node.name == "min" || node.name.starts_with("arc");
    };
    if (any_node(a, steps) || any_node(b, steps)) return kStepped;
    return any_node(a, branches) || any_node(b, branches) ? kBranched : kSmooth;
}

bool has_imaginary(const Expression& e) {
    return any_node(e, [](const Expression& node) { return node.is(Kind::constant, "i"); });
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
    const bool complex = constant || has_imaginary(a) || has_imaginary(b);
    const Effort effort = constant ? Effort{1, 1, true} : effort_for(a, b);
    const bool plain = tolerant && effort.early;
    const Samples samples(a, b, {options.positive_variables, plain});
    int agreed = 0;
    for (int point = 0; point < effort.most && !(effort.early && agreed >= effort.needed); ++point) {
        const Approximation x = approximate(a, samples, point, budget);
        if (!x.defined) continue;
        const Approximation y = approximate(b, samples, point, budget);
        if (!y.defined || !is_accurate(x, y)) continue;
        const Real bound = 8 * (x.error + y.error);
        const bool same = abs_of(x.re - y.re) <= bound && abs_of(x.im - y.im) <= bound;
        const auto near = [&] { return close(x.re, y.re, options) && (x.im == y.im || close(x.im, y.im, options)); };
        const bool relative = abs_of(x.re - y.re) + abs_of(x.im - y.im) <= Real(1e-6) * (abs_of(x.re) + abs_of(x.im));
        if (same || (tolerant && (near() || (!plain && relative)))) {
            ++agreed;
            continue;
        }
        if (complex || (x.real && y.real)) return Decision::different;
        // Else one of them isn't defined for these real numbers.
    }
    return agreed >= effort.needed ? Decision::equal : Decision::undecided;
}

/// 1 or -1 for an infinite value, else 0.
int infinite_sign(const Expression& e) {
    if (e.is(Kind::constant, "infinity")) return 1;
    return e.is(Kind::negate) ? -infinite_sign(e.args[0]) : 0;
}

}  // namespace

namespace {

Decision decide_values(const Expression& a, const Expression& b, const CompareOptions& options, Budget& budget) {
    const auto is_inexact = [](const Expression& node) { return node.inexact; };
    const bool tolerant =
        options.precision || options.abs_tolerance || any_node(a, is_inexact) || any_node(b, is_inexact);
    if (const int sign = infinite_sign(a), other = infinite_sign(b); sign != 0 || other != 0)
        return sign == other ? Decision::equal : Decision::different;
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

/// Words that stand for themselves ("text:banana") have no value that could be refuted.
bool holds_words(const Expression& e) {
    return any_node(e, [](const Expression& node) { return node.is(Kind::symbol) && node.name.starts_with("text:"); });
}

}  // namespace

Decision compare_values(const Expression& a, const Expression& b, const CompareOptions& options, Budget& budget) {
    const Decision decision = decide_values(a, b, options, budget);
    if (decision != Decision::different || (a.is(Kind::symbol) && b.is(Kind::symbol))) return decision;
    return holds_words(a) || holds_words(b) ? Decision::undecided : decision;
}

Decision compare_up_to_factor(const Expression& a, const Expression& b, bool positive, bool positive_variables,
                              Budget& budget) {
    const Expression quotient = make(Kind::divide, {a, b});
    if (!has_symbols(a) || !has_symbols(b)) return Decision::different;  // two numbers are always proportional
    const Samples samples(a, b, {positive_variables, false});
    const Effort effort = effort_for(a, b);
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
    for (int point = 0; point < effort.most && !(effort.early && agreed >= effort.needed); ++point) {
        const Approximation c = approximate(quotient, samples, point, budget);
        if (!c.defined || !c.real || !is_accurate(c, c)) continue;
        if (!sign_fits(c)) return Decision::different;
        if (proportional) return Decision::equal;
        const Real bound = 8 * (c.error + before.error);
        if (agreed > 0 && (abs_of(c.re - before.re) > bound || abs_of(c.im - before.im) > bound))
            return Decision::different;
        before = c;
        ++agreed;
    }
    return agreed >= effort.needed ? Decision::equal : Decision::undecided;
}

namespace {

/// Takes units and degree signs out of sums and products; arguments of functions keep theirs.
Expression without_units(const Expression& e, Quantity& found) {
    if (e.is(Kind::unit)) {
        if (const std::string unit = canonical_unit(e.name); !unit.empty()) found.unit = unit;
        found.letter = e.name.size() == 1 || (e.name.size() == 3 && e.name[1] == '/') ? e.name : std::string();
        return without_units(e.args[0], found);
    }
    if (e.is(Kind::degree)) {
        if (found.unit.empty()) found.unit = "deg";
        return without_units(e.args[0], found);
    }
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
