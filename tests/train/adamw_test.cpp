// AdamW against libtorch's own, in double.
#include "tdrm/engine/adamw.hpp"

#include <gtest/gtest.h>
#include <torch/optim/adamw.h>

#include <cmath>

#include "tdrm/base/bfloat16.hpp"
#include "tdrm/base/random.hpp"
#include "tdrm/model/layout.hpp"
#include "tdrm/train/optimizer.hpp"

namespace tdrm::train {
namespace {

constexpr int kUpdates = 10;
constexpr std::int64_t kHorizon = 12;
/// Every option away from its default and large enough to be seen: eps beside the root, decay beside the step.
const OptimizerOptions kOptions{.lr = 0.02,
                                .schedule = Schedule::cosine,
                                .warmup = 0.3,
                                .beta1 = 0.8,
                                .beta2 = 0.97,
                                .eps = 1e-2,
                                .weight_decay = 0.5,
                                .clip = 3};

/// Matrices, norms and biases.
const model::Layout& layout() {
    static const model::Layout layout([] {
        model::ModelSpec spec;
        spec.vocab = 7;
        spec.layers = 2;
        spec.width = 8;
        spec.heads = 2;
        spec.qkv_bias = true;
        return spec.resolved();
    }());
    return layout;
}

std::vector<float> normals(const char* what, std::uint64_t index, double scale) {
    Random random(random_key(4, what, index));
    std::vector<float> values(static_cast<std::size_t>(layout().size));
    for (float& value : values) value = static_cast<float>(scale * random.next_normal());
    return values;
}
std::vector<float> start() { return normals("start", 0, 1); }
/// Norms on both sides of the clip: small and large updates take turns.
std::vector<float> gradient(int update) {
    return normals("gradient", static_cast<std::uint64_t>(update), update % 2 == 0 ? 0.02 : 0.5);
}

torch::Tensor part(const std::vector<float>& values, const model::TensorInfo& info) {
    return torch::from_blob(const_cast<float*>(values.data()) + info.offset, {info.size()}, torch::kFloat)
        .to(torch::kDouble);
}

/// The weights after so many updates by libtorch: a group of matrices that decay and one of vectors that don't.
std::vector<double> by_torch(int updates) {
    std::vector<torch::Tensor> matrices, vectors;
    for (const auto& info : layout().tensors)
        (info.is_vector() ? vectors : matrices).push_back(part(start(), info).set_requires_grad(true));
    const auto group = [](const std::vector<torch::Tensor>& tensors, double decay) {
        return torch::optim::OptimizerParamGroup(
            tensors, std::make_unique<torch::optim::AdamWOptions>(torch::optim::AdamWOptions(kOptions.lr)
                                                                      .betas({kOptions.beta1, kOptions.beta2})
                                                                      .eps(kOptions.eps)
                                                                      .weight_decay(decay)));
    };
    torch::optim::AdamW adamw({group(matrices, kOptions.weight_decay), group(vectors, 0)},
                              torch::optim::AdamWOptions(kOptions.lr));
    for (int u = 0; u < updates; ++u) {
        const auto values = gradient(u);
        auto all = part(values, {"", {layout().size}, 0});
        const double norm = all.norm().item<double>();
        if (norm > kOptions.clip) all *= kOptions.clip / norm;  // what clip_grad_norm_ does, without its 1e-6
        std::size_t matrix = 0, vector = 0;
        for (const auto& info : layout().tensors)
            (info.is_vector() ? vectors[vector++] : matrices[matrix++]).mutable_grad() =
                all.narrow(0, info.offset, info.size());
        for (auto& each : adamw.param_groups()) each.options().set_lr(learning_rate(kOptions, u, kHorizon));
        adamw.step();
    }
    std::vector<double> result;
    std::size_t matrix = 0, vector = 0;
    for (const auto& info : layout().tensors) {
        const auto& tensor = info.is_vector() ? vectors[vector++] : matrices[matrix++];
        const double* values = tensor.data_ptr<double>();
        result.insert(result.end(), values, values + info.size());
    }
    return result;
}

/// One update as the trainer makes it.
void step(engine::AdamW& optimizer, std::vector<float>& values, int update) {
    const auto g = gradient(update);
    const double norm = std::sqrt(engine::squared_norm(g));
    optimizer.step(values, g, adamw_step(kOptions, update, kHorizon, norm), {0, layout().size});
}

TEST(AdamW, FollowsTorchOverTenUpdates) {
    int clipped = 0;
    for (int u = 0; u < kUpdates; ++u) clipped += std::sqrt(engine::squared_norm(gradient(u))) > kOptions.clip ? 1 : 0;
    ASSERT_EQ(clipped, kUpdates / 2) << "the gradients are on both sides of the bound";
    auto values = start(), rounded = start();
    engine::AdamW in_fp32(layout(), engine::WeightFormat::fp32, values),
        in_bf16(layout(), engine::WeightFormat::bf16, rounded);
    for (int u = 0; u < kUpdates; ++u) {
        step(in_fp32, values, u);
        step(in_bf16, rounded, u);
        const auto expected = by_torch(u + 1);
        ASSERT_EQ(expected.size(), values.size());
        for (std::size_t i = 0; i < values.size(); ++i) {
            ASSERT_NEAR(values[i], expected[i], 2e-6 * (1 + std::abs(expected[i]))) << u << " " << i;
            ASSERT_NEAR(in_bf16.master()[i], expected[i], 2e-6 * (1 + std::abs(expected[i]))) << u << " " << i;
            ASSERT_EQ(rounded[i], to_float(to_bfloat16(in_bf16.master()[i])));
        }
    }
}

TEST(SquaredNorm, IsTheSumOfSquaresForEveryLength) {
    for (std::size_t n = 0; n < 40; ++n) {
        std::vector<float> values(n);
        double expected = 0;
        for (std::size_t i = 0; i < n; ++i) {
            values[i] = static_cast<float>(i) + 0.5F;
            expected += static_cast<double>(values[i]) * static_cast<double>(values[i]);
        }
        EXPECT_EQ(engine::squared_norm(values), expected) << n;  // small multiples of 1/4: exact in any order
    }
}

}  // namespace
}  // namespace tdrm::train
