// What an engine on a device is said to take, against what it asks of the device.
#include "../../src/engine/device_memory.hpp"

#include <gtest/gtest.h>

#include <map>

#include "../../src/engine/device_engine.hpp"
#include "../rollout/toy.hpp"
#include "tdrm/engine/lora.hpp"

namespace tdrm::engine {
namespace {

/// Counts what is allocated. It computes nothing: only sizes matter.
class CountingDevice final : public gpu::Device {
public:
    explicit CountingDevice(double& bytes) : bytes_(bytes) {}
    [[nodiscard]] std::string name() const override { return "counting"; }
    [[nodiscard]] void* allocate(std::size_t bytes, const char*) override {
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

/// Gradients, and tokens of a sequence.
class UnitMemory : public testing::TestWithParam<std::tuple<UnitGradient, int>> {};
INSTANTIATE_TEST_SUITE_P(Gradients, UnitMemory,
                         testing::Combine(testing::Values(UnitGradient::whole, UnitGradient::by_layer),
                                          testing::Values(1024, 4096, 16384)));

TEST_P(UnitMemory, IsAsSaid) {
    const auto [gradient, length] = GetParam();
    const auto spec = half_billion();
    double bytes = 0;
    DeviceEngine engine(spec, std::make_unique<CountingDevice>(bytes));
    const double weights = on_device::weight_bytes(spec).weights;
    EXPECT_NEAR(bytes, weights, 0.01 * weights);
    TrainingSetup setup;
    setup.gradient = gradient;
    engine.begin_training(setup);
    const auto training = on_device::training_bytes(spec, setup);
    double said = weights + training.gradient + training.master + training.moments + training.sum;
    EXPECT_NEAR(bytes, said, 0.01 * said);
    const int sequences = 16384 / length;
    model::Forest forest;
    const std::vector<std::int32_t> tokens(static_cast<std::size_t>(length), 7);
    for (int s = 0; s < sequences; ++s) forest.add(tokens);
    std::vector<std::int32_t> rows(static_cast<std::size_t>(forest.num_tokens()));
    for (std::size_t r = 0; r < rows.size(); ++r) rows[r] = static_cast<std::int32_t>(r);
    const double before = bytes;
    engine.begin_unit();
    engine.token_loss(engine.forward(forest, rows, Keep::activations), rows, 1, [](int, float, float) { return 0.F; });
    engine.backward(forest);
    said = on_device::pass_bytes(spec, sequences * length, sequences * length, Keep::activations, Recompute::none,
                                 length) +
           on_device::loss_bytes(spec, sequences * length);
    EXPECT_NEAR(bytes - before, said, 0.05 * said);
}

/// Values of states: heads are normed, norms lie behind blocks, too, and every sixteenth token has a probe.
TEST(DeviceMemory, OfValuesOfManyStatesIsAsSaid) {
    for (const model::Family family : {model::Family::qwen3, model::Family::glm4, model::Family::gemma3}) {
        auto spec = half_billion();
        spec.family = family;
        spec.head = model::Head::value;
        spec.qkv_bias = spec.tied = false;
        if (family == model::Family::gemma3) spec.local_rope_theta = 1e4, spec.window = 512;
        spec = spec.resolved();
        model::Forest forest;
        std::vector<std::int32_t> probes;
        constexpr int length = 512;
        const int prompt = forest.add(std::vector<std::int32_t>(256, 7));
        for (int answer = 0; answer < 8; ++answer) {
            const int trunk = forest.add(std::vector<std::int32_t>(length, 7), prompt);
            for (int cut = 16; cut <= length; cut += 16)
                probes.push_back(forest.token_index(forest.add(std::vector<std::int32_t>(2, 7), trunk, cut), 1));
        }
        double bytes = 0;
        DeviceEngine engine(spec, std::make_unique<CountingDevice>(bytes));
        engine.begin_training({});
        const double before = bytes;
        engine.begin_unit();
        const Rows rows = engine.forward(forest, probes, Keep::activations);
        engine.value_loss(rows, std::vector<float>(probes.size()));
        engine.backward(forest);
        const double said = on_device::pass_bytes(spec, forest.num_tokens(), std::ssize(probes), Keep::activations) +
                            on_device::loss_bytes(spec, std::ssize(probes));
        EXPECT_NEAR(bytes - before, said, 0.05 * said) << spec.features().model_type;
    }
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

class AdapterMemory : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(Heads, AdapterMemory, testing::Bool());

TEST_P(AdapterMemory, IsAsSaid) {
    const bool head = GetParam();
    auto spec = half_billion();
    spec.tied = false;
    spec = spec.resolved();
    const LoraOptions options{.rank = 12, .alpha = 32, .targets = {"q_proj", "v_proj", "down_proj"}, .head = head};
    const auto sizes = lora_sizes(spec, options);
    double bytes = 0;
    const auto engine =
        with_adapters(std::make_unique<DeviceEngine>(spec, std::make_unique<CountingDevice>(bytes)), options, 1);
    engine->begin_training({});
    TrainingSetup setup;
    setup.gradient = UnitGradient::alone;
    setup.trainable = sizes.trainable;
    const double gradient = on_device::training_bytes(spec, setup).gradient;
    EXPECT_LT(gradient, (head ? 0.26 : 0.03) * on_device::training_bytes(spec, {}).gradient) << "that of one layer";
    const double said = gradient + on_device::adapter_bytes(sizes, options.rank);
    EXPECT_NEAR(bytes - on_device::weight_bytes(spec).weights, said, 0.01 * said);
}

/// A forest of one sequence, all of whose rows are read.
struct Sequence {
    explicit Sequence(int tokens) {
        forest.add(std::vector<std::int32_t>(static_cast<std::size_t>(tokens), 7));
        for (std::int32_t r = 0; r < tokens; ++r) rows.push_back(r);
    }
    model::Forest forest;
    std::vector<std::int32_t> rows;
};

TEST(DeviceMemory, OfAModelThatRestsIsGivenBack) {
    const auto spec = half_billion();
    const Sequence sequence(4096);
    double bytes = 0;
    DeviceEngine engine(spec, std::make_unique<CountingDevice>(bytes));
    const double weights = bytes;
    for (int again = 0; again < 2; ++again) {
        (void)engine.forward(sequence.forest, sequence.rows, Keep::nothing);
        const double said = weights + on_device::pass_bytes(spec, 4096, 4096, Keep::nothing);
        EXPECT_NEAR(bytes, said, 0.05 * said);
        engine.rest();
        EXPECT_EQ(bytes, 0);
    }
    // What learns stays.
    engine.begin_training({});
    const double state = bytes;
    EXPECT_GT(state, weights);
    engine.begin_unit();
    engine.token_loss(engine.forward(sequence.forest, sequence.rows, Keep::activations), sequence.rows, 1,
                      [](int, float, float) { return 0.F; });
    engine.backward(sequence.forest);
    EXPECT_GT(bytes, state);
    engine.rest();
    EXPECT_EQ(bytes, state);
}

TEST(DeviceMemory, OfPagedModelsIsThePeakOfTheirPhases) {
    const auto spec = half_billion();
    const auto policy_bytes = [&] {
        const auto training = on_device::training_bytes(spec, {});
        return on_device::weight_bytes(spec).weights + training.gradient + training.master + training.moments +
               training.sum;
    }();
    constexpr int tokens = 1024;
    const Sequence sequence(tokens);
    const double unit =
        on_device::pass_bytes(spec, tokens, tokens, Keep::activations) + on_device::loss_bytes(spec, tokens);
    const double frozen = on_device::weight_bytes(spec).weights +
                          on_device::pass_bytes(spec, tokens, tokens, Keep::nothing) +
                          on_device::loss_bytes(spec, tokens);
    double bytes = 0, peak = 0;
    DeviceEngine policy(spec, std::make_unique<CountingDevice>(bytes));
    policy.begin_training({});
    DeviceEngine value(spec, std::make_unique<CountingDevice>(bytes));
    value.rest();
    DeviceEngine reference(spec, std::make_unique<CountingDevice>(bytes));
    reference.rest();
    std::vector<float> logp(tokens), entropy(tokens);
    for (int update = 0; update < 2; ++update) {
        policy.rest();
        for (DeviceEngine* asked : {&value, &reference}) {
            asked->token_logprobs(asked->forward(sequence.forest, sequence.rows, Keep::nothing), sequence.rows, 1, logp,
                                  entropy);
            EXPECT_NEAR(bytes, policy_bytes + frozen, 0.05 * bytes);
            peak = std::max(peak, bytes);
            asked->rest();
        }
        policy.begin_unit();
        policy.token_loss(policy.forward(sequence.forest, sequence.rows, Keep::activations), sequence.rows, 1,
                          [](int, float, float) { return 0.F; });
        policy.backward(sequence.forest);
        EXPECT_NEAR(bytes, policy_bytes + unit, 0.05 * bytes);
        peak = std::max(peak, bytes);
    }
    const double said = policy_bytes + std::max(unit, frozen);
    EXPECT_NEAR(peak, said, 0.05 * said);
    EXPECT_LT(peak, 0.95 * (policy_bytes + unit + 2 * frozen));
}

class StateMemory : public testing::TestWithParam<Sum> {};
INSTANTIATE_TEST_SUITE_P(Sums, StateMemory, testing::Values(Sum::exact, Sum::fast, Sum::dealt));

TEST_P(StateMemory, OfPartsIsAsSaid) {
    const Sum sum = GetParam();
    const auto spec = half_billion();
    double bytes = 0;
    DeviceEngine engine(spec, std::make_unique<CountingDevice>(bytes));
    TrainingSetup setup;
    setup.shard.ranks = 4;
    setup.sum = sum;
    setup.gradient = UnitGradient::by_layer;
    engine.begin_training(setup);
    const auto training = on_device::training_bytes(spec, setup);
    const double said =
        on_device::weight_bytes(spec).weights + training.gradient + training.master + training.moments + training.sum;
    EXPECT_NEAR(bytes, said, 0.01 * said);
    const auto whole = on_device::training_bytes(spec, {});
    EXPECT_LT(training.moments, 0.28 * whole.moments);
    EXPECT_LT(training.gradient, 0.35 * whole.gradient) << "the embedding, which is more than a layer";
    if (sum == Sum::dealt) {
        EXPECT_LT(training.sum, 0.32 * whole.sum);
    }
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
