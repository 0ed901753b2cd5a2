// Kernels on flat arrays against plain loops.
#include <set>

#include "../../src/gpu/kernels.hpp"
#include "kernel_fixture.hpp"

namespace tdrm::gpu {
namespace {

constexpr std::size_t kSize = 2 * kFigureBlock + 1234;

TEST(Sums, AddAndReadExactTotalsToTheLastBit) {
    Numbers numbers(1);
    auto values = numbers.floats(kSize, 1e-3F);
    values[0] = 32767.99F;
    values[1] = -32767.99F;
    values[2] = 0x1.8p-49F;  // one and a half half-quanta
    values[3] = 0x1p-49F;    // a tie: to even
    values[4] = 0x1.8p-48F;  // a tie: to even, which is up
    const auto total = under_all_schedules([&] {
        std::vector<std::int64_t> sums(kSize, 7);
        start(ExactAdd{sums.data(), values.data(), kSize}, nullptr);
        return sums;
    });
    for (std::size_t i = 0; i < kSize; ++i)
        ASSERT_EQ(total[i], 7 + std::llrint(static_cast<double>(values[i]) * 0x1p48)) << i;
    EXPECT_EQ(total[3], 7);
    EXPECT_EQ(total[4], 9);
    const auto back = under_all_schedules([&] {
        std::vector<float> rounded(kSize);
        start(ExactToFloat{rounded.data(), total.data(), kSize}, nullptr);
        return rounded;
    });
    for (std::size_t i = 0; i < kSize; ++i)
        ASSERT_EQ(back[i], static_cast<float>(static_cast<double>(total[i]) * 0x1p-48)) << i;
}

TEST(Sums, FiguresAreThoseOfTheValues) {
    Numbers numbers(2);
    auto values = numbers.floats(kSize);
    values[kFigureBlock + 17] = -1e6F;
    const std::size_t blocks = figure_blocks(kSize);
    std::vector<std::uint32_t> largest(blocks);
    const auto squares = under_all_schedules(
        [&] {
            auto sums = poisoned<double>(blocks);
            start(GradientFigures{sums.data(), largest.data(), values.data(), kSize}, nullptr);
            return sums;
        },
        largest);
    for (std::size_t b = 0; b < blocks; ++b) {
        double sum = 0, most = 0;
        for (std::size_t i = b * kFigureBlock; i < std::min(kSize, (b + 1) * kFigureBlock); ++i) {
            sum += number(values[i]) * number(values[i]);
            most = std::max(most, std::abs(number(values[i])));
        }
        EXPECT_NEAR(squares[b], sum, 1e-12 * sum);
        EXPECT_EQ(number(std::bit_cast<float>(largest[b])), most);
    }
    values[5] = NAN;
    start(GradientFigures{std::vector<double>(blocks).data(), largest.data(), values.data(), kSize}, nullptr);
    EXPECT_GT(largest[0], std::bit_cast<std::uint32_t>(INFINITY)) << "NaN comes last";
}

TEST(Sums, AdamWStepsAsTheFormulaSays) {
    Numbers numbers(3);
    const std::size_t n = 5000;
    const auto gradient = numbers.floats(n), start_master = numbers.floats(n), start_first = numbers.floats(n, 0.1F);
    auto start_second = numbers.floats(n, 0.1F);
    for (float& v : start_second) v = v * v;
    std::vector<bf16> weights(n);
    std::vector<float> first, second;
    const auto master = under_all_schedules(
        [&] {
            auto moved = start_master;
            first = start_first;
            second = start_second;
            start(AdamWUpdate{weights.data(), moved.data(), first.data(), second.data(), nullptr, nullptr,
                              gradient.data(), n, 0.9F, 0.95F, 0.01F, 1.5F, 1e-8F, 0.999F, 0.5F, 0, 0},
                  nullptr);
            return moved;
        },
        first, second, weights);
    for (std::size_t i = 0; i < n; ++i) {
        const double g = 0.5 * number(gradient[i]);
        const double m = 0.9 * number(start_first[i]) + 0.1 * g, v = 0.95 * number(start_second[i]) + 0.05 * g * g;
        ASSERT_NEAR(number(first[i]), m, 1e-6);
        ASSERT_NEAR(number(second[i]), v, 1e-6);
        ASSERT_NEAR(number(master[i]), 0.999 * number(start_master[i]) - 0.01 * m / (std::sqrt(v) * 1.5 + 1e-8), 1e-5);
        ASSERT_EQ(weights[i].bits, to_bf16(master[i]).bits);
    }
}

TEST(Sums, AdamWKeepsRoundedMomentsThatAreRightOnAverage) {
    const std::size_t n = 20000;
    const std::vector<float> gradient(n, 1.0F);
    std::vector<float> master(n, 1.0F);
    std::vector<bf16> weights(n), first(n, to_bf16(1.0F)), second(n, to_bf16(1.0F));
    // From 1 towards 0.81 by a thousandth of the way: a sixteenth of a place of bf16, which rounding to nearest would
    // lose.
    const auto update = [&](std::uint64_t u) {
        start(AdamWUpdate{weights.data(), master.data(), nullptr, nullptr, first.data(), second.data(), gradient.data(),
                          n, 0.999F, 0.999F, 0.01F, 1, 1e-8F, 1, 0.9F, 77, u},
              nullptr);
    };
    (void)under_all_schedules(
        [&] {
            std::fill(first.begin(), first.end(), to_bf16(1.0F));
            std::fill(second.begin(), second.end(), to_bf16(1.0F));
            std::fill(master.begin(), master.end(), 1.0F);
            update(49);
            return master;
        },
        first, second, weights);
    std::fill(first.begin(), first.end(), to_bf16(1.0F));
    std::fill(second.begin(), second.end(), to_bf16(1.0F));
    std::fill(master.begin(), master.end(), 1.0F);
    for (std::uint64_t u = 0; u < 50; ++u) update(u);
    const auto mean = [&](const std::vector<bf16>& values) {
        double sum = 0;
        for (const bf16 x : values) sum += number(to_float(x));
        return sum / static_cast<double>(n);
    };
    EXPECT_NEAR(mean(second), 0.81 + 0.19 * std::pow(0.999, 50), 2e-4);
    EXPECT_NEAR(mean(first), 0.9 + 0.1 * std::pow(0.999, 50), 2e-4);
    std::set<std::uint16_t> different;
    for (const bf16 x : first) different.insert(x.bits);
    EXPECT_GT(different.size(), 1U) << "each element has chances of its own";
}

TEST(Sums, RoundAndWidenAndAdd) {
    Numbers numbers(4);
    const auto values = numbers.floats(3000);
    std::vector<bf16> rounded(values.size());
    std::vector<float> widened(values.size()), total(values.size(), 1);
    rounded = under_all_schedules([&] {
        start(Round{rounded.data(), values.data(), values.size()}, nullptr);
        return rounded;
    });
    widened = under_all_schedules([&] {
        start(Widen{widened.data(), rounded.data(), values.size()}, nullptr);
        return widened;
    });
    total = under_all_schedules([&] {
        auto sum = total;
        start(FastAdd{sum.data(), values.data(), values.size()}, nullptr);
        return sum;
    });
    for (std::size_t i = 0; i < values.size(); ++i) {
        EXPECT_EQ(rounded[i].bits, to_bf16(values[i]).bits);
        EXPECT_EQ(widened[i], to_float(rounded[i]));
        EXPECT_EQ(total[i], 1 + values[i]);
    }
    start(Round{nullptr, nullptr, 0}, nullptr);
}

}  // namespace
}  // namespace tdrm::gpu
