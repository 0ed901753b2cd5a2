// The parameters of a model by Hugging Face name, and how they are held in memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tdrm/model/layers.hpp"
#include "tdrm/model/spec.hpp"

namespace tdrm::model {

/// A named parameter as a range of the flat buffer.
struct TensorInfo {
    std::string name;                 ///< as in Hugging Face checkpoints
    std::vector<std::int64_t> shape;  ///< row-major
    std::int64_t offset = 0;          ///< first element in the flat buffer

    [[nodiscard]] std::int64_t size() const;
    /// Norm weights and biases get no weight decay and aren't random at the start.
    [[nodiscard]] bool is_vector() const { return shape.size() == 1; }
};

/// All parameters of a model, in the order of the flat buffer. q, k, v lie behind one another, and so do their biases,
/// and gate and up, so that each is one matrix product.
struct Layout {
    Layout() = default;  ///< no parameters
    explicit Layout(const ModelSpec& spec);

    std::vector<TensorInfo> tensors;
    std::vector<Layer> layers;
    Norm final_norm;
    std::int64_t embedding = 0, head = 0;  ///< `head`: language head (the embedding if tied) or score
    std::int64_t head_bias = -1, head_hidden = -1, head_hidden_bias = -1;  ///< of a value head; -1: none
    std::int64_t size = 0;                                                 ///< elements in all
};

}  // namespace tdrm::model
