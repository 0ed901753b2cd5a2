// A small random model for tests of generation and scoring.
#pragma once

#include "tdrm/base/random.hpp"
#include "tdrm/model/transformer.hpp"

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
inline model::Model toy_model(model::Head head = model::Head::language, std::uint64_t seed = 1) {
    model::Model model(toy_spec(head));
    model.initialise(seed);
    for (float& value : model.values()) value *= 3.0F;
    Random random(random_key(seed, "score head"));
    if (head == model::Head::value)
        for (int i = 0; i < model.spec().width; ++i)
            model.values()[static_cast<std::size_t>(model.layout().head + i)] =
                static_cast<float>(random.next_normal());
    return model;
}

inline std::vector<std::int32_t> toy_tokens(Random& random, std::size_t n, int vocab = 22) {
    std::vector<std::int32_t> tokens(n);
    for (auto& token : tokens) token = static_cast<std::int32_t>(random.next_below(static_cast<std::uint64_t>(vocab)));
    return tokens;
}

}  // namespace tdrm::rollout
