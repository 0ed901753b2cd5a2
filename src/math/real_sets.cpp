// Subsets of the real line in a normal form.
#include <algorithm>

#include "tdrm/math/compare.hpp"
#include "tdrm/math/fields.hpp"

namespace tdrm::math {
namespace {

const Real kInfinity = Real(HUGE_VAL);
constexpr std::size_t kMaxPieces = 200;

Endpoint infinite(bool positive) {
    Expression e = make(Kind::constant, "infinity", {});
    if (!positive) e = make(Kind::negate, {std::move(e)});
    return {std::move(e), positive ? kInfinity : -kInfinity, false};
}

/// `low` stands left of `other`'s position or at it, both being lower ends.
bool low_before(const Endpoint& a, const Endpoint& b) {
    return a.value < b.value || (a.value == b.value && a.closed && !b.closed);
}
bool high_before(const Endpoint& a, const Endpoint& b) {
    return a.value < b.value || (a.value == b.value && !a.closed && b.closed);
}
bool is_empty(const Interval& piece) {
    if (piece.low.value < piece.high.value) return false;
    return !(piece.low.value == piece.high.value && piece.low.closed && piece.high.closed);
}

RealSet normalised(RealSet pieces) {
    std::erase_if(pieces, is_empty);
    std::sort(pieces.begin(), pieces.end(), [](const auto& a, const auto& b) { return low_before(a.low, b.low); });
    RealSet result;
    for (Interval& piece : pieces) {
        const bool joins =
            !result.empty() &&
            (piece.low.value < result.back().high.value ||
             (piece.low.value == result.back().high.value && (piece.low.closed || result.back().high.closed)));
        if (!joins)
            result.push_back(std::move(piece));
        else if (high_before(result.back().high, piece.high))
            result.back().high = std::move(piece.high);
    }
    return result;
}

RealSet intersect(const RealSet& a, const RealSet& b, Budget& budget) {
    RealSet result;
    budget.spend(a.size() * b.size());
    for (const Interval& x : a)
        for (const Interval& y : b)
            result.push_back({low_before(x.low, y.low) ? y.low : x.low, high_before(x.high, y.high) ? x.high : y.high});
    return normalised(std::move(result));
}

RealSet complement(const RealSet& set) {
    RealSet result;
    Endpoint low = infinite(false);
    for (const Interval& piece : set) {
        Endpoint high = piece.low;
        high.closed = piece.low.value > -kInfinity && !piece.low.closed;
        result.push_back({low, high});
        low = piece.high;
        low.closed = piece.high.value < kInfinity && !piece.high.closed;
    }
    result.push_back({low, infinite(true)});
    return normalised(std::move(result));
}

class SetReader {
public:
    SetReader(std::string& variable, Budget& budget) : variable_(variable), budget_(budget) {}

    std::optional<RealSet> read(const Expression& e) {
        budget_.spend(4);
        switch (e.kind) {
            case Kind::constant:
                return e.name == "reals"   ? std::optional(reals())
                       : e.name == "empty" ? std::optional(RealSet{})
                                           : std::nullopt;
            case Kind::tuple:
                return interval(e);
            case Kind::set:
                return points(e);
            case Kind::set_union:
                return united(e);
            case Kind::intersection:
                return combined(e, false);
            case Kind::difference:
                return combined(e, true);
            case Kind::relation:
                return relation(e);
            case Kind::list:
                return list(e);
            default:
                return std::nullopt;
        }
    }

private:
    static RealSet reals() { return {{infinite(false), infinite(true)}}; }

    /// A symbol or a function such as f.
    static bool is_unknown(const Expression& e) { return e.is(Kind::symbol) || (e.is(Kind::call) && is_name(e)); }

    /// Whether a name is the one that this set is about.
    bool is_variable(const Expression& name) {
        const std::string text = to_text(name.is(Kind::call, "abs") ? name.args[0] : name);
        if (variable_.empty()) variable_ = text;
        return variable_ == text;
    }

    std::optional<Endpoint> endpoint(const Expression& e, bool closed) {
        if (e.is(Kind::constant, "infinity")) return infinite(true);
        if (e.is(Kind::negate) && e.args[0].is(Kind::constant, "infinity")) return infinite(false);
        if (any_node(e, is_unknown)) return std::nullopt;
        const Approximation value = approximate(e, Samples(), 0, budget_);
        if (!value.defined || abs_of(value.im) > value.error) return std::nullopt;
        return Endpoint{e, value.re, closed};
    }

    std::optional<RealSet> interval(const Expression& e) {
        if (e.args.size() != 2) return std::nullopt;
        auto low = endpoint(e.args[0], e.name[0] == '['), high = endpoint(e.args[1], e.name[1] == ']');
        if (!low || !high || !(low->value < high->value)) return std::nullopt;
        return RealSet{{std::move(*low), std::move(*high)}};
    }

    std::optional<RealSet> points(const Expression& e) {
        RealSet result;
        for (const Expression& arg : e.args) {
            const auto at = endpoint(arg, true);
            if (!at || !at->closed) return std::nullopt;
            result.push_back({*at, *at});
        }
        return normalised(std::move(result));
    }

    std::optional<RealSet> united(const Expression& e) {
        RealSet result;
        for (const Expression& arg : e.args) {
            auto part = read(arg);
            if (!part || result.size() + part->size() > kMaxPieces) return std::nullopt;
            result.insert(result.end(), part->begin(), part->end());
        }
        return normalised(std::move(result));
    }

    std::optional<RealSet> combined(const Expression& e, bool without) {
        const auto left = read(e.args[0]);
        const auto right = left ? read(e.args[1]) : std::nullopt;
        if (!right) return std::nullopt;
        return intersect(*left, without ? complement(*right) : *right, budget_);
    }

    /// "or" unites; "and" and commas intersect unless nothing is left then ("x < 1, x > 2", "x = 1 and x = 2").
    std::optional<RealSet> list(const Expression& e) {
        for (const Expression& arg : e.args)
            if (!arg.is(Kind::relation) && !arg.is(Kind::tuple) && !arg.is(Kind::set_union)) return std::nullopt;
        const bool intervals = !e.args[0].is(Kind::relation);
        auto all = united(e);
        if (!all || e.name == "or" || e.name == "lor") return all;
        // Points and overlapping intervals are a list of things, not one set.
        if (intervals) return all->size() == e.args.size() ? all : std::nullopt;
        RealSet common = reals();
        for (const Expression& arg : e.args) common = intersect(common, *read(arg), budget_);
        return common.empty() && e.name != "land" ? all : std::optional(common);
    }

    std::optional<RealSet> relation(const Expression& e) {
        RealSet result = reals();
        for (std::size_t i = 0; i + 1 < e.args.size(); ++i) {
            const auto part = pair(e.args[i], e.name[i], e.args[i + 1]);
            if (!part) return std::nullopt;
            result = intersect(result, *part, budget_);
        }
        return result;
    }

    static char mirrored(char sign) {
        return sign == '<' ? '>' : sign == '>' ? '<' : sign == 'l' ? 'g' : sign == 'g' ? 'l' : sign;
    }

    std::optional<RealSet> pair(const Expression& left, char sign, const Expression& right) {
        if (sign == 'i' || sign == 'o') {
            auto set = is_name(left) && is_variable(left) ? read(right) : std::nullopt;
            return set && sign == 'o' ? std::optional(complement(*set)) : set;
        }
        if (const auto bound = endpoint(right, true); bound && is_name(left)) return half_line(left, sign, *bound);
        if (const auto bound = endpoint(left, true); bound && is_name(right))
            return half_line(right, mirrored(sign), *bound);
        if (left.is(Kind::call, "abs") && left.args.size() == 1) return distance(left.args[0], sign, right);
        return linear(left, sign, right);
    }

    /// x < c and the like; |x| < c is -c < x < c.
    std::optional<RealSet> half_line(const Expression& name, char sign, const Endpoint& bound) {
        if (!is_variable(name)) return std::nullopt;
        if (name.is(Kind::call, "abs")) {
            Endpoint opposite{make(Kind::negate, {bound.expression}), -bound.value, bound.closed};
            if (bound.value < 0) return std::nullopt;
            const bool inside_closed = sign == 'l' || sign == '>';
            opposite.closed = inside_closed;
            Endpoint high = bound;
            high.closed = inside_closed;
            const RealSet inside = normalised({{opposite, high}});
            if (sign == 'l' || sign == '<') return inside;
            if (sign == 'g' || sign == '>') return complement(inside);
            return std::nullopt;
        }
        Endpoint end = bound;
        end.closed = bound.closed && sign != '<' && sign != '>';
        switch (sign) {
            case '<':
            case 'l':
                return normalised({{infinite(false), end}});
            case '>':
            case 'g':
                return normalised({{end, infinite(true)}});
            case '=':
                return normalised({{end, end}});
            case 'n':
                return complement(normalised({{end, end}}));
            default:
                return std::nullopt;
        }
    }

    /// |x - a| < c is -c < x - a < c.
    std::optional<RealSet> distance(const Expression& inside, char sign, const Expression& bound) {
        if (sign == '=' || sign == 'n') return std::nullopt;
        const auto right = linear(inside, sign, bound);
        const auto left = right ? linear(inside, mirrored(sign), make(Kind::negate, {bound})) : std::nullopt;
        if (!left) return std::nullopt;
        if (sign == '<' || sign == 'l') return intersect(*left, *right, budget_);
        RealSet both = *left;
        both.insert(both.end(), right->begin(), right->end());
        return normalised(std::move(both));
    }

    /// a x + b < c x + d with rational coefficients and one symbol.
    std::optional<RealSet> linear(const Expression& left, char sign, const Expression& right) {
        const Expression difference = make(Kind::add, {left, make(Kind::negate, {right})});
        const Expression* variable = nullptr;
        const bool several = any_node(difference, [&](const Expression& node) {
            if (!node.is(Kind::symbol)) return false;
            if (variable && variable->name != node.name) return true;
            variable = &node;
            return false;
        });
        if (!variable || several) return std::nullopt;
        std::array<mpq_class, 3> at;
        for (int x = 0; x < 3; ++x) {
            const auto value = rational_value(difference, budget_, variable->name, mpq_class(x));
            if (!value) return std::nullopt;
            at[static_cast<std::size_t>(x)] = *value;
        }
        const mpq_class slope = at[1] - at[0];
        if (slope == 0 || at[2] - at[1] != slope) return std::nullopt;
        const auto root = endpoint(make_number(-at[0] / slope), true);
        if (!root) return std::nullopt;  // beyond the range of Real
        return half_line(*variable, slope < 0 ? mirrored(sign) : sign, *root);
    }

    std::string& variable_;
    Budget& budget_;
};

Decision compare_ends(const Endpoint& a, const Endpoint& b, const CompareOptions& options, Budget& budget) {
    if (a.closed != b.closed) return Decision::different;
    const bool infinite_a = abs_of(a.value) == kInfinity, infinite_b = abs_of(b.value) == kInfinity;
    if (infinite_a || infinite_b) return a.value == b.value ? Decision::equal : Decision::different;
    return compare_values(a.expression, b.expression, options, budget);
}

}  // namespace

std::optional<RealSet> real_set(const Expression& expression, std::string& variable, Budget& budget) {
    return SetReader(variable, budget).read(expression);
}

Decision compare_sets(const RealSet& a, const RealSet& b, const CompareOptions& options, Budget& budget) {
    if (a.size() != b.size()) return Decision::different;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (const auto low = compare_ends(a[i].low, b[i].low, options, budget); low != Decision::equal) return low;
        if (const auto high = compare_ends(a[i].high, b[i].high, options, budget); high != Decision::equal) return high;
    }
    return Decision::equal;
}

}  // namespace tdrm::math
