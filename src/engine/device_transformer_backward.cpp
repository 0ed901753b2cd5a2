#include "device_transformer.hpp"
#include "tdrm/base/ledger.hpp"

namespace tdrm::engine {

using gpu::bf16;

void DeviceTransformer::backward(const model::Forest& forest, const bf16* d_hidden, const DeviceGradient& gradient,
                                 const std::function<void()>& finish_slice) {
    const int T = forest.num_tokens(), R = static_cast<int>(row_indices_.size());
    // The residual stream's gradient, starting from the rows that the head read.
    bf16* d_rows = d_rows_.resize(area(R, spec_.width));
    norm_backward({d_rows, nullptr, d_hidden, top_rows_.data(), top_rstd_.data(), layout_.final_norm}, R, gradient);
    finish_slice();
    if (!gradient.wants({0, layout_.final_norm.weight})) return;  // a head learns alone
    bf16* dx = dx_.resize(area(T, spec_.width));
    device_.zero(dx, area(T, spec_.width) * sizeof(bf16));
    device_.run(gpu::ScatterRows{dx, d_rows, lists_.assign(row_indices_), spec_.width});
    for (int l = spec_.layers - 1; l >= 0; --l) {
        Activations& kept = kept_of(l);
        if (recompute_ == Recompute::block) {
            device_.copy(x_.data(), inputs_[static_cast<std::size_t>(l)].data(), area(T, spec_.width) * sizeof(bf16));
            layer(l, T, attention_, kept, true);
        } else if (recompute_ == Recompute::ffn) {
            gate_up(l, T, kept.middle.data(), kept);
        }
        const model::Layer& at_layer = layout_.layers[static_cast<std::size_t>(l)];
        feed_forward_backward(at_layer, T, gradient);
        attention_backward(at_layer, T, gradient);
        finish_slice();
    }
    if (gradient.wants({layout_.embedding, layout_.embedding + std::int64_t{spec_.vocab} * spec_.width}))
        device_.run(gpu::EmbedBackward{gradient.at(layout_.embedding), dx, lists_.assign(forest.tokens()), spec_.width,
                                       static_cast<float>(spec_.embedding_scale)});
    finish_slice();
    ledger::count(ledger::Work::flop, 4 * spec_.product_parameters() * T);
}

/// x = middle + scale after(down(gate(gate_up(before(middle)))))
void DeviceTransformer::feed_forward_backward(const model::Layer& layer, int rows, const DeviceGradient& gradient) {
    Activations& kept = kept_of(layer.index);
    const bool gelu = layer.activation == model::Activation::gelu_tanh;
    bf16* gate_up = gate_up_of(kept).data();
    const bf16* d_fed = block_gradient(layer.after_ffn, kept.fed, kept.fed_rstd, rows, gradient);
    device_.run(gpu::Gate{inner_.data(), gate_up, rows, spec_.ffn, gelu});
    bf16* d_inner = d_inner_.resize(area(rows, spec_.ffn));
    linear_backward(d_inner, d_fed, inner_.data(), layer.down, rows, gradient, 0, layer.residual_scale);
    device_.run(gpu::GateBackward{gate_up, d_inner, rows, spec_.ffn, gelu});
    block_input_backward(gate_up, kept.middle.data(), kept.middle_rstd.data(), layer.gate_up, layer.before_ffn, rows,
                         gradient);
}

/// middle = input + scale after(output(attention(turn(norm(qkv(before(input)))))))
void DeviceTransformer::attention_backward(const model::Layer& layer, int rows, const DeviceGradient& gradient) {
    Activations& kept = kept_of(layer.index);
    const DeviceForestPlan& plan = plan_of(layer);
    const bf16* d_attended = block_gradient(layer.after_attention, kept.attended, kept.attended_rstd, rows, gradient);
    bf16* d_mixed = d_mixed_.resize(area(rows, spec_.query_width()));
    linear_backward(d_mixed, d_attended, kept.mixed.data(), layer.output, rows, gradient, 0, layer.residual_scale);
    float* delta = delta_.resize(area(rows, spec_.heads));
    float* dq = dq_.resize(area(rows, spec_.query_width()));
    const std::size_t shares = area(plan.num_shares(), spec_.query_width());
    float* dk = dk_.resize(shares);
    float* dv = dv_.resize(shares);
    bf16* d_qkv = d_qkv_.resize(area(rows, spec_.qkv_width()));
    const gpu::AttendGradient of{kept.qkv.data(), d_mixed, kept.lse.data(),
                                 delta,           shape(), layer.attention.score_scale()};
    device_.run(gpu::AttendDelta{delta, kept.mixed.data(), d_mixed, rows, shape()});
    device_.run(gpu::AttendQueries{dq, of, plan.queries()});
    device_.run(gpu::AttendKeys{dk, dv, of, plan.queries(), plan.chunks(), plan.parts(), plan.num_chunks()});
    device_.run(gpu::AttendReduce{d_qkv, dq, dk, dv, plan.key_tiles(), plan.num_key_tiles(), rotary_.of(layer.turning),
                                  shape()});
    if (layer.query_norm.exists()) norm_heads_backward(layer, rows, kept, d_qkv, gradient);
    block_input_backward(d_qkv, inputs_[static_cast<std::size_t>(layer.index)].data(), kept.input_rstd.data(),
                         layer.qkv, layer.before_attention, rows, gradient);
}

void DeviceTransformer::norm_heads_backward(const model::Layer& layer, int rows, const Activations& kept, bf16* d_qkv,
                                            const DeviceGradient& gradient) {
    const int width = spec_.query_width() + spec_.kv_width();
    for (const HeadsOfRows& part : heads_of(layer, rows))
        norm_backward({d_qkv + part.at,
                       nullptr,
                       d_qkv + part.at,
                       kept.heads.data() + part.at,
                       kept.heads_rstd.data() + part.first_rstd,
                       part.norm,
                       {part.pieces, spec_.qkv_width()},
                       {part.pieces, width}},
                      rows * part.pieces, gradient);
}

void DeviceTransformer::linear_backward(bf16* dx, const bf16* dy, const bf16* x, const model::Linear& linear, int rows,
                                        const DeviceGradient& gradient, float beta, float alpha) {
    const int out = linear.outputs, in = linear.inputs;
    if (linear.bias >= 0 && gradient.wants({linear.bias, linear.bias + out})) {
        const int count = gpu::partials_of(rows);
        float* partials = partials_.resize(area(count, out));
        device_.run(gpu::ColumnSums{partials, dy, rows, out});
        device_.run(gpu::AddPartials{gradient.at(linear.bias), partials, count, out, alpha});
    }
    if (gradient.wants({linear.weight, linear.weight + std::int64_t{out} * in}))
        device_.multiply(
            {gpu::Product::tn, out, in, rows, dy, out, x, in, nullptr, gradient.at(linear.weight), in, 1, alpha});
    device_.multiply({gpu::Product::nn, rows, in, out, dy, out, at(linear.weight), in, dx, nullptr, in, beta, alpha});
}

void DeviceTransformer::block_input_backward(const bf16* dy, const bf16* x, const float* rstd,
                                             const model::Linear& first, const model::Norm& before, int rows,
                                             const DeviceGradient& gradient) {
    if (!before.exists()) return linear_backward(dx_.data(), dy, x, first, rows, gradient, 1);
    norm(normed_.data(), nullptr, x, before, nullptr, rows);
    bf16* d_normed = d_normed_.resize(area(rows, spec_.width));
    linear_backward(d_normed, dy, normed_.data(), first, rows, gradient);
    norm_backward({dx_.data(), dx_.data(), d_normed, x, rstd, before}, rows, gradient);
}

void DeviceTransformer::norm_backward(const NormGradient& of, int rows, const DeviceGradient& gradient) {
    const int count = gpu::partials_of(rows), width = of.norm.width;
    float* partials = partials_.resize(area(count, width));
    device_.run(gpu::RmsNormBackward{of.dx, partials, of.residual, of.dy, of.x, of.rstd, at(of.norm.weight), rows,
                                     width, of.norm.add, of.dy_grid, of.x_grid});
    if (gradient.wants({of.norm.weight, of.norm.weight + width}))
        device_.run(gpu::AddPartials{gradient.at(of.norm.weight), partials, count, width});
}

const bf16* DeviceTransformer::block_gradient(const model::Norm& after, const gpu::Memory<bf16>& added,
                                              const gpu::Memory<float>& added_rstd, int rows,
                                              const DeviceGradient& gradient) {
    if (!after.exists()) return dx_.data();
    bf16* d_block = d_block_.resize(area(rows, spec_.width));
    norm_backward({d_block, nullptr, dx_.data(), added.data(), added_rstd.data(), after}, rows, gradient);
    return d_block;
}

}  // namespace tdrm::engine
