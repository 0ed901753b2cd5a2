#include "device_transformer.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/ledger.hpp"

namespace tdrm::engine {

using gpu::bf16;

namespace {

/// What of a model the kernels don't compute, in words.
std::vector<std::string> missing_features(const model::ModelSpec& s) {
    const model::FamilyRow& family = s.features();
    std::vector<std::string> missing;
    const auto note = [&](bool uses, const char* what) {
        if (uses) missing.emplace_back(what);
    };
    note(family.qk_norm != model::QkNorm::none, "norms of queries and keys");
    note(family.activation != model::Activation::silu, "GELU");
    note(family.norms_add_one, "norms of 1 + weight");
    note(family.norms.before_attention.empty() || family.norms.before_ffn.empty(), "blocks without a norm before them");
    note(!s.unrotated_layers.empty(), "layers without rotation");
    note(s.local_rope_theta > 0, "two bases of rotation");
    note(s.rope_scaling.depends_on_length() || s.rope_scaling.magnitude != 1 || s.query_growth != 0,
         "rotations that depend on the length");
    note(s.embedding_scale != 1 || s.residual_scale != 1 || s.logit_divisor != 1, "multipliers of activations");
    const model::ValueHead& head = s.value_head;
    const bool plain = head.bins.empty() || head.bins == std::vector<double>{0, 1};
    note(s.head == model::Head::value && (head.labels > 2 || !plain || head.mean != 0 || head.std != 1),
         "value heads of several labels");
    return missing;
}

}  // namespace

void require_device_support(const model::ModelSpec& spec) {
    std::string problems;
    const auto eights = [&](const char* what, int width) {
        if (width % 8 != 0) problems += cat(" ", what, " ", width, " is no multiple of 8;");
    };
    eights("width", spec.width);
    eights("ffn", spec.ffn);
    eights("head_dim", spec.head_dim);
    if (spec.head_dim > gpu::kLargestHead)
        problems += cat(" head_dim ", spec.head_dim, " is more than ", gpu::kLargestHead, ";");
    if (!problems.empty())
        throw ConfigError("devices can't compute this model (their kernels move eight numbers at a time):" + problems +
                          " use run.device: cpu.");
    const auto missing = missing_features(spec);
    if (missing.empty()) return;
    std::string list;
    for (const std::string& what : missing) list += (list.empty() ? "" : ", ") + what;
    throw ConfigError(cat("devices can't compute models of type ", spec.features().model_type, " yet (they lack ", list,
                          "). Use run.device: cpu."));
}

gpu::QueryPlan DeviceQueryPlan::assign(const QueryTiles& tiles) {
    return {tiles_.assign(tiles.tiles), ranges_.assign(tiles.ranges), row_of_.assign(tiles.row_of),
            limits_.assign(tiles.limits), static_cast<int>(tiles.tiles.size())};
}

gpu::RowLists DeviceRowLists::assign(std::span<const std::int32_t> target) {
    std::map<std::int32_t, std::vector<std::int32_t>> lists;
    for (std::size_t i = 0; i < target.size(); ++i) lists[target[i]].push_back(static_cast<std::int32_t>(i));
    std::vector<std::int32_t> targets, first{0}, rows;
    for (const auto& [to, list] : lists) {
        targets.push_back(to);
        rows.insert(rows.end(), list.begin(), list.end());
        first.push_back(static_cast<std::int32_t>(rows.size()));
    }
    return {target_.assign(targets), first_.assign(first), rows_.assign(rows), static_cast<int>(targets.size())};
}

DeviceTransformer::Activations::Activations(gpu::Device& device)
    : qkv(device),
      mixed(device),
      attended(device),
      middle(device),
      gate_up(device),
      fed(device),
      input_rstd(device),
      lse(device),
      attended_rstd(device),
      middle_rstd(device),
      fed_rstd(device) {}

DeviceTransformer::DeviceTransformer(gpu::Device& device, const model::ModelSpec& spec, const model::Layout& layout,
                                     const bf16* weights, Recompute recompute)
    : device_(device),
      spec_(spec),
      layout_(layout),
      weights_(weights),
      recompute_(recompute),
      shared_(device),
      x_(device),
      normed_(device),
      inner_(device),
      top_rows_(device),
      top_(device),
      top_rstd_(device),
      tokens_(device),
      positions_(device),
      rows_(device),
      cosine_(device),
      sine_(device),
      dx_(device),
      d_rows_(device),
      d_block_(device),
      d_normed_(device),
      d_inner_(device),
      d_qkv_(device),
      d_mixed_(device),
      partials_(device),
      delta_(device),
      dq_(device),
      dk_(device),
      dv_(device),
      plan_memory_(device),
      lists_(device),
      key_tiles_(device),
      chunks_(device),
      parts_(device) {}

std::size_t DeviceTransformer::area(int rows, int columns) const {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
}

float DeviceTransformer::attention_scale() const {
    return spec_.attention_scale > 0 ? static_cast<float>(spec_.attention_scale)
                                     : 1.0F / std::sqrt(static_cast<float>(spec_.head_dim));
}

void DeviceTransformer::grow_rotary(int positions) {
    if (positions <= rotary_positions_) return;
    rotary_positions_ = (positions + 255) / 256 * 256;
    const auto frequencies = spec_.rotary_frequencies();
    std::vector<float> cosine, sine;
    for (int p = 0; p < rotary_positions_; ++p)
        for (const double frequency : frequencies) {
            cosine.push_back(static_cast<float>(std::cos(p * frequency)));
            sine.push_back(static_cast<float>(std::sin(p * frequency)));
        }
    rotary_ = {cosine_.assign(cosine), sine_.assign(sine), static_cast<int>(frequencies.size()),
               spec_.features().interleaved_rotary};
}

const bf16* DeviceTransformer::forward(const model::Forest& forest, std::span<const std::int32_t> rows,
                                       bool for_backward) {
    plan_.emplace(forest, for_backward);
    query_plan_ = plan_memory_.assign(plan_->queries());
    const auto attend = [&](int, const bf16* qkv, bf16* mixed, float* lse) {
        device_.run(gpu::Attend{mixed, lse, qkv, query_plan_, shape(), attention_scale(), nullptr, nullptr, nullptr});
    };
    return run(forest.tokens(), forest.positions(), rows, {{}, attend}, for_backward);
}

const bf16* DeviceTransformer::run(std::span<const std::int32_t> tokens, std::span<const std::int32_t> positions,
                                   std::span<const std::int32_t> rows, const PassAttention& attention,
                                   bool for_backward) {
    const int T = static_cast<int>(tokens.size()), R = static_cast<int>(rows.size());
    const int length = *std::max_element(positions.begin(), positions.end()) + 1;
    if (spec_.window > 0 && length > spec_.window)
        throw DataError(cat("a sequence of ", length, " tokens is longer than the model's sliding window of ",
                            spec_.window,
                            " (devices attend to all tokens, so the numbers would be others). Use shorter prompts or "
                            "answers, or run.device: cpu."));
    grow_rotary(length);
    if (for_backward) row_indices_.assign(rows.begin(), rows.end());
    tokens_.assign(tokens);
    positions_.assign(positions);
    device_.run(
        gpu::GatherRows{x_.resize(area(T, spec_.width)), at(layout_.embedding), tokens_.data(), T, spec_.width});
    if (for_backward) attention_ = attention;
    for (int l = 0; l < spec_.layers; ++l) {
        if (for_backward) {
            if (std::ssize(inputs_) == l) inputs_.emplace_back(device_);
            device_.copy(inputs_[static_cast<std::size_t>(l)].resize(area(T, spec_.width)), x_.data(),
                         area(T, spec_.width) * sizeof(bf16));
        }
        layer(l, T, attention, kept_of(for_backward ? l : 0), for_backward);
    }
    ledger::count(ledger::Work::flop, 2 * spec_.product_parameters() * T);
    bf16* top_rows = top_rows_.resize(area(R, spec_.width));
    device_.run(gpu::GatherRows{top_rows, x_.data(), rows_.assign(rows), R, spec_.width});
    norm(top_.resize(area(R, spec_.width)), top_rstd_.resize(area(R, 1)), top_rows, layout_.final_norm.weight, nullptr,
         R);
    return top_.data();
}

void DeviceTransformer::multiply(bf16* y, const bf16* x, std::int64_t weight, int rows, int out, int in, float beta) {
    device_.multiply({gpu::Product::nt, rows, out, in, x, in, at(weight), in, y, nullptr, out, beta});
}

void DeviceTransformer::norm(bf16* y, float* rstd, const bf16* x, std::int64_t weight, const bf16* residual, int rows) {
    device_.run(gpu::RmsNorm{y, rstd, x, at(weight), residual, rows, spec_.width, static_cast<float>(spec_.norm_eps)});
}

DeviceTransformer::Activations& DeviceTransformer::kept_of(int l) {
    if (recompute_ == Recompute::block) return shared_;
    while (std::ssize(layers_) <= l) layers_.emplace_back(device_);
    return layers_[static_cast<std::size_t>(l)];
}

gpu::Memory<bf16>& DeviceTransformer::gate_up_of(Activations& kept) {
    return recompute_ == Recompute::none ? kept.gate_up : shared_.gate_up;
}

/// The inner width of a feed-forward block, from the residual stream before it.
void DeviceTransformer::gate_up(int l, int rows, const bf16* middle, Activations& kept) {
    const model::Layer& at_layer = layout_.layers[static_cast<std::size_t>(l)];
    norm(normed_.data(), kept.middle_rstd.resize(area(rows, 1)), middle, at_layer.before_ffn.weight, nullptr, rows);
    multiply(gate_up_of(kept).resize(area(rows, 2 * spec_.ffn)), normed_.data(), at_layer.gate_up.weight, rows,
             2 * spec_.ffn, spec_.width);
}

void DeviceTransformer::layer(int l, int rows, const PassAttention& attention, Activations& kept, bool for_backward) {
    const model::Layer& at_layer = layout_.layers[static_cast<std::size_t>(l)];
    const std::size_t stream = area(rows, spec_.width);
    bf16* normed = normed_.resize(stream);
    bf16* qkv = kept.qkv.resize(area(rows, spec_.qkv_width()));
    bf16* mixed = kept.mixed.resize(area(rows, spec_.query_width()));
    bf16* inner = inner_.resize(area(rows, spec_.ffn));
    norm(normed, kept.input_rstd.resize(area(rows, 1)), x_.data(), at_layer.before_attention.weight, nullptr, rows);
    multiply(qkv, normed, at_layer.qkv.weight, rows, spec_.qkv_width(), spec_.width);
    const PageTarget pages = attention.pages ? attention.pages(l) : PageTarget{};
    device_.run(gpu::TurnHeads{qkv, at_layer.qkv.bias >= 0 ? at(at_layer.qkv.bias) : nullptr, positions_.data(),
                               rotary_, shape(), rows, pages.keys, pages.values, pages.places});
    attention.attend(l, qkv, mixed, kept.lse.resize(area(rows, spec_.heads)));
    add_block(mixed, at_layer.output.weight, at_layer.output.bias, at_layer.after_attention.weight, kept.attended,
              kept.attended_rstd, rows, spec_.query_width());
    if (for_backward) device_.copy(kept.middle.resize(stream), x_.data(), stream * sizeof(bf16));
    gate_up(l, rows, x_.data(), kept);
    device_.run(gpu::SwiGlu{inner, gate_up_of(kept).data(), rows, spec_.ffn});
    add_block(inner, at_layer.down.weight, -1, at_layer.after_ffn.weight, kept.fed, kept.fed_rstd, rows, spec_.ffn);
}

void DeviceTransformer::add_block(const bf16* in, std::int64_t weight, std::int64_t bias, std::int64_t norm_weight,
                                  gpu::Memory<bf16>& added, gpu::Memory<float>& added_rstd, int rows, int inner) {
    const bool normed = norm_weight >= 0;
    bf16* to = normed ? added.resize(area(rows, spec_.width)) : x_.data();
    multiply(to, in, weight, rows, spec_.width, inner, normed ? 0.0F : 1.0F);
    if (bias >= 0) device_.run(gpu::AddBias{to, at(bias), rows, spec_.width, false});
    if (normed) norm(x_.data(), added_rstd.resize(area(rows, 1)), to, norm_weight, x_.data(), rows);
}

}  // namespace tdrm::engine
