// Log-probabilities and values against plain sums in double.
#include "../../src/gpu/kernels.hpp"
#include "kernel_fixture.hpp"

namespace tdrm::gpu {
namespace {

/// Vocabularies below and above what a block takes at once, rows padded.
class Head : public testing::TestWithParam<int> {
protected:
    static constexpr int kRows = 5;
    static constexpr float kTemperature = 0.7F;
    const int vocab_ = GetParam(), pitch_ = (vocab_ + 7) / 8 * 8;
    Numbers numbers_{static_cast<std::uint64_t>(vocab_)};
    std::vector<float> logits_ = numbers_.floats(static_cast<std::size_t>(kRows * pitch_), 3);
    std::vector<std::int32_t> targets_;

    Head() {
        for (int r = 0; r < kRows; ++r) targets_.push_back(r == 0 ? vocab_ - 1 : numbers_.below(vocab_));
    }
    [[nodiscard]] double z(int row, int i) const {
        return number(logits_[static_cast<std::size_t>(row * pitch_ + i)]) / number(kTemperature);
    }
    [[nodiscard]] double log_total(int row) const {
        double top = -1e300, mass = 0;
        for (int i = 0; i < vocab_; ++i) top = std::max(top, z(row, i));
        for (int i = 0; i < vocab_; ++i) mass += std::exp(z(row, i) - top);
        return top + std::log(mass);
    }
};
INSTANTIATE_TEST_SUITE_P(Vocabularies, Head, testing::Values(1, 23, 900, 5001));

TEST_P(Head, LogProbabilitiesAndEntropies) {
    std::vector<float> entropy(kRows);
    const auto logp = under_all_schedules([&] {
        auto result = poisoned<float>(kRows);
        start(LogSoftmax{result.data(), entropy.data(), logits_.data(), targets_.data(), kRows, vocab_, pitch_,
                         kTemperature},
              nullptr);
        return result;
    });
    for (int r = 0; r < kRows; ++r) {
        const auto row = static_cast<std::size_t>(r);
        double expected = 0;
        for (int i = 0; i < vocab_; ++i) expected -= std::exp(z(r, i) - log_total(r)) * (z(r, i) - log_total(r));
        EXPECT_NEAR(number(logp[row]), z(r, targets_[row]) - log_total(r), 1e-5);
        EXPECT_NEAR(number(entropy[row]), expected, 1e-5);
    }
}

TEST_P(Head, GradientsLieWhereLogitsLay) {
    std::vector<float> logp, coefficient;
    for (int r = 0; r < kRows; ++r) {
        logp.push_back(static_cast<float>(z(r, targets_[static_cast<std::size_t>(r)]) - log_total(r)));
        coefficient.push_back(numbers_.normal());
    }
    const auto memory = under_all_schedules([&] {
        auto rows = logits_;
        start(LogSoftmaxBackward{rows.data(), logp.data(), coefficient.data(), targets_.data(), kRows, vocab_, pitch_,
                                 kTemperature},
              nullptr);
        return rows;
    });
    for (int r = 0; r < kRows; ++r)
        for (int i = 0; i < vocab_; ++i) {
            bf16 have;
            std::memcpy(&have, reinterpret_cast<const char*>(&memory[static_cast<std::size_t>(r * pitch_)]) + 2 * i,
                        sizeof have);
            const double p = std::exp(z(r, i) - log_total(r));
            const double onehot = i == targets_[static_cast<std::size_t>(r)] ? 1 : 0;
            const double want = number(coefficient[static_cast<std::size_t>(r)]) / number(kTemperature) * (onehot - p);
            ASSERT_NEAR(number(have), want, kBf16Step * std::abs(want) + 1e-6) << r << " " << i;
        }
}

TEST(Values, AreReadAndDifferentiated) {
    constexpr int rows = 11, width = 72;
    Numbers numbers(3);
    const auto x = numbers.bf16s(rows * width), plus = numbers.bf16s(width), minus = numbers.bf16s(width),
               bias = numbers.bf16s(2);
    for (const bool both : {false, true}) {
        const auto values = under_all_schedules([&] {
            auto result = poisoned<float>(rows);
            start(ReadValues{result.data(), x.data(), plus.data(), both ? minus.data() : nullptr,
                             both ? &bias[0] : nullptr, both ? &bias[1] : nullptr, rows, width},
                  nullptr);
            return result;
        });
        for (std::size_t r = 0; r < rows; ++r) {
            double sum = both ? number(bias[0]) - number(bias[1]) : 0;
            for (std::size_t i = 0; i < width; ++i)
                sum += number(x[r * width + i]) * (number(plus[i]) - (both ? number(minus[i]) : 0));
            EXPECT_NEAR(number(values[r]), sum, 1e-4);
        }
    }
    const auto d_values = numbers.floats(rows);
    std::vector<bf16> dx(rows * width);
    const auto dw = under_all_schedules([&] {
        std::vector<float> gradient(width, 1);
        start(ReadValuesBackward{dx.data(), gradient.data(), x.data(), plus.data(), d_values.data(), rows, width},
              nullptr);
        return gradient;
    });
    for (std::size_t i = 0; i < width; ++i) {
        double sum = 1;
        for (std::size_t r = 0; r < rows; ++r) {
            sum += number(d_values[r]) * number(x[r * width + i]);
            EXPECT_EQ(dx[r * width + i].bits, to_bf16(d_values[r] * to_float(plus[i])).bits);
        }
        EXPECT_NEAR(number(dw[i]), sum, 1e-5);
    }
}

}  // namespace
}  // namespace tdrm::gpu
