// Points at which expressions are compared.
#include <algorithm>
#include <cmath>

#include "tdrm/base/random.hpp"
#include "tdrm/math/fields.hpp"

namespace tdrm::math {
namespace {

constexpr double kLargestConstant = 1e9;  // beyond it functions overflow and nothing is learnt
constexpr std::size_t kMaxConstants = 64;

void collect(const Expression& e, std::vector<std::string>& symbols, std::vector<double>& constants) {
    if (e.is(Kind::symbol)) symbols.push_back(e.name);
    if (e.is(Kind::number) && constants.size() < kMaxConstants)
        if (const double size = std::abs(e.value().get_d()); size > 0 && size < kLargestConstant)
            constants.push_back(size);
    for (const Expression& arg : e.args) collect(arg, symbols, constants);
}

template <class T>
void make_unique(std::vector<T>& items) {
    std::sort(items.begin(), items.end());
    items.erase(std::unique(items.begin(), items.end()), items.end());
}

bool is_negative(std::size_t symbol, int point, double chance) {
    switch (point) {
        case 0:
            return false;
        case 1:
            return true;
        case 2:
            return symbol % 2 == 0;
        case 3:
            return symbol % 2 == 1;
        case 4:
            return symbol / 2 % 2 == 0;
        default:
            return chance < 0.5;
    }
}

}  // namespace

Samples::Samples(const Expression& a, const Expression& b, Options options) : options_(options) {
    collect(a, symbols_, constants_);
    collect(b, symbols_, constants_);
    make_unique(symbols_);
    make_unique(constants_);
}

double Samples::size_at(const Random& random, int point) const {
    const double u = random.uniform(0);
    if (options_.plain) return 0.5 + 2 * u;
    const double least = constants_.empty() ? 1 : std::min(1.0, constants_.front());
    const double largest = constants_.empty() ? 1 : std::max(1.0, constants_.back());
    switch (point % 8) {
        case 1:
        case 6:  // beyond all constants
            return largest * (1.5 + 3 * u);
        case 2:
            return least * (0.05 + 0.4 * u);
        case 3:  // whole
            return 1 + std::floor(6 * u);
        case 4:
        case 7:  // near one of them
            if (!constants_.empty())
                return constants_[static_cast<std::size_t>(random.uniform(1) *
                                                           static_cast<double>(constants_.size()))] *
                       (0.6 + 0.8 * u);
            return 3 + 8 * u;
        default:
            return 0.5 + 2 * u;
    }
}

double Samples::at(std::string_view symbol, int point) const {
    const auto found = std::lower_bound(symbols_.begin(), symbols_.end(), symbol);
    const auto index = static_cast<std::uint64_t>(found - symbols_.begin());
    const Random random(random_key(index, "verifier point", static_cast<std::uint64_t>(point)));
    const double size = size_at(random, point);
    const bool negative = !options_.positive && is_negative(index, point, random.uniform(2));
    return negative ? -size : size;
}

}  // namespace tdrm::math
