// A small random model for tests of generation and scoring.
#pragma once

#include "tdrm/base/random.hpp"
#include "tdrm/engine/devices.hpp"
#include "tdrm/engine/load.hpp"

namespace tdrm::rollout {

inline model::ModelSpec toy_spec(model::Head head = model::Head::language) {
    model::ModelSpec spec;
    spec.vocab = 23;
    spec.layers = 2;
    spec.width = 32;
    spec.heads = 4;
    spec.kv_heads = 2;
    spec.ffn = 64;
    spec.head = head;
    return spec.resolved();
}

/// Random parameters, large enough that distributions are far from uniform.
inline std::unique_ptr<engine::Engine> toy_model(model::Head head = model::Head::language, std::uint64_t seed = 1,
                                                 engine::DeviceKind device = engine::DeviceKind::cpu) {
    auto engine = engine::make_engine(toy_spec(head), device);
    const auto write = engine::weights_into(*engine);
    model::initial_weights(engine->spec(), seed, [&](std::int64_t first, std::span<const float> values) {
        std::vector<float> larger(values.begin(), values.end());
        for (float& value : larger) value *= 3.0F;
        write(first, larger);
    });
    if (head == model::Head::language) return engine;
    Random random(random_key(seed, "score head"));
    std::vector<float> score(static_cast<std::size_t>(engine->spec().width));
    for (float& value : score) value = static_cast<float>(random.next_normal());
    write(engine->layout().head, score);
    return engine;
}

inline std::vector<std::int32_t> toy_tokens(Random& random, std::size_t n, int vocab = 22) {
    std::vector<std::int32_t> tokens(n);
    for (auto& token : tokens) token = static_cast<std::int32_t>(random.next_below(static_cast<std::uint64_t>(vocab)));
    return tokens;
}

}  // namespace tdrm::rollout
