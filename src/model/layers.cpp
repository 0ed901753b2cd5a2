#include "tdrm/model/layers.hpp"

#include <algorithm>
#include <cstring>

#include "tdrm/model/rotary.hpp"
#include "tdrm/model/transformer.hpp"

namespace tdrm::model {
namespace {

std::size_t area(int rows, int columns) { return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns); }

void copy(float* to, const float* from, std::size_t n) { std::memcpy(to, from, n * sizeof(float)); }

}  // namespace

void Linear::forward(const Model& model, float* y, const float* x, int rows, float beta) const {
    model.multiply(y, x, weight, outputs, inputs, rows, beta);
    if (bias >= 0) ops::add_bias(y, model.at(bias), rows, outputs);
}

void Linear::backward(const Model& model, float* dx, const float* dy, const float* x, int rows, float* gradient) const {
    model.add_gradient(gradient, dy, x, weight, outputs, inputs, rows);
    if (bias >= 0) ops::add_bias_backward(gradient + bias, dy, rows, outputs);
    model.multiply_back(dx, dy, weight, outputs, inputs, rows);
}

void Norm::forward(const Model& model, float* y, float* rstd, const float* x, int rows) const {
    ops::rms_norm(y, rstd, x, model.at(weight), rows, width, eps, add);
}

void Norm::again(const Model& model, float* y, const float* x, const float* rstd, int rows) const {
    ops::rms_norm_again(y, x, rstd, model.at(weight), rows, width, add);
}

void Norm::backward(const Model& model, float* dx, const float* dy, const float* x, const float* rstd, int rows,
                    float* gradient) const {
    ops::rms_norm_backward(dx, gradient + weight, dy, x, rstd, model.at(weight), rows, width, add);
}

namespace {

/// What a block computes from: the residual stream, normed where there is a norm before it.
const float* block_input(const Pass& pass, const Norm& norm, const float* x, Floats& rstd) {
    if (!norm.exists()) return x;
    float* normed = pass.work.normed.resize(area(pass.rows, norm.width));
    norm.forward(pass.model, normed, rstd.resize(area(pass.rows, 1)), x, pass.rows);
    return normed;
}

/// The same in the backward pass.
const float* block_input_again(const Pass& pass, const Norm& norm, const Floats& x, const Floats& rstd) {
    if (!norm.exists()) return x.data();
    norm.again(pass.model, pass.work.normed.data(), x.data(), rstd.data(), pass.rows);
    return pass.work.normed.data();
}

/// dx += the gradient of the block's input.
void block_input_backward(const Pass& pass, const Norm& norm, float* dx, const float* d_input, const Floats& x,
                          const Floats& rstd, int width, float* gradient) {
    if (norm.exists()) return norm.backward(pass.model, dx, d_input, x.data(), rstd.data(), pass.rows, gradient);
    ops::add(dx, d_input, area(pass.rows, width));
}

/// x += scale * what a block adds, normed first where there is a norm behind it.
void add_block(const Pass& pass, float* x, const float* in, const Linear& last, const Norm& norm, float scale,
               Floats& added, Floats& rstd) {
    const std::size_t n = area(pass.rows, last.outputs);
    if (!norm.exists() && scale == 1) return last.forward(pass.model, x, in, pass.rows, 1);
    float* block = added.resize(n);
    last.forward(pass.model, block, in, pass.rows);
    if (norm.exists()) {
        float* normed = pass.work.normed.resize(n);
        norm.forward(pass.model, normed, rstd.resize(area(pass.rows, 1)), block, pass.rows);
        block = normed;
    }
    if (scale != 1) ops::scale(block, scale, n);
    ops::add(x, block, n);
}

/// Gradient of what the block adds, before its norm and scale, from that of x.
const float* block_gradient(const Pass& pass, const float* dx, const Norm& norm, float scale, int width,
                            const Floats& added, const Floats& rstd, float* gradient) {
    const std::size_t n = area(pass.rows, width);
    if (scale != 1) {
        float* scaled = pass.work.d_scaled.resize(n);
        copy(scaled, dx, n);
        ops::scale(scaled, scale, n);
        dx = scaled;
    }
    if (!norm.exists()) return dx;
    float* d_block = pass.work.d_block.resize(n);
    std::memset(d_block, 0, n * sizeof(float));
    norm.backward(pass.model, d_block, dx, added.data(), rstd.data(), pass.rows, gradient);
    return d_block;
}

}  // namespace

void Layer::forward(const Pass& pass, float* x, LayerActivations& kept) const {
    const int T = pass.rows;
    const std::size_t stream = area(T, qkv.inputs);
    float* projected = kept.qkv.resize(area(T, qkv.outputs));
    float* mixed = kept.mixed.resize(area(T, output.inputs));
    float* gates = kept.gate_up.resize(area(T, gate_up.outputs));
    if (pass.keep) copy(kept.input.resize(stream), x, stream);
    qkv.forward(pass.model, projected, block_input(pass, before_attention, x, kept.input_rstd), T);
    if (query_norm.exists()) norm_heads(pass, projected, kept);
    pass.rotary.turn(projected, *this);
    pass.attend(*this, projected, mixed, kept.lse.resize(area(T, attention.heads)));
    add_block(pass, x, mixed, output, after_attention, residual_scale, kept.attended, kept.attended_rstd);

    if (pass.keep) copy(kept.middle.resize(stream), x, stream);
    float* inner_rows = pass.work.inner.resize(area(T, inner()));
    gate_up.forward(pass.model, gates, block_input(pass, before_ffn, x, kept.middle_rstd), T);
    ops::gate(inner_rows, gates, T, inner(), activation);
    add_block(pass, x, inner_rows, down, after_ffn, residual_scale, kept.fed, kept.fed_rstd);
}

void Layer::backward(const Pass& pass, const Forest& forest, float* dx, LayerActivations& kept, float* gradient) const {
    const int T = pass.rows;
    const int width = qkv.inputs;
    Workspace& work = pass.work;
    float* inner_rows = work.inner.data();
    float* d_input = work.d_normed.resize(area(T, width));
    float* d_inner = work.d_inner.resize(area(T, inner()));
    float* d_qkv = work.d_qkv.resize(area(T, qkv.outputs));
    float* d_mixed = work.d_mixed.resize(area(T, output.inputs));
    // Feed-forward: x = middle + scale after(down(gate(gate_up(before(middle))))).
    const float* d_fed = block_gradient(pass, dx, after_ffn, residual_scale, width, kept.fed, kept.fed_rstd, gradient);
    ops::gate(inner_rows, kept.gate_up.data(), T, inner(), activation);
    down.backward(pass.model, d_inner, d_fed, inner_rows, T, gradient);
    ops::gate_backward(kept.gate_up.data(), d_inner, T, inner(), activation);
    const float* in = block_input_again(pass, before_ffn, kept.middle, kept.middle_rstd);
    gate_up.backward(pass.model, d_input, kept.gate_up.data(), in, T, gradient);
    block_input_backward(pass, before_ffn, dx, d_input, kept.middle, kept.middle_rstd, width, gradient);
    // Attention: middle = input + scale after(output(attention(turn(norm(qkv(before(input))))))).
    const float* d_attended =
        block_gradient(pass, dx, after_attention, residual_scale, width, kept.attended, kept.attended_rstd, gradient);
    output.backward(pass.model, d_mixed, d_attended, kept.mixed.data(), T, gradient);
    pass.kernels->backward(d_qkv, d_mixed, kept.mixed.data(), kept.lse.data(), kept.qkv.data(), forest, attention,
                           work.attention);
    pass.rotary.turn(d_qkv, *this, -1);
    if (query_norm.exists()) norm_heads_backward(pass, d_qkv, kept, gradient);
    in = block_input_again(pass, before_attention, kept.input, kept.input_rstd);
    qkv.backward(pass.model, d_input, d_qkv, in, T, gradient);
    block_input_backward(pass, before_attention, dx, d_input, kept.input, kept.input_rstd, width, gradient);
}

namespace {

/// Calls body(norm, first number of the row, first of its rstd, what is normed of the row) for queries, then keys.
template <class Body>
void for_normed_heads(const Layer& layer, Body&& body) {
    const ops::AttentionShape& shape = layer.attention;
    const int queries = shape.heads * shape.head_dim / layer.query_norm.width;
    const int keys = shape.kv_heads * shape.head_dim / layer.key_norm.width;
    body(layer.query_norm, 0, 0, queries);
    body(layer.key_norm, shape.heads * shape.head_dim, queries, keys);
}

/// Most that is normed of one row of q | k | v.
int most_normed(const ops::AttentionShape& shape) { return shape.heads + shape.kv_heads; }

}  // namespace

void Layer::norm_heads(const Pass& pass, float* qkv_rows, LayerActivations& kept) const {
    const int normed = (attention.heads + attention.kv_heads) * attention.head_dim;
    const int rstds = most_normed(attention);
    float* rstd = kept.heads_rstd.resize(area(pass.rows, rstds));
    float* raw = pass.keep ? kept.heads.resize(area(pass.rows, normed)) : nullptr;
    for (int t = 0; t < pass.rows; ++t, qkv_rows += qkv.outputs, rstd += rstds) {
        if (pass.keep) copy(raw + area(t, normed), qkv_rows, area(1, normed));
        for_normed_heads(*this, [&](const Norm& norm, int at, int first, int count) {
            norm.forward(pass.model, qkv_rows + at, rstd + first, qkv_rows + at, count);
        });
    }
}

void Layer::norm_heads_backward(const Pass& pass, float* d_qkv_rows, const LayerActivations& kept,
                                float* gradient) const {
    const int normed = (attention.heads + attention.kv_heads) * attention.head_dim;
    const int rstds = most_normed(attention);
    float* d_raw = pass.work.d_heads.resize(area(1, normed));
    for (int t = 0; t < pass.rows; ++t, d_qkv_rows += qkv.outputs) {
        const float* raw = kept.heads.data() + area(t, normed);
        const float* rstd = kept.heads_rstd.data() + area(t, rstds);
        std::memset(d_raw, 0, area(1, normed) * sizeof(float));
        for_normed_heads(*this, [&](const Norm& norm, int at, int first, int count) {
            norm.backward(pass.model, d_raw + at, d_qkv_rows + at, raw + at, rstd + first, count, gradient);
        });
        copy(d_qkv_rows, d_raw, area(1, normed));
    }
}

}  // namespace tdrm::model
