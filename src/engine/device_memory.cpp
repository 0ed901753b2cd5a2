#include "device_memory.hpp"

#include <algorithm>
#include <cmath>

#include "attention_plan.hpp"
#include "device_gradient.hpp"
#include "device_head.hpp"
#include "device_total.hpp"
#include "tdrm/gpu/device.hpp"

namespace tdrm::engine::on_device {
namespace {

constexpr double kBf16 = sizeof(gpu::bf16), kFp32 = sizeof(float);

bool norms_what_blocks_add(const model::ModelSpec& s) { return !s.features().norms.after_attention.empty(); }

/// Bytes a token of what the forward pass of a layer makes.
double layer_bytes(const model::ModelSpec& s, bool kept) {
    const bool norms = norms_what_blocks_add(s);
    const model::QkNorm of_heads = s.features().qk_norm;
    const double heads = of_heads == model::QkNorm::none ? 0 : s.query_width() + s.kv_width();  // before their norms
    const double pieces = of_heads == model::QkNorm::head ? s.heads + s.kv_heads : heads > 0 ? 2 : 0;
    const double numbers = s.qkv_width() + heads + s.query_width() + 2.0 * s.ffn + (norms ? 2.0 : 0.0) * s.width;
    const double statistics = s.heads + 2.0 + (norms ? 2 : 0) + pieces;  // lse, and rstd of each norm
    return kBf16 * (numbers + (kept ? 2.0 * s.width : 0)) + kFp32 * statistics;
}

/// Bytes a token of what all layers keep for the backward pass, and of what is computed again, a layer at a time.
double activation_bytes(const model::ModelSpec& s, Recompute recompute) {
    const double whole = layer_bytes(s, true), input = kBf16 * s.width, inner = kBf16 * 2.0 * s.ffn;
    switch (recompute) {
        case Recompute::none:
            break;
        case Recompute::ffn:
            return s.layers * (whole - inner) + inner;
        case Recompute::block:
            return s.layers * input + whole - input;
    }
    return s.layers * whole;
}

/// Bytes a token of the backward pass of one layer. Keys have a share of their gradient for every chunk of readers: in
/// a sequence of n chunks n at its begin and 1 at its end.
double backward_bytes(const model::ModelSpec& s, double sequence) {
    const double numbers = (norms_what_blocks_add(s) ? 3.0 : 2.0) * s.width + s.ffn + s.qkv_width() + s.query_width();
    const double shares = (std::max(1.0, std::ceil(sequence / AttentionPlan::kReadersOfChunk)) + 1) / 2;
    const double attention = s.heads + (1 + 2 * shares) * s.query_width();  // delta, dq, dk, dv
    const double partials = static_cast<double>(std::max(s.width, s.qkv_width())) / gpu::kPartialRows;
    return kBf16 * numbers + kFp32 * (attention + partials);
}

}  // namespace

WeightBytes weight_bytes(const model::ModelSpec& spec) {
    return {kBf16 * static_cast<double>(model::Layout(spec).size), 0};
}

TrainingBytes training_bytes(const model::ModelSpec& spec, const TrainingSetup& setup) {
    const model::Layout layout(spec);
    const double kept = kept_bytes(spec, setup.shard);
    return {kFp32 * static_cast<double>(DeviceGradient::numbers(layout, setup.gradient, setup.trainable)),
            (setup.moments == WeightFormat::bf16 ? 1 : 2) * kept, kept,
            DeviceTotal::bytes(layout, setup.sum, Ownership(layout.size, setup.shard))};
}

double adapter_bytes(const LoraSizes& sizes, int rank) {
    const int rounded = (rank + 7) / 8 * 8;  // as the device has them
    const double wide = rank > 0 ? static_cast<double>(rounded) / rank : 0;
    const double factors = wide * static_cast<double>(sizes.learning - sizes.whole);
    return kBf16 * (static_cast<double>(sizes.frozen + sizes.largest) + factors) +
           kFp32 * (factors + static_cast<double>(sizes.whole));
}

double pass_bytes(const model::ModelSpec& s, double tokens, double rows, Keep keep, Recompute recompute,
                  double sequence) {
    const bool kept = keep == Keep::activations;
    const double plan = 32;  // tokens, positions, rows of tiles, limits
    const double shared = kBf16 * (2.0 * s.width + s.ffn) + plan;
    const double of_token = shared + (kept ? activation_bytes(s, recompute) : layer_bytes(s, false)) +
                            (kept ? backward_bytes(s, sequence) : 0);
    const double of_row = kBf16 * (kept ? 4.0 : 2.0) * s.width + 2 * kFp32;
    return tokens * of_token + rows * of_row;
}

double loss_bytes(const model::ModelSpec& spec, double rows) {
    if (spec.head != model::Head::language) return 0;
    return std::min<double>(rows, DeviceHead::kChunk) * (spec.vocab + 4.0) * kFp32;
}

double decoder_bytes(const model::ModelSpec& spec, std::int64_t tokens, int slots) {
    const double logits = spec.head == model::Head::language ? 2.0 * slots * spec.vocab * kFp32 : 0;  // and kept ones
    return 2.0 * spec.layers * spec.kv_width() * static_cast<double>(tokens) * kBf16 + logits;
}

}  // namespace tdrm::engine::on_device
