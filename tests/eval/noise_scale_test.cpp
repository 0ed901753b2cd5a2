#include "tdrm/eval/noise_scale.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tdrm/base/random.hpp"

namespace tdrm::eval {

TEST(NoiseScale, IsThatWorkedByHand) {
    // Two samples with gradients 3 and 1: blocks 9 and 1, the mean 2 gives 4.
    const NoiseScale estimate = noise_scale(std::vector<double>{9, 1}, 4, 1, 2);
    EXPECT_DOUBLE_EQ(estimate.gradient_squared, (2 * 4 - 1 * 5) / 1.0);
    EXPECT_DOUBLE_EQ(estimate.trace, (5 - 4) / 0.5);  // the variance with ddof 1
    EXPECT_DOUBLE_EQ(estimate.simple(), 2.0 / 3);
}

TEST(NoiseScale, IsUnbiased) {
    // Gradients in 3 dimensions: mean (1, 2, 0), standard deviation 2 in each: |G|^2 = 5, tr = 12.
    const int blocks = 4, block_samples = 8, batches = 4000;
    Random random(random_key(1, "gradients"));
    double squared = 0, trace = 0;
    for (int batch = 0; batch < batches; ++batch) {
        std::vector<double> norms;
        double whole[3] = {};
        for (int b = 0; b < blocks; ++b) {
            double norm = 0;
            for (int d = 0; d < 3; ++d) {
                double mean = d == 0 ? 1 : d == 1 ? 2 : 0;
                for (int i = 0; i < block_samples; ++i) mean += 2 * random.next_normal() / block_samples;
                norm += mean * mean;
                whole[d] += mean / blocks;
            }
            norms.push_back(norm);
        }
        const double norm = whole[0] * whole[0] + whole[1] * whole[1] + whole[2] * whole[2];
        const NoiseScale estimate = noise_scale(norms, norm, block_samples, blocks * block_samples);
        squared += estimate.gradient_squared / batches;
        trace += estimate.trace / batches;
    }
    EXPECT_NEAR(squared, 5, 0.15);
    EXPECT_NEAR(trace, 12, 0.3);
    EXPECT_NEAR((NoiseScale{squared, trace}.simple()), 2.4, 0.12);
}

TEST(NoiseScale, IsNanWhereItIsUndefined) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    EXPECT_TRUE(std::isnan(noise_scale(std::vector<double>{2}, 1, 4, 4).trace));
    EXPECT_TRUE(std::isnan(noise_scale({}, 1, 1, 4).gradient_squared));
    EXPECT_TRUE(std::isnan(noise_scale(std::vector<double>{1, nan}, 1, 1, 2).simple()));
    EXPECT_TRUE(std::isnan(noise_scale(std::vector<double>{10, 10}, 1, 1, 2).simple()));  // |G|^2 below 0
}

}  // namespace tdrm::eval
