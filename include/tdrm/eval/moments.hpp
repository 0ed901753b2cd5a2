// Mean and spread of numbers.
#pragma once

#include <span>

namespace tdrm::eval {

struct Moments {
    double count = 0;
    double mean = 0;     ///< NaN of no numbers
    double squares = 0;  ///< sum of squared differences from the mean

    /// Of the numbers themselves (ddof 0); NaN of none.
    [[nodiscard]] double variance() const { return squares / count; }
    /// Standard deviation of what they are a sample of (ddof 1); 0 of fewer than two.
    [[nodiscard]] double deviation() const;
    /// Standard error of the mean; 0 of fewer than two.
    [[nodiscard]] double error() const;
};

/// Added up in their order, twice: differences from the mean don't cancel.
[[nodiscard]] Moments moments(std::span<const double> numbers);

}  // namespace tdrm::eval
