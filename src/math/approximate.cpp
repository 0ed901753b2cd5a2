// Complex evaluation in floating point, with running error bounds (Higham, Accuracy and Stability of Numerical
// Algorithms, section 3.3): each operation adds its own rounding and passes on the errors of its arguments.
#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/base/random.hpp"
#include "tdrm/math/fields.hpp"

namespace tdrm::math {
namespace {

using A = Approximation;

constexpr double kLargest = 1e300;  // beyond it a value is undefined, far from overflow
constexpr std::uint64_t kFunctionCost = 4;

Real size_of(const A& z) { return z.im == 0 ? abs_of(z.re) : hypot_of(z.re, z.im); }

A undefined() {
    A result;
    result.defined = false;
    return result;
}

/// Result with the error that its arguments brought in, plus its own rounding.
A rounded(Real re, Real im, Real error) {
    A result{re, im, error, true};
    const Real size = size_of(result);
    const bool exact = error == 0 && im == 0 && size < 1e15 && re == floor_of(re);  // sums and products of integers
    if (!exact) result.error += 4 * kEpsilon * size;
    if (!is_finite(size) || size > kLargest || !is_finite(result.error)) return undefined();
    return result;
}

A add(const A& a, const A& b) { return rounded(a.re + b.re, a.im + b.im, a.error + b.error); }

A times(const A& a, const A& b) {
    const Real error = size_of(a) * b.error + size_of(b) * a.error + a.error * b.error;
    return rounded(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re, error);
}

A inverse(const A& z) {
    const Real size = size_of(z);
    if (!(size > 2 * z.error) || size < 1 / Real(kLargest)) return undefined();
    const Real re = z.re / size, im = z.im / size;
    return rounded(re / size, -im / size, 2 * z.error / (size * size));
}

A real(Real value) { return rounded(value, 0, 0); }
A negative(A z) {
    z.re = -z.re;
    z.im = -z.im;
    return z;
}

A exponential(const A& z) {
    if (z.re > 690 || z.re < -100000 || z.error > 1) return undefined();
    const Real size = exp_of(z.re);
    if (z.im == 0) return rounded(size, 0, 2 * size * (z.error + kEpsilon * abs_of(z.re)));
    return rounded(size * cos_of(z.im), size * sin_of(z.im), 2 * size * (z.error + kEpsilon * size_of(z)));
}

A logarithm(const A& z) {
    const Real size = size_of(z);
    if (!(size > 2 * z.error)) return undefined();
    const Real angle = z.im == 0 ? (z.re < 0 ? kPi : Real(0)) : atan2_of(z.im, z.re);
    return rounded(log_of(size), angle, 2 * z.error / size);
}

A square_root(const A& z) {
    const Real size = size_of(z);
    const Real error = z.error == 0 ? Real(0) : size > 4 * z.error ? z.error / sqrt_of(size) : 2 * sqrt_of(z.error);
    if (z.im == 0) return z.re >= 0 ? rounded(sqrt_of(z.re), 0, error) : rounded(0, sqrt_of(-z.re), error);
    const Real half_angle = atan2_of(z.im, z.re) / 2, root = sqrt_of(size);
    return rounded(root * cos_of(half_angle), root * sin_of(half_angle), error);
}

A sine(const A& z, bool shifted) {
    const Real re = z.re, reach = cosh_of(z.im);
    if (abs_of(re) > 1e12 || abs_of(z.im) > 600) return undefined();
    const Real error = reach * (2 * z.error + kEpsilon * (abs_of(re) + 1));
    const Real s = shifted ? cos_of(re) : sin_of(re), c = shifted ? -sin_of(re) : cos_of(re);
    return rounded(s * reach, z.im == 0 ? Real(0) : c * sinh_of(z.im), error);
}

class ComplexField {
public:
    ComplexField(const Samples& samples, int point, Budget& budget)
        : samples_(samples), point_(point), budget_(budget) {}

    A whole(const Expression& e) {
        A result = evaluate(e);
        result.real = real_;
        return result;
    }

private:
    A evaluate(const Expression& e) {
        const A result = value(e);
        if (result.defined && abs_of(result.im) > result.error) real_ = false;
        return result;
    }

    A value(const Expression& e) {
        budget_.spend(2);
        switch (e.kind) {
            case Kind::number:
                return number(e.value());
            case Kind::symbol:
                return symbol(e.name);
            case Kind::constant:
                return constant(e);
            case Kind::add:
                return fold(e, add);
            case Kind::multiply:
                return fold(e, times);
            case Kind::divide:
                return of_two(e, [](const A& a, const A& b) {
                    const A inverted = inverse(b);
                    return inverted.defined ? times(a, inverted) : undefined();
                });
            case Kind::negate:
                return negative(evaluate(e.args[0]));
            case Kind::percent:
                return of_one(e, [](const A& z) { return times(z, inverse(real(100))); });
            case Kind::degree:
                return of_one(e, [](const A& z) { return times(z, real(kPi / 180)); });
            case Kind::unit:
                return evaluate(e.args[0]);
            case Kind::power:
                return power(e);
            case Kind::call:
                return call(e);
            default:
                return undefined();
        }
    }

    template <class F>
    A of_one(const Expression& e, F f) {
        const A z = evaluate(e.args[0]);
        return z.defined ? f(z) : undefined();
    }
    template <class F>
    A of_two(const Expression& e, F f) {
        const A a = evaluate(e.args[0]);
        if (!a.defined) return a;
        const A b = evaluate(e.args[1]);
        return b.defined ? f(a, b) : undefined();
    }
    template <class F>
    A fold(const Expression& e, F f) {
        A result = evaluate(e.args[0]);
        for (std::size_t i = 1; result.defined && i < e.args.size(); ++i) {
            const A next = evaluate(e.args[i]);
            result = next.defined ? f(result, next) : undefined();
        }
        return result;
    }

    /// The leading 128 bits of numerator and denominator.
    static A number(const mpq_class& value) {
        const auto leading = [](const mpz_class& n) {
            const std::size_t bits = mpz_sizeinbase(n.get_mpz_t(), 2);
            const long cut = bits > 128 ? static_cast<long>(bits) - 128 : 0;
            const mpz_class top = ::abs(n) >> static_cast<unsigned long>(cut);
            const mpz_class high = top >> 64;
            const mpz_class low = top - (high << 64);
            return scale_of(scale_of(Real(high.get_ui()), 64) + Real(low.get_ui()), cut);
        };
        if (value.get_den() == 1 && value.get_num().fits_slong_p())
            return A{Real(value.get_num().get_si()), 0, 0, true};
        const Real size = leading(value.get_num()) / leading(value.get_den());
        return rounded(value < 0 ? -size : size, 0, 0);
    }

    [[nodiscard]] A symbol(const std::string& name) const { return A{Real(samples_.at(name, point_)), 0, 0, true}; }

    static A constant(const Expression& e) {
        if (e.name == "pi") return real(kPi);
        if (e.name == "e") return real(exp_of(Real(1)));
        if (e.name == "i") return A{0, 1, 0, true};
        return undefined();
    }

    A power(const Expression& e) {
        budget_.spend(kFunctionCost);
        const A base = evaluate(e.args[0]);
        if (!base.defined) return base;
        const auto exact = rational_value(e.args[1], budget_);
        if (exact && exact->get_den() == 1 && ::abs(exact->get_num()) <= 1024)
            return integer_power(base, exact->get_num().get_si());
        if (exact && *exact == mpq_class(1, 2)) return square_root(base);
        const bool odd_root =
            exact && exact->get_den() % 2 != 0 && base.im == 0 && base.re < 0 && base.error < -base.re;
        const A exponent = evaluate(e.args[1]);
        if (!exponent.defined) return exponent;
        if (size_of(base) <= base.error) return exponent.re > 0 && base.error == 0 ? real(0) : undefined();
        if (odd_root) {  // the real root of a negative number
            const A size = exponential(times(logarithm(negative(base)), exponent));
            return exact->get_num() % 2 == 0 ? size : negative(size);
        }
        const A log = logarithm(base);
        return log.defined ? exponential(times(log, exponent)) : log;
    }

    static A integer_power(const A& base, long exponent) {
        A result = real(1), square = base;
        for (unsigned long n = static_cast<unsigned long>(exponent < 0 ? -exponent : exponent); n > 0; n >>= 1) {
            if (n & 1) result = times(result, square);
            if (n > 1) square = times(square, square);
            if (!result.defined || !square.defined) return undefined();
        }
        return exponent < 0 ? inverse(result) : result;
    }

    A call(const Expression& e) {
        budget_.spend(kFunctionCost);
        std::vector<A> args;
        for (const Expression& arg : e.args) {
            args.push_back(evaluate(arg));
            if (!args.back().defined) return undefined();
        }
        if (args.empty()) return undefined();
        if (args.size() == 1) return of_one_argument(e.name, args[0]);
        if (e.name == "log" && args.size() == 2) {
            const A top = logarithm(args[0]), bottom = logarithm(args[1]);
            return top.defined && bottom.defined ? quotient(top, bottom) : undefined();
        }
        if (e.name == "binom" && args.size() == 2) {
            const A below = times(factorial(args[1]), factorial(add(args[0], negative(args[1]))));
            return quotient(factorial(args[0]), below);
        }
        if (e.name == "max" || e.name == "min") return extreme(args, e.name == "max");
        return is_generic(e.name) ? generic(e.name, args) : undefined();
    }

    static A quotient(const A& a, const A& b) {
        const A inverted = a.defined && b.defined ? inverse(b) : undefined();
        return inverted.defined ? times(a, inverted) : undefined();
    }

    A of_one_argument(const std::string& name, const A& z) {
        const A one = real(1);
        if (name == "sqrt") return square_root(z);
        if (name == "exp") return exponential(z);
        if (name == "ln" || name == "log") return logarithm(z);
        if (name == "lg") return quotient(logarithm(z), logarithm(real(10)));
        if (name == "abs") return rounded(size_of(z), 0, z.error);
        if (name == "sin") return sine(z, false);
        if (name == "cos") return sine(z, true);
        if (name == "tan") return quotient(sine(z, false), sine(z, true));
        if (name == "cot") return quotient(sine(z, true), sine(z, false));
        if (name == "sec") return quotient(one, sine(z, true));
        if (name == "csc") return quotient(one, sine(z, false));
        if (name == "sinh" || name == "cosh" || name == "tanh" || name == "coth") return hyperbolic(name, z);
        if (name.starts_with("arc")) return inverse_function(name, z);
        if (name == "factorial") return factorial(z);
        if (name == "floor" || name == "ceil") return to_whole(name == "floor", z);
        if (name == "sgn") return sign(z);
        if (name == "Re") return rounded(z.re, 0, z.error);
        if (name == "Im") return rounded(z.im, 0, z.error);
        if (name == "max" || name == "min") return z;
        return is_generic(name) ? generic(name, {z}) : undefined();
    }

    static A hyperbolic(const std::string& name, const A& z) {
        const A up = exponential(z), down = exponential(negative(z));
        if (!up.defined || !down.defined) return undefined();
        const A twice_sinh = add(up, negative(down)), twice_cosh = add(up, down), half = real(0.5);
        if (name == "sinh") return times(twice_sinh, half);
        if (name == "cosh") return times(twice_cosh, half);
        return name == "tanh" ? quotient(twice_sinh, twice_cosh) : quotient(twice_cosh, twice_sinh);
    }

    /// arcsin z = -i log(iz + sqrt(1 - z^2)), arctan z = i/2 (log(1 - iz) - log(1 + iz)), arccos z = pi/2 - arcsin z.
    static A inverse_function(const std::string& name, const A& z) {
        const A one = real(1), i{0, 1, 0, true}, iz = times(i, z);
        if (name == "arcsin" || name == "arccos") {
            const A root = square_root(add(one, negative(times(z, z))));
            const A log = logarithm(add(iz, root));
            if (!log.defined) return undefined();
            const A arcsin = times(negative(i), log);
            return name == "arcsin" ? arcsin : add(real(kPi / 2), negative(arcsin));
        }
        if (name == "arctan" || name == "arccot") {
            const A below = logarithm(add(one, negative(iz))), above = logarithm(add(one, iz));
            if (!below.defined || !above.defined) return undefined();
            const A arctan = times(A{0, 0.5, 0, true}, add(below, negative(above)));
            return name == "arctan" ? arctan : add(real(kPi / 2), negative(arctan));
        }
        return undefined();
    }

    static A factorial(const A& z) {
        if (!z.defined || abs_of(z.im) > z.error || z.re > 150 || z.re < -20) return undefined();
        const Real x = z.re + 1;
        if (x <= 0 && abs_of(x - floor_of(x + 0.5)) <= 2 * z.error + 1e-20) return undefined();
        const Real value = gamma_of(x);
        return rounded(value, 0, abs_of(value) * (100 * z.error + 1e4 * kEpsilon));
    }

    static A to_whole(bool down, const A& z) {
        const Real x = down ? z.re : -z.re;
        const Real value = floor_of(x + z.error);
        if (z.im != 0 || floor_of(x - z.error) != value) return undefined();
        return rounded(down ? value : -value, 0, 0);
    }

    static A sign(const A& z) {
        if (z.im != 0 || (abs_of(z.re) <= z.error && z.error > 0)) return undefined();
        return real(z.re > 0 ? 1 : z.re < 0 ? -1 : 0);
    }

    static A extreme(const std::vector<A>& args, bool largest) {
        A best = args[0];
        for (const A& arg : args)
            if (abs_of(arg.im) > arg.error) return undefined();  // no order
        for (const A& arg : args)
            if (largest ? arg.re > best.re : arg.re < best.re) best = arg;
        return best;
    }

    static bool is_generic(const std::string& name) {
        return name.size() == 1 || name[1] == '_' || name[1] == '\'' || name == "phi" || name == "psi" ||
               name == "Phi" || name == "Psi";
    }

    /// An unknown function is some quadratic polynomial, drawn from its name.
    static A generic(const std::string& name, const std::vector<A>& args) {
        const Random random(random_key(hash64(name), "verifier function"));
        A result = real(random.uniform(0));
        for (std::size_t k = 0; k < args.size() && result.defined; ++k) {
            const A linear = times(args[k], real(0.5 + random.uniform(2 * k + 1)));
            const A square = times(times(args[k], args[k]), real(0.5 + random.uniform(2 * k + 2)));
            if (!linear.defined || !square.defined) return undefined();
            result = add(result, add(linear, square));
        }
        return result;
    }

    const Samples& samples_;
    int point_;
    Budget& budget_;
    bool real_ = true;
};

}  // namespace

Approximation approximate(const Expression& expression, const Samples& samples, int point, Budget& budget) {
    return ComplexField(samples, point, budget).whole(expression);
}

}  // namespace tdrm::math
