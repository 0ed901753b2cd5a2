// A unit of a training whose numbers don't matter.
#pragma once

#include "../rollout/toy.hpp"

namespace tdrm::engine {

/// Adds the gradient of some tokens' log-probs, `number` says which, as a unit.
inline void differentiate_toy(Engine& engine, int number, std::size_t length) {
    Random random(random_key(3, "unit", static_cast<std::uint64_t>(number)));
    const auto tokens = rollout::toy_tokens(random, length);
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

}  // namespace tdrm::engine
