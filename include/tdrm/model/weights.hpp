// Weights on their way: in pieces, wherever the model lies.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "tdrm/model/spec.hpp"

namespace tdrm::model {

/// Takes over the values that belong at `first` of a model's flat buffer. Weights come to a model through a sink,
/// tensor by tensor, in pieces, so that no second copy of them is ever needed.
using WeightSink = std::function<void(std::int64_t first, std::span<const float> values)>;

/// Fills `out` with a model's weights from `first` on.
using WeightReader = std::function<void(std::int64_t first, std::span<float> out)>;

/// What a model is held for. One for passes alone doesn't learn: matrices that are only multiplied with are held once,
/// in the form in which products read them.
enum class Use { training, passes };

/// A fresh model. Matrices Normal(0, 1 / (3 inputs)) (the variance of PyTorch's linear layers), token vectors
/// Normal(0, 1) unless they are the head too, norms 1, biases 0; a score head starts at zero, so that every value
/// starts at probability one half. A pure function of (spec, seed).
void initial_weights(const ModelSpec& spec, std::uint64_t seed, const WeightSink& sink);

}  // namespace tdrm::model
