#include "device_transformer.hpp"
#include "tdrm/base/ledger.hpp"

namespace tdrm::engine {

using gpu::bf16;

void DeviceTransformer::plan_backward() {
    key_tiles_.assign(plan_->key_tiles());
    chunks_.assign(plan_->chunks());
    parts_.assign(plan_->parts());
    const std::size_t shares = area(static_cast<int>(plan_->chunks().size()), spec_.query_width()) * gpu::kKeyTileKeys;
    dk_.resize(shares);
    dv_.resize(shares);
}

void DeviceTransformer::backward(const model::Forest& forest, const bf16* d_hidden, float* gradient) {
    const int T = forest.num_tokens(), R = static_cast<int>(row_indices_.size());
    plan_backward();
    // The residual stream's gradient, starting from the rows that the head read.
    bf16* d_rows = d_rows_.resize(area(R, spec_.width));
    norm_backward({d_rows, nullptr, d_hidden, top_rows_.data(), top_rstd_.data(), layout_.final_norm.weight}, R,
                  gradient);
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
        feed_forward_backward(l, T, gradient);
        attention_backward(l, forest, gradient);
    }
    device_.run(gpu::EmbedBackward{gradient + layout_.embedding, dx, lists_.assign(forest.tokens()), spec_.width});
    ledger::count(ledger::Work::flop, 4 * spec_.product_parameters() * T);
}

/// x = middle + down(swiglu(gate_up(norm(middle))))
void DeviceTransformer::feed_forward_backward(int l, int rows, float* gradient) {
    const model::Layer& at_layer = layout_.layers[static_cast<std::size_t>(l)];
    Activations& kept = kept_of(l);
    bf16* gate_up = gate_up_of(kept).data();
    const bf16* d_fed = block_gradient(at_layer.after_ffn.weight, kept.fed, kept.fed_rstd, rows, gradient);
    device_.run(gpu::SwiGlu{inner_.data(), gate_up, rows, spec_.ffn});
    bf16* d_inner = d_inner_.resize(area(rows, spec_.ffn));
    product_backward(d_inner, d_fed, inner_.data(), at_layer.down.weight, rows, spec_.width, spec_.ffn, gradient);
    device_.run(gpu::SwiGluBackward{gate_up, d_inner, rows, spec_.ffn});
    norm(normed_.data(), nullptr, kept.middle.data(), at_layer.before_ffn.weight, nullptr, rows);
    bf16* d_normed = d_normed_.resize(area(rows, spec_.width));
    product_backward(d_normed, gate_up, normed_.data(), at_layer.gate_up.weight, rows, 2 * spec_.ffn, spec_.width,
                     gradient);
    norm_backward(
        {dx_.data(), dx_.data(), d_normed, kept.middle.data(), kept.middle_rstd.data(), at_layer.before_ffn.weight},
        rows, gradient);
}

/// middle = input + output(attention(turn(qkv(norm(input)))))
void DeviceTransformer::attention_backward(int l, const model::Forest& forest, float* gradient) {
    const model::Layer& at_layer = layout_.layers[static_cast<std::size_t>(l)];
    Activations& kept = kept_of(l);
    const bf16* input = inputs_[static_cast<std::size_t>(l)].data();
    const int rows = forest.num_tokens();
    const bf16* d_attended =
        block_gradient(at_layer.after_attention.weight, kept.attended, kept.attended_rstd, rows, gradient);
    if (at_layer.output.bias >= 0) bias_backward(d_attended, at_layer.output.bias, rows, spec_.width, gradient);
    bf16* d_mixed = d_mixed_.resize(area(rows, spec_.query_width()));
    product_backward(d_mixed, d_attended, kept.mixed.data(), at_layer.output.weight, rows, spec_.width,
                     spec_.query_width(), gradient);
    float* delta = delta_.resize(area(rows, spec_.heads));
    float* dq = dq_.resize(area(rows, spec_.query_width()));
    bf16* d_qkv = d_qkv_.resize(area(rows, spec_.qkv_width()));
    const gpu::AttendGradient of{kept.qkv.data(), d_mixed, kept.lse.data(), delta, shape(), attention_scale()};
    device_.run(gpu::AttendDelta{delta, kept.mixed.data(), d_mixed, rows, shape()});
    device_.run(gpu::AttendQueries{dq, of, query_plan_});
    device_.run(gpu::AttendKeys{dk_.data(), dv_.data(), of, chunks_.data(), parts_.data(), query_plan_.row_of,
                                query_plan_.limits, static_cast<int>(plan_->chunks().size())});
    device_.run(gpu::AttendReduce{d_qkv, dq, dk_.data(), dv_.data(), key_tiles_.data(),
                                  static_cast<int>(plan_->key_tiles().size()), positions_.data(), rotary_, shape()});
    norm(normed_.data(), nullptr, input, at_layer.before_attention.weight, nullptr, rows);
    if (at_layer.qkv.bias >= 0) bias_backward(d_qkv, at_layer.qkv.bias, rows, spec_.qkv_width(), gradient);
    product_backward(d_normed_.data(), d_qkv, normed_.data(), at_layer.qkv.weight, rows, spec_.qkv_width(), spec_.width,
                     gradient);
    norm_backward(
        {dx_.data(), dx_.data(), d_normed_.data(), input, kept.input_rstd.data(), at_layer.before_attention.weight},
        rows, gradient);
}

void DeviceTransformer::product_backward(bf16* dx, const bf16* dy, const bf16* x, std::int64_t weight, int rows,
                                         int out, int in, float* gradient) {
    device_.multiply({gpu::Product::tn, out, in, rows, dy, out, x, in, nullptr, gradient + weight, in, 1});
    device_.multiply({gpu::Product::nn, rows, in, out, dy, out, at(weight), in, dx, nullptr, in, 0});
}

void DeviceTransformer::norm_backward(const NormGradient& of, int rows, float* gradient) {
    const int count = gpu::partials_of(rows);
    float* partials = partials_.resize(area(count, spec_.width));
    device_.run(
        gpu::RmsNormBackward{of.dx, partials, of.residual, of.dy, of.x, of.rstd, at(of.weight), rows, spec_.width});
    device_.run(gpu::AddPartials{gradient + of.weight, partials, count, spec_.width});
}

void DeviceTransformer::bias_backward(const bf16* dy, std::int64_t bias, int rows, int width, float* gradient) {
    const int count = gpu::partials_of(rows);
    float* partials = partials_.resize(area(count, width));
    device_.run(gpu::ColumnSums{partials, dy, rows, width});
    device_.run(gpu::AddPartials{gradient + bias, partials, count, width});
}

const bf16* DeviceTransformer::block_gradient(std::int64_t norm_weight, const gpu::Memory<bf16>& added,
                                              const gpu::Memory<float>& added_rstd, int rows, float* gradient) {
    if (norm_weight < 0) return dx_.data();
    bf16* d_block = d_block_.resize(area(rows, spec_.width));
    norm_backward({d_block, nullptr, dx_.data(), added.data(), added_rstd.data(), norm_weight}, rows, gradient);
    return d_block;
}

}  // namespace tdrm::engine
