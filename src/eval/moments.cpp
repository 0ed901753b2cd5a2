#include "tdrm/eval/moments.hpp"

#include <cmath>

namespace tdrm::eval {

double Moments::deviation() const { return count > 1 ? std::sqrt(squares / (count - 1)) : 0; }

double Moments::error() const { return count > 1 ? std::sqrt(squares / (count - 1) / count) : 0; }

Moments moments(std::span<const double> numbers) {
    Moments result{static_cast<double>(numbers.size()), 0, 0};
    for (const double x : numbers) result.mean += x;
    result.mean /= result.count;
    for (const double x : numbers) result.squares += (x - result.mean) * (x - result.mean);
    return result;
}

}  // namespace tdrm::eval
