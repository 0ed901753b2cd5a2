// How a global batch is cut into units and shared out among ranks. Only who computes a unit depends on the ranks.
#pragma once

#include <cstddef>
#include <vector>

namespace tdrm::train {

/// Cuts consecutive samples into units that are about equally long. ceil(total / unit_tokens) units are aimed at, each
/// of an even share of the tokens (at most unit_tokens); a unit ends where it comes closest to the end of its share. So
/// - a unit of several samples has at most share + first / 2 + last / 2 tokens (of its first and last sample), rounded:
///   always fewer than unit_tokens + the longest sample;
/// - there are as many units as are aimed at if no sample is longer than the share, else perhaps fewer, never more.
/// @param unit_tokens at least 1
/// @return index of the first sample of each unit, and the number of samples at the end
[[nodiscard]] std::vector<std::size_t> cut_units(const std::vector<std::size_t>& sample_tokens,
                                                 std::size_t unit_tokens);

/// Which rank computes which unit: longest first to the least loaded. Doesn't influence results.
[[nodiscard]] std::vector<int> assign_units(const std::vector<double>& costs, int ranks);

/// The samples of a batch in units.
class Units {
public:
    Units() = default;
    /// @param sample_tokens of each sample, in order
    Units(std::vector<std::size_t> sample_tokens, std::size_t unit_tokens)
        : tokens_(std::move(sample_tokens)), first_(cut_units(tokens_, unit_tokens)) {}

    /// The same units, and those of another batch behind them.
    void append(const Units& other);

    [[nodiscard]] std::size_t size() const { return first_.empty() ? 0 : first_.size() - 1; }
    /// Samples [begin, end) of a unit.
    [[nodiscard]] std::size_t begin(std::size_t unit) const { return first_[unit]; }
    [[nodiscard]] std::size_t end(std::size_t unit) const { return first_[unit + 1]; }
    [[nodiscard]] double samples(std::size_t unit) const { return static_cast<double>(end(unit) - begin(unit)); }
    /// Relative cost: tokens.
    [[nodiscard]] double cost(std::size_t unit) const;

private:
    std::vector<std::size_t> tokens_;
    std::vector<std::size_t> first_;
};

}  // namespace tdrm::train
