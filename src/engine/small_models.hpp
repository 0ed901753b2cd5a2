// Small models of every family, and a forest with all that forests have: what tests and acceptances compute with.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tdrm/engine/engine.hpp"

namespace tdrm::engine {

/// A model of a family, heads of their own width. Of two layers windows, bases and rotation are the one's, not the
/// other's; sequences of `bushy_forest` are longer than windows, and than where frequencies change.
[[nodiscard]] model::ModelSpec small_model(model::Family family, model::Head head = model::Head::language);

/// Weights that bf16 holds exactly, norms and biases away from one and zero.
void write_random_weights(Engine& engine, std::uint64_t seed, float spread = 0.1F);

[[nodiscard]] std::vector<std::int32_t> random_tokens(Random& random, std::size_t n, int vocab);
/// A prompt with answers, probes at cuts, a nested branch, a lone root.
[[nodiscard]] model::Forest bushy_forest(int vocab, std::uint64_t seed);
[[nodiscard]] std::vector<std::int32_t> all_rows(const model::Forest& forest);

/// sqrt(mean((a - b)^2))
[[nodiscard]] double rms(std::span<const float> a, std::span<const float> b);
/// 1 if both are zero.
[[nodiscard]] double cosine(std::span<const float> a, std::span<const float> b);
/// The least over tensors, and whose it is, leaving out those whose expected gradient is rounding alone: softmax
/// doesn't see a bias of keys that don't turn.
struct WorstTensor {
    double cosine = 1;
    std::string name;
};
[[nodiscard]] WorstTensor worst_tensor(const model::Layout& layout, std::span<const float> found,
                                       std::span<const float> expected);

}  // namespace tdrm::engine
