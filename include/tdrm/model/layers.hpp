// The parts of a decoder: where their parameters lie in the flat buffer, and what they compute forward and backward.
// Letters as in docs/NOTATION.md. Local; a row's bits depend on that row and what it sees alone.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "tdrm/model/ops.hpp"
#include "tdrm/model/spec.hpp"

namespace tdrm::model {

class Model;
class Rotary;
struct Layer;
struct LayerActivations;
struct Workspace;

/// A projection: Y = X W^T + b.
struct Linear {
    std::int64_t weight = -1, bias = -1;  ///< offsets in the flat buffer; -1: there is none
    int outputs = 0, inputs = 0;

    /// Y = beta Y + X W^T + b. beta is 0 or 1.
    void forward(const Model& model, float* y, const float* x, int rows, float beta = 0) const;
    /// dX = dY W; adds dY^T X and the sum of dY's rows to the gradient.
    void backward(const Model& model, float* dx, const float* dy, const float* x, int rows, float* gradient) const;
};

/// RMSNorm, y = x / sqrt(mean(x^2) + eps) * (add + w), or none.
struct Norm {
    std::int64_t weight = -1;  ///< offset; -1: there is none
    int width = 0;
    float eps = 0, add = 0;

    [[nodiscard]] bool exists() const { return weight >= 0; }
    /// @param rstd one number a row, for the backward pass; may be null
    void forward(const Model& model, float* y, float* rstd, const float* x, int rows) const;
    /// The same from a stored rstd.
    void again(const Model& model, float* y, const float* x, const float* rstd, int rows) const;
    /// dX += gradient through the norm; adds that of the weight to the gradient.
    void backward(const Model& model, float* dx, const float* dy, const float* x, const float* rstd, int rows,
                  float* gradient) const;
};

/// Which frequencies a layer turns queries and keys by.
enum class Turning { none, global, local };

/// What the layers of one pass share.
struct Pass {
    const Model& model;
    const Rotary& rotary;
    Workspace& work;
    int rows;
    bool keep;  ///< what the backward pass needs
    /// mixed and lse from qkv.
    std::function<void(const Layer& layer, const float* qkv, float* mixed, float* lse)> attend = {};
    const ops::AttentionKernels* kernels = nullptr;  ///< of the backward pass
};

/// One decoder layer: x += attention(x), x += feed-forward(x), with norms before or behind either.
struct Layer {
    int index = 0;
    Linear qkv, output, gate_up, down;
    Norm before_attention, after_attention, before_ffn, after_ffn;
    Norm query_norm, key_norm;  ///< as wide as what is normed at once: a head, or all of them
    ops::AttentionShape attention;
    Turning turning = Turning::global;
    Activation activation = Activation::silu;
    float residual_scale = 1;

    [[nodiscard]] int inner() const { return down.inputs; }

    void forward(const Pass& pass, float* x, LayerActivations& kept) const;
    /// dx becomes the gradient of the layer's input; adds to the parameters' gradient.
    void backward(const Pass& pass, const Forest& forest, float* dx, LayerActivations& kept, float* gradient) const;

private:
    void norm_heads(const Pass& pass, float* qkv_rows, LayerActivations& kept) const;
    void norm_heads_backward(const Pass& pass, float* d_qkv_rows, const LayerActivations& kept, float* gradient) const;
};

}  // namespace tdrm::model
