#include "tdrm/train/optimizer.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "tdrm/base/bfloat16.hpp"
#include "tdrm/engine/adamw.hpp"
#include "tdrm/model/layout.hpp"

namespace tdrm::train {
namespace {

const model::Layout& layout() {
    static const model::Layout layout([] {
        model::ModelSpec spec;
        spec.vocab = 8;
        spec.layers = 1;
        spec.width = 16;
        spec.heads = 2;
        return spec.resolved();
    }());
    return layout;
}

std::vector<float> start() {
    std::vector<float> values(static_cast<std::size_t>(layout().size));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
    return values;
}

/// With a constant gradient AdamW moves every parameter by the learning rate.
void train(engine::AdamW& optimizer, std::vector<float>& values, int updates, double lr) {
    const std::vector<float> gradient(values.size(), 1.0F);
    for (int u = 0; u < updates; ++u) optimizer.step(values, gradient, {.lr = lr, .update = u}, {0, layout().size});
}

TEST(AdamW, Bf16WeightsAreTheRoundedWeightsOfAnFp32Training) {
    std::vector<float> exact = start(), rounded = start();
    engine::AdamW in_fp32(layout(), engine::WeightFormat::fp32, exact),
        in_bf16(layout(), engine::WeightFormat::bf16, rounded);
    EXPECT_TRUE(in_fp32.master().empty());
    for (int round = 0; round < 3; ++round) {
        for (std::size_t i = 0; i < exact.size(); ++i) {
            ASSERT_EQ(in_bf16.master()[i], exact[i]);
            ASSERT_EQ(rounded[i], to_float(to_bfloat16(exact[i])));
        }
        train(in_fp32, exact, 5, 1e-3);
        train(in_bf16, rounded, 5, 1e-3);
    }
}

TEST(AdamW, UpdatesBelowAStepOfBf16AddUpInTheMasterWeights) {
    // Around 1, bf16 has steps of 2^-7 above and 2^-8 below; one update is a fortieth of the smaller.
    std::vector<float> values(static_cast<std::size_t>(layout().size), 1.0F);
    engine::AdamW optimizer(layout(), engine::WeightFormat::bf16, values);
    train(optimizer, values, 1, 1e-4);
    EXPECT_EQ(values[0], 1.0F);
    train(optimizer, values, 99, 1e-4);
    EXPECT_NEAR(optimizer.master()[0], 0.99, 1e-4);
    EXPECT_EQ(values[0], to_float(to_bfloat16(0.99F)));
}

TEST(AdamW, RoundedMomentsAreRightOnAverage) {
    // Moments grow from 0 towards the gradient, 1, and its square. Close to it they move by less than a place of bf16,
    // which rounding to nearest would lose.
    std::vector<float> exact = start(), other = exact;
    engine::AdamW whole(layout(), engine::WeightFormat::fp32, exact),
        halves(layout(), engine::WeightFormat::fp32, other, engine::Ownership(layout().size),
               engine::WeightFormat::bf16);
    const std::vector<float> gradient(exact.size(), 1.0F);
    for (int u = 0; u < 600; ++u) {
        const engine::AdamWStep step{.lr = 1e-3, .beta1 = 0.99, .beta2 = 0.999, .update = u};
        whole.step(exact, gradient, step, {0, layout().size});
        halves.step(other, gradient, step, {0, layout().size});
    }
    for (const auto array : {engine::Array::first_moment, engine::Array::second_moment}) {
        std::vector<float> expected(exact.size()), rounded(exact.size());
        whole.read(array, 0, expected);
        halves.read(array, 0, rounded);
        double mean = 0;
        for (const float x : rounded) {
            mean += static_cast<double>(x) / static_cast<double>(rounded.size());
            ASSERT_EQ(x, to_float(to_bfloat16(x)));
        }
        EXPECT_NEAR(mean, static_cast<double>(expected[0]), 3e-3 * static_cast<double>(expected[0]));
    }
    for (std::size_t i = 0; i < exact.size(); ++i) ASSERT_NEAR(other[i], exact[i], 0.06F);
}

TEST(BFloat16, RoundsToNearestWithTiesToEven) {
    const auto rounded = [](float x) { return to_float(to_bfloat16(x)); };
    EXPECT_EQ(rounded(1.0F + 1.0F / 256), 1.0F);               // a tie, down to the even mantissa
    EXPECT_EQ(rounded(1.0F + 3.0F / 256), 1.0F + 4.0F / 256);  // a tie, up to the even mantissa
    EXPECT_EQ(rounded(1.0F + 1.01F / 256), 1.0F + 2.0F / 256);
    EXPECT_EQ(rounded(-1.0F - 1.01F / 256), -1.0F - 2.0F / 256);
    EXPECT_EQ(rounded(3.4e38F), INFINITY);
    EXPECT_EQ(rounded(-INFINITY), -INFINITY);
    EXPECT_TRUE(std::isnan(rounded(std::nanf("1"))));
    EXPECT_EQ(rounded(0x1p-133F), 0x1p-133F);  // the smallest subnormal
}

}  // namespace
}  // namespace tdrm::train
