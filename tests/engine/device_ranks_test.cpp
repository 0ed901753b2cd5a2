// Training on emulated devices, one a rank: the same bits whoever computes which unit.
#include <gtest/gtest.h>

#include "toy_unit.hpp"

namespace tdrm::engine {
namespace {

constexpr int kUnits = 5, kUpdates = 3;

using Owner = std::function<int(int unit)>;

/// Weights and norms after a few updates.
struct Trained {
    std::vector<float> weights, moments;
    std::vector<double> norms;
    bool operator==(const Trained&) const = default;
};

/// Collective. Unit u of an update is computed by rank owner(u).
Trained trained(comm::Communicator& ranks, const Owner& owner) {
    const auto engine = rollout::toy_model(model::Head::language, 1, DeviceKind::emulated);
    engine->begin_training({});
    Trained result;
    for (int update = 0; update < kUpdates; ++update) {
        engine->begin_update();
        for (int unit = 0; unit < kUnits; ++unit) {
            if (owner(unit) != ranks.rank()) continue;
            differentiate_toy(*engine, update * kUnits + unit, 12 + static_cast<std::size_t>(unit));
        }
        result.norms.push_back(engine->reduce(ranks));
        engine->update({.lr = 0.01, .weight_decay = 0.1, .update = update}, ranks);
    }
    result.weights.resize(static_cast<std::size_t>(engine->num_parameters()));
    result.moments.resize(result.weights.size());
    engine->read(Array::weights, 0, result.weights);
    engine->read(Array::second_moment, 0, result.moments);
    return result;
}

TEST(DeviceRanks, ComputeTheSameBitsWhoeverHasWhichUnit) {
    comm::Communicator ranks;
    const int size = ranks.size();
    const Trained alone = trained(ranks, [](int) { return 0; });  // as one rank would
    EXPECT_EQ(trained(ranks, [&](int unit) { return unit % size; }), alone);
    EXPECT_EQ(trained(ranks, [&](int unit) { return (kUnits - unit) * 7 % size; }), alone);
    EXPECT_GT(alone.norms[0], 0);
}

}  // namespace
}  // namespace tdrm::engine
