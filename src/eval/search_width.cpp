#include "tdrm/eval/search_width.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <limits>

#include "tdrm/base/errors.hpp"

namespace tdrm::eval {
namespace {

struct Sample {
    double n = 0, mean = 0, squares = 0;  ///< squares: sum of squared deviations (Welford)
    void add(double x) {
        n += 1;
        const double before = x - mean;
        mean += before / n;
        squares += before * (x - mean);
    }
};

}  // namespace

Separation separation(std::span<const std::int64_t> offset, std::span<const double> value,
                      std::span<const std::uint8_t> correct) {
    ensure(!offset.empty() && value.size() == correct.size(), "values and verdicts come one per answer");
    ensure(static_cast<std::size_t>(offset.back()) == value.size(), "answers belong to problems");
    double gaps = 0, problems = 0, squares = 0, freedom = 0;
    for (std::size_t p = 0; p + 1 < offset.size(); ++p) {
        std::array<Sample, 2> classes;
        for (auto i = static_cast<std::size_t>(offset[p]); i < static_cast<std::size_t>(offset[p + 1]); ++i)
            classes[correct[i] != 0 ? 1 : 0].add(value[i]);
        for (const Sample& c : classes) {
            squares += c.squares;
            freedom += c.n > 0 ? c.n - 1 : 0;
        }
        if (classes[0].n == 0 || classes[1].n == 0) continue;
        gaps += classes[1].mean - classes[0].mean;
        problems += 1;
    }
    const double unknown = std::numeric_limits<double>::quiet_NaN();
    Separation s{problems > 0 ? gaps / problems : unknown, freedom > 0 ? std::sqrt(squares / freedom) : unknown,
                 unknown};
    if (s.noise > 0 && s.gap == s.gap) s.critical_width = std::exp(std::pow(std::fmax(0, s.gap) / s.noise, 2) / 2);
    return s;
}

}  // namespace tdrm::eval
