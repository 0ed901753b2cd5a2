// Optimiser state dealt out over ranks, on processors and on emulated devices: the bits of state that every rank keeps
// whole.
#include <gtest/gtest.h>

#include "../rollout/toy.hpp"
#include "tdrm/engine/ownership.hpp"

namespace tdrm::engine {
namespace {

constexpr int kUnits = 5, kUpdates = 3;
constexpr std::int64_t kPart = 700;  // the toy model has a few dozen of them

class Shards : public testing::TestWithParam<std::tuple<DeviceKind, Sum, WeightFormat, WeightFormat>> {
protected:
    /// An engine after a few updates, unit u of which is computed by rank u mod ranks.
    std::unique_ptr<Engine> trained(const Shard& shard, std::vector<double>& norms, int ranks_at_work) {
        const auto [kind, sum, weights, moments] = GetParam();
        auto engine = rollout::toy_model(model::Head::language, 1, kind);
        engine->begin_training({weights, sum, {}, false, shard, Recompute::none, moments});
        for (int update = 0; update < kUpdates; ++update) {
            engine->begin_update();
            for (int round = 0; round * ranks_at_work < kUnits; ++round) {
                const int unit = round * ranks_at_work + ranks_.rank();
                if (unit < kUnits) differentiate(*engine, update * kUnits + unit);
                engine->collect(ranks_, unit < kUnits);
            }
            norms.push_back(engine->reduce(ranks_));
            engine->update({.lr = 0.01, .weight_decay = 0.1, .update = update}, ranks_);
        }
        return engine;
    }
    static void differentiate(Engine& engine, int number) {
        Random random(random_key(3, "unit", static_cast<std::uint64_t>(number)));
        const auto tokens = rollout::toy_tokens(random, 12);
        model::Forest forest;
        forest.add(tokens);
        std::vector<std::int32_t> rows, targets;
        for (std::int32_t t = 0; t + 1 < std::ssize(tokens); ++t) {
            rows.push_back(t);
            targets.push_back(tokens[static_cast<std::size_t>(t) + 1]);
        }
        engine.begin_unit();
        engine.token_loss(engine.forward(forest, rows, Keep::activations), targets, 1,
                          [](int, float, float) { return -0.01F; });
        engine.backward(forest);
        (void)engine.end_unit("unit");
    }
    static std::vector<float> read(const Engine& engine, Array array, const Range& range) {
        std::vector<float> values(static_cast<std::size_t>(range.size()));
        engine.read(array, range.begin, values);
        return values;
    }

    comm::Communicator ranks_;
};

INSTANTIATE_TEST_SUITE_P(All, Shards,
                         testing::Combine(testing::Values(DeviceKind::cpu, DeviceKind::emulated),
                                          testing::Values(Sum::exact, Sum::fast, Sum::dealt),
                                          testing::Values(WeightFormat::fp32, WeightFormat::bf16),
                                          testing::Values(WeightFormat::fp32, WeightFormat::bf16)));

TEST_P(Shards, HaveTheBitsOfWholeState) {
    std::vector<double> whole_norms, norms;
    const int size = ranks_.size();
    const auto whole = trained({}, whole_norms, size);
    const auto dealt = trained({ranks_.rank(), size, kPart}, norms, size);
    EXPECT_EQ(norms, whole_norms);
    const Ownership ownership(whole->num_parameters(), {ranks_.rank(), size, kPart});
    for (const Array array : {Array::weights, Array::first_moment, Array::second_moment, Array::master}) {
        ASSERT_EQ(dealt->has(array), whole->has(array));
        if (!whole->has(array)) continue;
        ownership.each({0, whole->num_parameters()}, [&](const Range& range) {
            EXPECT_EQ(read(*dealt, array, range), read(*whole, array, range)) << "from " << range.begin;
        });
    }
    // What is computed with is the same everywhere: a pass over the new weights.
    const std::vector<std::int32_t> tokens{1, 2, 3}, rows{0, 1}, targets{2, 3};
    const auto logprobs = [&](Engine& engine) {
        model::Forest forest;
        forest.add(tokens);
        std::vector<float> logp(2), entropy(2);
        engine.token_logprobs(engine.forward(forest, rows, Keep::nothing), targets, 1, logp, entropy);
        return logp;
    };
    EXPECT_EQ(logprobs(*dealt), logprobs(*whole));
}

TEST_P(Shards, AreReadByTheRankThatKeepsThem) {
    std::vector<double> norms;
    const int size = ranks_.size();
    const auto dealt = trained({ranks_.rank(), size, kPart}, norms, size);
    const std::int64_t foreign = kPart * ((ranks_.rank() + 1) % size);
    if (size > 1) {
        EXPECT_THROW((void)read(*dealt, Array::first_moment, {foreign, foreign + 5}), BugError);
    }
    // Loading hands every rank everything; it keeps its own.
    std::vector<float> values(static_cast<std::size_t>(dealt->num_parameters()));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 100);  // as bf16, too
    dealt->write(Array::second_moment, 0, values);
    const std::int64_t own = kPart * ranks_.rank() + 3;
    EXPECT_EQ(read(*dealt, Array::second_moment, {own, own + 2}),
              (std::vector<float>{static_cast<float>(own % 100), static_cast<float>((own + 1) % 100)}));
}

TEST(Ownership, DealsPartsRoundAndPacksThem) {
    const Ownership second(45, {1, 2, 10});  // parts of 10, 10, 10, 10, 5: the second and the fourth
    EXPECT_TRUE(second.dealt());
    EXPECT_EQ(second.kept(), 20);
    EXPECT_EQ(second.owner(44), 0);
    EXPECT_TRUE(second.keeps(10));
    EXPECT_FALSE(second.keeps(20));
    EXPECT_EQ(second.place(13), 3);
    EXPECT_EQ(second.place(31), 11);
    std::vector<Range> stretches;
    second.each({5, 33}, [&](const Range& range) { stretches.push_back(range); });
    EXPECT_EQ(stretches, (std::vector<Range>{{10, 20}, {30, 33}}));
    EXPECT_FALSE(Ownership(15, {1, 3, 10}).dealt()) << "fewer parts than ranks";
    EXPECT_EQ(Ownership(15, {1, 3, 10}).kept(), 15);
}

}  // namespace
}  // namespace tdrm::engine
