// Sums of gradients that have the same bits on any number of ranks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tdrm/base/errors.hpp"
#include "tdrm/comm/communicator.hpp"

namespace tdrm::comm {

/// What tells whether an exact total may overflow: the sum over all units of each unit's largest |value|.
class ExactBound {
public:
    /// Local. Back to zero.
    void clear() { *this = {}; }
    /// Local. One unit, whose largest |value| is below ExactSum::kLimit.
    void add(float largest, std::string_view unit);
    /// Collective. @throws DataError on every rank, naming the unit with the largest value, if the total might overflow
    void check(Communicator& ranks) const;

private:
    std::int64_t bound_ = 0;  // sum over units of max |value|, in units of 2^-20, rounded up
    float largest_ = 0.0F;
    std::string largest_unit_;
};

/// Adds fp32 vectors as int64 multiples of 2^-48: integer addition has no order, so it doesn't matter which rank added
/// which unit. Each value is rounded once, to the nearest multiple, ties to even: absolute error at most 2^-49 a unit.
///
/// Overflow can't go unseen: every |value| is below 2^15, and the sum over all units of each unit's largest |value|
/// must stay below 2^15 = 32768, which bounds every total.
class ExactSum {
public:
    static constexpr double kQuantum = 0x1p-48;
    static constexpr double kLimit = 0x1p15;

    explicit ExactSum(std::size_t size);

    [[nodiscard]] std::size_t size() const noexcept { return total_.size(); }
    /// Local. Back to zero.
    void clear();
    /// Local. Adds the whole vector of one unit. @throws DataError that names the unit if a value is NaN, infinite or
    /// not below 2^15; nothing has been added then.
    /// @param unit  who made the values: "update 12, unit 7 (problems 40 to 43)"
    void add(std::span<const float> values, std::string_view unit);
    /// Collective. The sum over all ranks, on every rank. @throws DataError on every rank, naming the unit with the
    /// largest value, if the total might overflow.
    void reduce(Communicator& ranks);
    /// Collective. As `reduce`, which begins with this. For those who add the total themselves.
    void check(Communicator& ranks) const { bound_.check(ranks); }
    [[nodiscard]] std::span<std::int64_t> total() noexcept { return total_; }
    /// Local. Adds values to a total of quanta. They must be below kLimit.
    static void add(std::span<std::int64_t> total, std::span<const float> values);
    /// Local. total x kQuantum, rounded once from double.
    static void to_float(std::span<const std::int64_t> total, std::span<float> result, double scale = 1.0);
    /// Local. The largest |value|. @throws DataError as `add`
    [[nodiscard]] static float largest(std::span<const float> values, std::string_view unit);
    /// The complaint about a value that can't be summed. @param where "position 3 of 8"
    [[nodiscard]] static DataError refusal(std::string_view unit, float value, std::string_view where);
    /// Local. total x scale, rounded once from double.
    void to_float(std::span<float> result, double scale = 1.0) const;
    /// Local. The total in quanta.
    [[nodiscard]] std::span<const std::int64_t> quanta() const noexcept { return total_; }

private:
    std::vector<std::int64_t> total_;
    ExactBound bound_;
};

}  // namespace tdrm::comm
