#include "tdrm/comm/exact_sum.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tdrm/base/random.hpp"

namespace tdrm::comm {
namespace {

constexpr std::size_t kSize = 10007;  // spans blocks, isn't a multiple of a vector
constexpr int kUnits = 24;

// Gradients of very different magnitudes, from 2^-40 to 2^8.
std::vector<float> gradient(int unit, std::size_t size = kSize) {
    const Random random(random_key(3, "gradient", static_cast<std::uint64_t>(unit)));
    std::vector<float> values(size);
    for (std::size_t i = 0; i < size; ++i) {
        const auto exponent = static_cast<int>(random.words(i)[3] % 49U) - 40;
        values[i] = static_cast<float>(std::ldexp(2.0 * random.uniform(i) - 1.0, exponent));
    }
    return values;
}

std::string message_of(const auto& work) {
    try {
        work();
    } catch (const DataError& error) {
        return error.what();
    }
    return "";
}

// The slow readable twin: one correctly rounded integer per value.
std::vector<std::int64_t> expected_quanta(std::size_t size) {
    std::vector<std::int64_t> total(size);
    for (int unit = 0; unit < kUnits; ++unit) {
        const auto values = gradient(unit, size);
        for (std::size_t i = 0; i < size; ++i) total[i] += std::llrint(std::ldexp(static_cast<double>(values[i]), 48));
    }
    return total;
}

TEST(ExactSum, DoesNotDependOnWhoAddsWhichUnit) {
    Communicator ranks;
    const auto expected = expected_quanta(kSize);
    for (int trial = 0; trial < 5; ++trial) {
        const Random assignment(random_key(5, "assignment", static_cast<std::uint64_t>(trial)));
        ExactSum sum(kSize);
        for (int k = 0; k < kUnits; ++k) {
            const int unit = trial % 2 == 0 ? k : kUnits - 1 - k;
            const auto owner =
                assignment.words(static_cast<std::uint64_t>(unit))[0] % static_cast<unsigned>(ranks.size());
            if (owner == static_cast<unsigned>(ranks.rank())) sum.add(gradient(unit), "unit");
        }
        sum.reduce(ranks);
        ASSERT_TRUE(std::equal(expected.begin(), expected.end(), sum.quanta().begin()));
    }
}

TEST(ExactSum, RoundsToTheNearestQuantumTiesToEven) {
    constexpr float kHalf = 0x1p-49F;
    const std::vector<float> values{kHalf, 3 * kHalf, -kHalf,         -3 * kHalf,      0x1.8p-50F, 5 * kHalf,
                                    -0.0F, 0x1p-149F, 0x1.fffffep14F, -0x1.fffffep14F, 1.0F};
    ExactSum sum(values.size());
    sum.add(values, "unit");
    constexpr std::int64_t kMost = 0xffffffLL << 39;
    const std::vector<std::int64_t> expected{0, 2, 0, -2, 0, 2, 0, 0, kMost, -kMost, 1LL << 48};
    EXPECT_EQ(std::vector<std::int64_t>(sum.quanta().begin(), sum.quanta().end()), expected);
    std::vector<float> floats(values.size());
    sum.to_float(floats, 0.5);
    EXPECT_EQ(floats[10], 0.5F);
    EXPECT_EQ(floats[9], -0x1.fffffep13F);
}

TEST(ExactSum, NamesTheUnitOfABadValueAndAddsNothingOfIt) {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity(), 32768.0F, -1e30F}) {
        for (const std::size_t at : {std::size_t{0}, std::size_t{9000}}) {
            ExactSum sum(kSize);
            sum.add(gradient(0), "unit 0");
            const std::vector<std::int64_t> before(sum.quanta().begin(), sum.quanta().end());
            auto values = gradient(1);
            values[at] = bad;
            const std::string message = message_of([&] { sum.add(values, "update 12, unit 7 (problem 40)"); });
            EXPECT_NE(message.find("update 12, unit 7 (problem 40)"), std::string::npos) << message;
            EXPECT_NE(message.find(cat("position ", at)), std::string::npos) << message;
            EXPECT_EQ(std::vector<std::int64_t>(sum.quanta().begin(), sum.quanta().end()), before);
        }
    }
}

TEST(ExactSum, RefusesATotalThatMightOverflowOnEveryRank) {
    Communicator ranks;
    ExactSum sum(2);
    const float most = 20000.0F;
    if (ranks.rank() == 0) sum.add(std::vector<float>{-1.0F, 1.0F}, "small unit");
    if (ranks.rank() == ranks.size() - 1) sum.add(std::vector<float>{0.0F, most}, "large unit");
    if (ranks.rank() == 0) sum.add(std::vector<float>{1.0F, most / 2}, "middle unit");
    sum.reduce(ranks);  // 30001 at most
    EXPECT_EQ(sum.quanta()[1], 30001LL << 48);
    if (ranks.rank() == 0) sum.add(std::vector<float>{3000.0F, 0.0F}, "last unit");
    const std::string message = message_of([&] { sum.reduce(ranks); });
    EXPECT_NE(message.find("20000, is of large unit"), std::string::npos) << message;
    sum.clear();
    sum.reduce(ranks);
    EXPECT_EQ(sum.quanta()[1], 0);
}

// fp32 would return 0: 2^-48 vanishes beside 16000.
TEST(ExactSum, CancelsLargeValuesExactly) {
    Communicator ranks;
    ExactSum sum(1);
    for (const float value : {16000.0F, 0x1p-48F, -16000.0F}) {
        if (ranks.root()) sum.add(std::span(&value, 1), "unit");
    }
    sum.reduce(ranks);
    EXPECT_EQ(sum.quanta()[0], 1);
}

}  // namespace
}  // namespace tdrm::comm
