// What an engine on a device is said to take, against what it asks of the device.
#include "../../src/engine/device_memory.hpp"

#include <gtest/gtest.h>

#include <map>

#include "../../src/engine/device_engine.hpp"
#include "../rollout/toy.hpp"

namespace tdrm::engine {
namespace {

/// Counts what is allocated. It computes nothing: only sizes matter.
class CountingDevice final : public gpu::Device {
public:
    explicit CountingDevice(double& bytes) : bytes_(bytes) {}
    [[nodiscard]] std::string name() const override { return "counting"; }
    [[nodiscard]] void* allocate(std::size_t bytes) override {
        void* address = reinterpret_cast<void*>(next_ += std::size_t{1} << 40U);  // never touched
        sizes_[address] = static_cast<double>(bytes);
        bytes_ += static_cast<double>(bytes);
        return address;
    }
    void release(void* memory) noexcept override {
        const auto found = sizes_.find(memory);
        if (found == sizes_.end()) return;
        bytes_ -= found->second;
        sizes_.erase(found);
    }
    void upload(void*, const void*, std::size_t) override {}
    void download(void*, const void*, std::size_t) override {}
    void copy(void*, const void*, std::size_t) override {}
    void zero(void*, std::size_t) override {}
    void run(const gpu::Operation&) override {}
    void multiply(const gpu::Gemm&) override {}
    void wait() override {}

private:
    double& bytes_;
    std::size_t next_ = 0;
    std::map<void*, double> sizes_;
};

/// Qwen2.5-0.5B.
model::ModelSpec half_billion() {
    model::ModelSpec spec;
    spec.vocab = 151936;
    spec.layers = 24;
    spec.width = 896;
    spec.heads = 14;
    spec.kv_heads = 2;
    spec.ffn = 4864;
    spec.family = model::Family::qwen2;
    spec.qkv_bias = spec.tied = true;
    return spec.resolved();
}

TEST(DeviceMemory, OfATrainingUnitIsAsSaid) {
    const auto spec = half_billion();
    double bytes = 0;
    DeviceEngine engine(spec, std::make_unique<CountingDevice>(bytes));
    const double weights = on_device::weight_bytes(spec).weights;
    EXPECT_NEAR(bytes, weights, 0.01 * weights);
    const TrainingSetup setup;
    engine.begin_training(setup);
    const auto training = on_device::training_bytes(spec, setup);
    double said = weights + training.gradient + training.master + training.moments + training.sum;
    EXPECT_NEAR(bytes, said, 0.01 * said);
    // Sixteen sequences of 1,024 tokens.
    constexpr int sequences = 16, length = 1024;
    model::Forest forest;
    const std::vector<std::int32_t> tokens(length, 7);
    for (int s = 0; s < sequences; ++s) forest.add(tokens);
    std::vector<std::int32_t> rows(static_cast<std::size_t>(forest.num_tokens()));
    for (std::size_t r = 0; r < rows.size(); ++r) rows[r] = static_cast<std::int32_t>(r);
    const double before = bytes;
    engine.begin_unit();
    engine.token_loss(engine.forward(forest, rows, Keep::activations), rows, 1, [](int, float, float) { return 0.F; });
    engine.backward(forest);
    said = on_device::pass_bytes(spec, sequences * length, sequences * length, Keep::activations) +
           on_device::loss_bytes(spec, sequences * length);
    EXPECT_NEAR(bytes - before, said, 0.05 * said);
}

TEST(DeviceMemory, OfActivationsThatAreComputedAgainIsAsSaid) {
    const auto spec = half_billion();
    model::Forest forest;
    constexpr int tokens = 4096;
    forest.add(std::vector<std::int32_t>(tokens, 7));
    std::vector<std::int32_t> rows(tokens);
    for (std::size_t r = 0; r < rows.size(); ++r) rows[r] = static_cast<std::int32_t>(r);
    double before = 0;
    for (const Recompute recompute : {Recompute::none, Recompute::ffn, Recompute::block}) {
        double bytes = 0;
        DeviceEngine engine(spec, std::make_unique<CountingDevice>(bytes));
        TrainingSetup setup;
        setup.recompute = recompute;
        engine.begin_training(setup);
        const double kept = bytes;
        engine.begin_unit();
        engine.token_loss(engine.forward(forest, rows, Keep::activations), rows, 1,
                          [](int, float, float) { return 0.F; });
        engine.backward(forest);
        const double said = on_device::pass_bytes(spec, tokens, tokens, Keep::activations, recompute) +
                            on_device::loss_bytes(spec, tokens);
        EXPECT_NEAR(bytes - kept, said, 0.05 * said);
        if (before > 0) {
            EXPECT_LT(said, before);
        }
        before = said;
    }
}

TEST(DeviceMemory, OfDealtStateIsAsSaid) {
    const auto spec = half_billion();
    double bytes = 0;
    DeviceEngine engine(spec, std::make_unique<CountingDevice>(bytes));
    TrainingSetup setup;
    setup.shard.ranks = 4;
    engine.begin_training(setup);
    const auto training = on_device::training_bytes(spec, setup);
    const double said =
        on_device::weight_bytes(spec).weights + training.gradient + training.master + training.moments + training.sum;
    EXPECT_NEAR(bytes, said, 0.01 * said);
    EXPECT_LT(training.moments, 0.28 * on_device::training_bytes(spec, {}).moments);
}

TEST(DeviceMemory, OfScoringAndDecodingIsAsSaid) {
    const auto spec = half_billion();
    double bytes = 0;
    DeviceEngine engine(spec, std::make_unique<CountingDevice>(bytes));
    model::Forest forest;
    forest.add(std::vector<std::int32_t>(4096, 7));
    double before = bytes;
    (void)engine.forward(forest, std::vector<std::int32_t>{1, 2, 3}, Keep::nothing);
    double said = on_device::pass_bytes(spec, 4096, 3, Keep::nothing);
    EXPECT_NEAR(bytes - before, said, 0.05 * said);
    before = bytes;
    const auto decoder = engine.decoder(64 * 1024, {});
    said = on_device::decoder_bytes(spec, 64 * 1024, 0);
    EXPECT_NEAR(bytes - before, said, 0.05 * said);
}

}  // namespace
}  // namespace tdrm::engine
