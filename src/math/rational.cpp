// Exact rational evaluation.
#include "tdrm/math/fields.hpp"

namespace tdrm::math {
namespace {

constexpr std::size_t kMaxBits = 16384;
constexpr unsigned long kMaxFactorial = 1000;

std::size_t bits(const mpq_class& value) {
    return mpz_sizeinbase(value.get_num_mpz_t(), 2) + mpz_sizeinbase(value.get_den_mpz_t(), 2);
}

class RationalField {
public:
    RationalField(Budget& budget, std::string_view variable, const mpq_class& at)
        : budget_(budget), variable_(variable), at_(at) {}

    std::optional<mpq_class> evaluate(const Expression& e) {
        budget_.spend();
        switch (e.kind) {
            case Kind::number:
                return checked(e.value());
            case Kind::symbol:
                return !variable_.empty() && e.name == variable_ ? std::optional(at_) : std::nullopt;
            case Kind::add:
                return fold(e, [](mpq_class& sum, const mpq_class& term) { sum += term; });
            case Kind::multiply:
                return fold(e, [](mpq_class& product, const mpq_class& f) { product *= f; });
            case Kind::divide:
                return quotient(e);
            case Kind::power:
                return power(e);
            case Kind::negate:
                return scaled(e, mpq_class(-1));
            case Kind::percent:
                return scaled(e, mpq_class(1, 100));
            case Kind::unit:
                return evaluate(e.args[0]);
            case Kind::call:
                return call(e);
            default:
                return std::nullopt;
        }
    }

private:
    /// The value if it isn't too big; big ones cost more.
    std::optional<mpq_class> checked(mpq_class value) {
        const std::size_t size = bits(value);
        budget_.spend(size / 1024);
        if (size > kMaxBits) return std::nullopt;
        return value;
    }

    template <class Step>
    std::optional<mpq_class> fold(const Expression& e, Step step) {
        std::optional<mpq_class> result = evaluate(e.args[0]);
        for (std::size_t i = 1; result && i < e.args.size(); ++i) {
            const auto next = evaluate(e.args[i]);
            if (!next) return std::nullopt;
            step(*result, *next);
            result = checked(std::move(*result));
        }
        return result;
    }

    std::optional<mpq_class> scaled(const Expression& e, const mpq_class& factor) {
        auto value = evaluate(e.args[0]);
        if (value) *value *= factor;
        return value;
    }

    std::optional<mpq_class> quotient(const Expression& e) {
        auto top = evaluate(e.args[0]);
        if (!top) return std::nullopt;
        const auto bottom = evaluate(e.args[1]);
        if (!bottom || *bottom == 0) return std::nullopt;
        return checked(*top / *bottom);
    }

    std::optional<mpq_class> power(const Expression& e) {
        const auto exponent = evaluate(e.args[1]);
        if (!exponent || exponent->get_den() != 1 || !exponent->get_num().fits_slong_p()) return std::nullopt;
        auto base = evaluate(e.args[0]);
        if (!base) return std::nullopt;
        const long n = exponent->get_num().get_si();
        const unsigned long size = n < 0 ? 0UL - static_cast<unsigned long>(n) : static_cast<unsigned long>(n);
        if (*base == 0) return n > 0 ? std::optional(mpq_class(0)) : std::nullopt;
        if (*base == 1) return base;
        if (size > kMaxBits || bits(*base) * size > 2 * kMaxBits) return std::nullopt;
        mpz_class top, bottom;
        mpz_pow_ui(top.get_mpz_t(), base->get_num_mpz_t(), size);
        mpz_pow_ui(bottom.get_mpz_t(), base->get_den_mpz_t(), size);
        mpq_class result = n < 0 ? mpq_class(bottom, top) : mpq_class(top, bottom);
        result.canonicalize();
        return checked(std::move(result));
    }

    std::optional<mpq_class> call(const Expression& e) {
        if (e.name == "gcd" || e.name == "lcm" || e.name == "max" || e.name == "min") return of_all(e);
        if (e.name == "mod") return remainder(e);
        if (e.args.empty() || e.args.size() > 2) return std::nullopt;
        auto x = evaluate(e.args[0]);
        if (!x) return std::nullopt;
        if (e.name == "abs") return mpq_class(::abs(*x));
        if (e.name == "sqrt") return square_root(*x);
        if (e.name == "floor" || e.name == "ceil") {
            mpz_class whole;
            (e.name == "floor" ? mpz_fdiv_q : mpz_cdiv_q)(whole.get_mpz_t(), x->get_num_mpz_t(), x->get_den_mpz_t());
            return mpq_class(whole);
        }
        if (e.name != "factorial" && e.name != "binom") return std::nullopt;
        if (x->get_den() != 1 || *x < 0 || *x > kMaxFactorial) return std::nullopt;
        const unsigned long n = x->get_num().get_ui();
        budget_.spend(n / 8);
        mpz_class result;
        if (e.name == "factorial") {
            mpz_fac_ui(result.get_mpz_t(), n);
        } else {
            const auto k = e.args.size() == 2 ? evaluate(e.args[1]) : std::nullopt;
            if (!k || k->get_den() != 1 || *k < 0 || *k > kMaxFactorial) return std::nullopt;
            mpz_bin_uiui(result.get_mpz_t(), n, k->get_num().get_ui());
        }
        return checked(mpq_class(result));
    }

    /// gcd and lcm of integers, max and min of any numbers.
    std::optional<mpq_class> of_all(const Expression& e) {
        std::optional<mpq_class> result;
        const bool integers = e.name == "gcd" || e.name == "lcm";
        for (const Expression& arg : e.args) {
            const auto next = evaluate(arg);
            if (!next || (integers && next->get_den() != 1)) return std::nullopt;
            if (!result)
                result = integers ? mpq_class(::abs(*next)) : *next;
            else if (integers)
                result = e.name == "gcd" ? mpq_class(::gcd(result->get_num(), next->get_num()))
                                         : mpq_class(::lcm(result->get_num(), next->get_num()));
            else if ((e.name == "max") == (*next > *result))
                result = *next;
            result = checked(std::move(*result));
            if (!result) return std::nullopt;
        }
        return result;
    }

    /// a mod b, at least 0 for b > 0.
    std::optional<mpq_class> remainder(const Expression& e) {
        const auto a = evaluate(e.args[0]);
        const auto b = a ? evaluate(e.args[1]) : std::nullopt;
        if (!b || *b <= 0 || a->get_den() != 1 || b->get_den() != 1) return std::nullopt;
        mpz_class rest;
        mpz_fdiv_r(rest.get_mpz_t(), a->get_num_mpz_t(), b->get_num_mpz_t());
        return mpq_class(rest);
    }

    static std::optional<mpq_class> square_root(const mpq_class& x) {
        if (x < 0 || !mpz_perfect_square_p(x.get_num_mpz_t()) || !mpz_perfect_square_p(x.get_den_mpz_t()))
            return std::nullopt;
        return mpq_class(::sqrt(x.get_num()), ::sqrt(x.get_den()));
    }

    Budget& budget_;
    std::string_view variable_;
    const mpq_class& at_;
};

}  // namespace

std::optional<mpq_class> rational_value(const Expression& expression, Budget& budget, std::string_view variable,
                                        const mpq_class& at) {
    return RationalField(budget, variable, at).evaluate(expression);
}

}  // namespace tdrm::math
