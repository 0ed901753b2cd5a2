// States whose every value tells where it is, so that any mix-up shows. read_checkpoint.py knows the same formula.
#pragma once

#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "tdrm/store/checkpoint.hpp"

namespace tdrm::store {

/// Tensors with a gap of 3 elements behind each.
inline std::vector<TensorView> sample_tensors() {
    std::vector<TensorView> tensors{{"embed.weight", {11, 7}, 0},
                                    {"layers.0.conv.weight", {3, 4, 5}, 0},
                                    {"norm.bias", {13}, 0},
                                    {"empty", {0, 4}, 0},
                                    {"scalar", {}, 0}};
    std::int64_t offset = 2;
    for (TensorView& tensor : tensors) {
        tensor.offset = offset;
        offset += std::accumulate(tensor.shape.begin(), tensor.shape.end(), std::int64_t{1}, std::multiplies<>()) + 3;
    }
    return tensors;
}

/// Value of element i: update + i / 1024 + 1000 * which.
inline std::vector<float> sample_values(int update, int which, std::size_t size = 170) {
    std::vector<float> values(size);
    for (std::size_t i = 0; i < size; ++i) {
        values[i] = static_cast<float>(update) + static_cast<float>(i) / 1024.0F + 1000.0F * static_cast<float>(which);
    }
    return values;
}

/// A model and its two moments at an update.
struct SampleState {
    explicit SampleState(int update, std::size_t size = 170)
        : tensors(sample_tensors()),
          model(sample_values(update, 0, size)),
          first(sample_values(update, 1, size)),
          second(sample_values(update, 2, size)) {}
    [[nodiscard]] std::vector<FlatState> states(Type stored = Type::float32) const {
        return {{"model", model, &tensors, stored},
                {"optimizer/exp_avg", first, &tensors},
                {"optimizer/exp_avg_sq", second, &tensors}};
    }
    std::vector<TensorView> tensors;
    std::vector<float> model, first, second;
};

}  // namespace tdrm::store
