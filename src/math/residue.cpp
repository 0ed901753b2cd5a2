// Evaluation modulo two primes.
#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/base/random.hpp"
#include "tdrm/math/fields.hpp"

namespace tdrm::math {
namespace {

constexpr std::array<std::uint64_t, 2> kPrimes = {(1ULL << 61) - 1, (1ULL << 60) - 93};

/// a b modulo one of the primes 2^n - c: what stands above bit n counts c times.
std::uint64_t times(std::uint64_t a, std::uint64_t b, std::uint64_t prime) {
    __extension__ using Wide = unsigned __int128;
    const int n = prime == kPrimes[0] ? 61 : 60;
    const std::uint64_t mask = (1ULL << n) - 1, c = mask + 1 - prime;
    Wide product = Wide(a) * b;
    for (int fold = 0; fold < 2; ++fold) product = (product >> n) * c + (product & mask);
    const auto folded = static_cast<std::uint64_t>(product);
    return folded >= prime ? folded - prime : folded;
}

std::uint64_t power_of(std::uint64_t base, std::uint64_t exponent, std::uint64_t prime) {
    std::uint64_t result = 1;
    for (; exponent > 0; exponent >>= 1, base = times(base, base, prime))
        if (exponent & 1) result = times(result, base, prime);
    return result;
}

class ResidueField {
public:
    ResidueField(int point, Budget& budget) : point_(point), budget_(budget) {}

    Residue evaluate(const Expression& e) {
        budget_.spend();
        switch (e.kind) {
            case Kind::number:
                return from_rational(e.value());
            case Kind::symbol:
                return drawn(e.name);
            case Kind::constant:
                return constant(e);
            case Kind::add:
                return fold(e, [](auto a, auto b, auto prime) { return (a + b) % prime; });
            case Kind::multiply:
                return fold(e, times);
            case Kind::divide:
                return product(evaluate(e.args[0]), inverse(evaluate(e.args[1])));
            case Kind::negate:
                return product(evaluate(e.args[0]), from_rational(-1));
            case Kind::percent:
                return product(evaluate(e.args[0]), from_rational(mpq_class(1, 100)));
            case Kind::degree:
                return product(evaluate(e.args[0]), hashed("degree", {}));
            case Kind::unit:
                return evaluate(e.args[0]);
            case Kind::power:
                return power(e);
            case Kind::call:
                return call(e);
            default:
                return structure(e);
        }
    }

private:
    Residue from_rational(const mpq_class& value) {
        Residue result;
        budget_.spend(mpz_size(value.get_num_mpz_t()) / 16 + mpz_size(value.get_den_mpz_t()) / 16);
        for (std::size_t i = 0; i < 2; ++i) {
            const std::uint64_t top = mpz_fdiv_ui(value.get_num_mpz_t(), kPrimes[i]);
            const std::uint64_t bottom = mpz_fdiv_ui(value.get_den_mpz_t(), kPrimes[i]);
            if (bottom == 0) result.defined = false;
            result.value[i] = times(top, power_of(bottom, kPrimes[i] - 2, kPrimes[i]), kPrimes[i]);
        }
        return result;
    }

    /// Random residues, a pure function of a name and the point.
    [[nodiscard]] Residue drawn(std::string_view name) const {
        Random random(random_key(hash64(name), "verifier symbol", static_cast<std::uint64_t>(point_)));
        Residue result;
        for (std::size_t i = 0; i < 2; ++i) result.value[i] = 2 + random.next_below(kPrimes[i] - 2);
        return result;
    }

    Residue constant(const Expression& e) {
        Residue result = drawn("constant " + e.name);
        if (e.name == "i") result.conclusive = false;
        if (e.name == "infinity") result.defined = false;  // no number: infinity - infinity isn't 0
        return result;
    }

    template <class Step>
    Residue fold(const Expression& e, Step step) {
        Residue result = evaluate(e.args[0]);
        for (std::size_t k = 1; k < e.args.size(); ++k) {
            const Residue next = evaluate(e.args[k]);
            for (std::size_t i = 0; i < 2; ++i) result.value[i] = step(result.value[i], next.value[i], kPrimes[i]);
            result.conclusive = result.conclusive && next.conclusive;
            result.defined = result.defined && next.defined;
        }
        return result;
    }

    static Residue product(Residue a, const Residue& b) {
        for (std::size_t i = 0; i < 2; ++i) a.value[i] = times(a.value[i], b.value[i], kPrimes[i]);
        a.conclusive = a.conclusive && b.conclusive;
        a.defined = a.defined && b.defined;
        return a;
    }

    static Residue inverse(Residue a) {
        for (std::size_t i = 0; i < 2; ++i) {
            if (a.value[i] == 0) a.defined = false;
            a.value[i] = power_of(a.value[i], kPrimes[i] - 2, kPrimes[i]);
        }
        return a;
    }

    Residue power(const Expression& e) {
        const auto exponent = rational_value(e.args[1], budget_);
        const Residue base = evaluate(e.args[0]);
        if (!exponent || exponent->get_den() != 1) {
            Residue result = hashed("power", {base, evaluate(e.args[1])});
            result.conclusive = false;
            return result;
        }
        budget_.spend(8 + mpz_size(exponent->get_num_mpz_t()) / 16);
        Residue result = *exponent < 0 ? inverse(base) : base;
        const mpz_class size = ::abs(exponent->get_num());
        for (std::size_t i = 0; i < 2; ++i) {
            // x^(p-1) = 1, so the exponent may be taken modulo p - 1, except for x = 0.
            const std::uint64_t reduced = mpz_fdiv_ui(size.get_mpz_t(), kPrimes[i] - 1);
            result.value[i] =
                result.value[i] == 0 ? (size == 0 ? 1 : 0) : power_of(result.value[i], reduced, kPrimes[i]);
        }
        return result;
    }

    Residue call(const Expression& e) {
        if (const auto exact = rational_value(e, budget_)) return from_rational(*exact);
        if (e.name == "exp" && e.args.size() == 1)
            return evaluate(make(Kind::power, {make(Kind::constant, "e", {}), e.args[0]}));
        Residue result = structure(e);
        if (e.name == "ln" || e.name == "log" || e.name == "lg")
            if (const auto argument = rational_value(e.args[0], budget_); argument && *argument == 0)
                result.defined = false;
        return result;
    }

    /// Anything else: a hash of its kind, name and parts. A generic function f is conclusive: f(u) = f(v) iff u = v.
    Residue structure(const Expression& e) {
        std::vector<Residue> parts;
        for (const Expression& arg : e.args) parts.push_back(evaluate(arg));
        Residue result = hashed(cat(static_cast<int>(e.kind), e.name), parts);
        const bool generic = e.is(Kind::call) && (e.name.size() == 1 || e.name[1] == '_' || e.name[1] == '\'');
        result.conclusive = result.conclusive && generic;
        return result;
    }

    Residue hashed(std::string_view name, const std::vector<Residue>& parts) {
        budget_.spend(2 + parts.size());
        std::string key(name);
        Residue flags;
        for (const Residue& part : parts) {
            for (const std::uint64_t value : part.value)
                key.append(reinterpret_cast<const char*>(&value), sizeof value);
            flags.conclusive = flags.conclusive && part.conclusive;
            flags.defined = flags.defined && part.defined;
        }
        Residue result = drawn("hash " + key);
        result.conclusive = flags.conclusive;
        result.defined = flags.defined;
        return result;
    }

    int point_;
    Budget& budget_;
};

}  // namespace

Residue residue(const Expression& expression, int point, Budget& budget) {
    return ResidueField(point, budget).evaluate(expression);
}

}  // namespace tdrm::math
