// Frozen models that lie in the host's memory while nobody asks them: what reinforcement learning holds on a device,
// and that nothing else changes.
#include <gtest/gtest.h>

#include <map>

#include "../../src/engine/device_engine.hpp"
#include "../engine/forwarding_device.hpp"
#include "fixture.hpp"

namespace tdrm::train {
namespace {

/// An emulated device that says how much of it is taken.
class CountingDevice final : public engine::ForwardingDevice {
public:
    explicit CountingDevice(std::size_t& bytes) : bytes_(bytes) {}
    [[nodiscard]] void* allocate(std::size_t bytes, const char* what) override {
        void* memory = ForwardingDevice::allocate(bytes, what);
        bytes_ += sizes_[memory] = bytes;
        return memory;
    }
    void release(void* memory) noexcept override {
        if (const auto found = sizes_.find(memory); found != sizes_.end()) {
            bytes_ -= found->second;
            sizes_.erase(found);
        }
        ForwardingDevice::release(memory);
    }

private:
    std::size_t& bytes_;
    std::map<void*, std::size_t> sizes_;
};

/// A toy model on a device of its own.
struct Counted {
    explicit Counted(model::Head head, std::uint64_t seed)
        : engine(rollout::toy_spec(head), std::make_unique<CountingDevice>(bytes)) {
        std::vector<float> weights(static_cast<std::size_t>(engine.num_parameters()));
        rollout::toy_model(head, seed)->read(engine::Array::weights, 0, weights);
        engine.write(engine::Array::weights, 0, weights);
    }
    std::size_t bytes = 0;
    engine::DeviceEngine engine;
};

/// What is learnt from a batch, and what the frozen models hold of their devices meanwhile.
struct Learnt {
    std::vector<float> values, reference, judgement;
    std::vector<std::vector<float>> gradients;  ///< of the units
    std::size_t most_frozen = 0;                ///< bytes of the frozen models in any unit
};

Learnt learn(bool paged) {
    const ToyTask task;
    comm::Communicator ranks;
    Counted policy(model::Head::language, 1), value(model::Head::value, 2), judge(model::Head::value, 3);
    Counted reference(model::Head::language, 4);
    policy.engine.begin_training({});
    Learnt learnt;
    RlOptions options;
    options.batch.problems = 5;
    options.batch.samples = 4;
    options.inner_epochs = 2;
    options.unit_tokens = 100;
    options.kl.beta = 0.2;
    options.credit.kind = AdvantageKind::gae;
    options.paged = paged;
    const auto scorer = [&](Counted& model) { return rollout::Scorer(model.engine, task.probe(), 100); };
    RlObjective objective(ranks, task, "all", policy.engine, scorer(value), &reference.engine, options, 9);
    objective.judge_by(scorer(judge));
    for (std::int64_t update = 0; update < 4; ++update) {  // two batches: in the second all come back
        objective.prepare(update);
        for (std::size_t unit = 0; unit < objective.units().size(); ++unit) {
            policy.engine.begin_unit();
            (void)objective.differentiate(unit);
            learnt.most_frozen = std::max(learnt.most_frozen, value.bytes + judge.bytes + reference.bytes);
            auto& gradient = learnt.gradients.emplace_back(static_cast<std::size_t>(policy.engine.num_parameters()));
            policy.engine.read(engine::Array::gradient, 0, gradient);
        }
    }
    learnt.values = objective.batch().values;
    learnt.judgement = objective.batch().judgement;
    learnt.reference = objective.batch().reference;
    return learnt;
}

TEST(Paged, FrozenModelsHoldNothingOfADeviceWhileThePolicyLearns) {
    EXPECT_EQ(learn(true).most_frozen, 0);
    const std::size_t weights = 2 * static_cast<std::size_t>(rollout::toy_model()->num_parameters());
    EXPECT_GT(learn(false).most_frozen, 3 * weights / 2) << "the test would see it";
}

TEST(Paged, TheSameBitsAreLearnt) {
    const Learnt paged = learn(true), resident = learn(false);
    EXPECT_EQ(paged.values, resident.values);
    EXPECT_EQ(paged.judgement, resident.judgement);
    EXPECT_EQ(paged.reference, resident.reference);
    EXPECT_EQ(paged.gradients, resident.gradients);
    EXPECT_GT(paged.gradients.size(), 3);
}

}  // namespace
}  // namespace tdrm::train
