#include "tdrm/comm/exact_sum.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

namespace tdrm::comm {
namespace {

constexpr std::size_t kBlock = 4096;  // values checked, then added, while they are in the first-level cache
constexpr double kBoundQuantum = 0x1p-20;

// Nearest integer, ties to even, of |x| < 2^51: adding 1.5 x 2^52 shifts all fraction bits out, leaving the integer in
// the low bits. (Needs no conversion instruction, which AVX2 lacks for 64 bits, so the loop vectorises everywhere.)
constexpr double kShift = 0x1.8p52;
inline std::int64_t low_bits(double shifted) {
    return std::bit_cast<std::int64_t>(shifted) - std::bit_cast<std::int64_t>(kShift);
}

// x / 2^-48 as an integer, |x| < 2^15, in two halves because the quotient has up to 63 bits.
inline std::int64_t to_quanta(float value) {
    const double quanta = static_cast<double>(value) * (1.0 / ExactSum::kQuantum);
    const double high_shifted = quanta * 0x1p-32 + kShift;
    const double rest = quanta - (high_shifted - kShift) * 0x1p32;  // exact; at most 2^31
    return low_bits(high_shifted) * (std::int64_t{1} << 32U) + low_bits(rest + kShift);
}

// Largest |value| as its bits: these sort like the numbers, and NaN and infinity come last.
std::uint32_t largest_magnitude(const float* values, std::size_t count) {
    std::uint32_t largest = 0;
    for (std::size_t i = 0; i < count; ++i)
        largest = std::max(largest, std::bit_cast<std::uint32_t>(values[i]) & 0x7fffffffU);
    return largest;
}

// Unsigned, so that wrapping is defined.
void accumulate(std::int64_t* __restrict total, const float* __restrict values, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
        total[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(total[i]) +
                                             static_cast<std::uint64_t>(to_quanta(values[i])));
    }
}

std::string position(std::ptrdiff_t at, std::size_t size) { return cat("position ", at, " of ", size); }

void take_back(std::int64_t* total, const float* values, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
        total[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(total[i]) -
                                             static_cast<std::uint64_t>(to_quanta(values[i])));
    }
}

}  // namespace

ExactSum::ExactSum(std::size_t size) : total_(size) {}

void ExactSum::clear() {
    std::fill(total_.begin(), total_.end(), 0);
    bound_.clear();
}

void ExactBound::add(float largest, std::string_view unit) {
    bound_ += static_cast<std::int64_t>(std::ceil(static_cast<double>(largest) / kBoundQuantum));
    if (!largest_unit_.empty() && largest <= largest_) return;
    largest_ = largest;
    largest_unit_ = unit;
}

void ExactBound::check(Communicator& ranks) const {
    const std::int64_t bound = ranks.sum(bound_);
    // One verdict from one number: every rank throws or none.
    if (static_cast<double>(bound) * kBoundQuantum < ExactSum::kLimit) return;
    const auto largest = ranks.all_gather_value(largest_);
    const auto units = ranks.all_gather_bytes(largest_unit_);
    const auto worst = static_cast<std::size_t>(std::max_element(largest.begin(), largest.end()) - largest.begin());
    ranks.agree("summing gradients", [&] {
        throw DataError(cat("the sum of the gradients may reach ", static_cast<double>(bound) * kBoundQuantum,
                            " (exact sums hold less than ", ExactSum::kLimit, "); the largest value, ", largest[worst],
                            ", is of ", units[worst], ". Lower the learning rate, or look at that unit's data."));
    });
}

DataError ExactSum::refusal(std::string_view unit, float value, std::string_view where) {
    return DataError(cat("gradient of ", unit, " is ", value, " at ", where, " (sums need finite values below ", kLimit,
                         "). Lower the learning rate, or look at that unit's data."));
}

void ExactSum::add(std::span<const float> values, std::string_view unit) {
    ensure(values.size() == total_.size(), "a unit's gradient has the size of the sum");
    constexpr auto limit = std::bit_cast<std::uint32_t>(static_cast<float>(kLimit));
    std::uint32_t largest_bits = 0;
    for (std::size_t begin = 0; begin < values.size(); begin += kBlock) {
        const std::size_t count = std::min(kBlock, values.size() - begin);
        const float* block = values.data() + begin;
        const std::uint32_t bits = largest_magnitude(block, count);
        if (bits >= limit) {
            const auto* bad =
                std::find_if(block, block + count, [](float v) { return !(std::abs(v) < static_cast<float>(kLimit)); });
            take_back(total_.data(), values.data(), begin);
            throw refusal(unit, *bad, position(bad - values.data(), values.size()));
        }
        largest_bits = std::max(largest_bits, bits);
        accumulate(total_.data() + begin, block, count);
    }
    bound_.add(std::bit_cast<float>(largest_bits), unit);
}

void ExactSum::reduce(Communicator& ranks) {
    check(ranks);
    ranks.exact_sum(total_);
}

void ExactSum::to_float(std::span<float> result, double scale) const { to_float(total_, result, scale); }

void ExactSum::to_float(std::span<const std::int64_t> total, std::span<float> result, double scale) {
    ensure(result.size() == total.size(), "the result has the size of the sum");
    const double factor = kQuantum * scale;
    const std::int64_t* quanta = total.data();
    float* values = result.data();
    for (std::size_t i = 0; i < total.size(); ++i)
        values[i] = static_cast<float>(static_cast<double>(quanta[i]) * factor);
}

void ExactSum::add(std::span<std::int64_t> total, std::span<const float> values) {
    ensure(values.size() == total.size(), "values have the size of the sum");
    accumulate(total.data(), values.data(), values.size());
}

float ExactSum::largest(std::span<const float> values, std::string_view unit) {
    const std::uint32_t bits = largest_magnitude(values.data(), values.size());
    if (bits < std::bit_cast<std::uint32_t>(static_cast<float>(kLimit))) return std::bit_cast<float>(bits);
    const auto* bad = std::find_if(values.data(), values.data() + values.size(),
                                   [](float v) { return !(std::abs(v) < static_cast<float>(kLimit)); });
    throw refusal(unit, *bad, position(bad - values.data(), values.size()));
}

}  // namespace tdrm::comm
