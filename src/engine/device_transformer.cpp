#include "device_transformer.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/ledger.hpp"
#include "tdrm/model/rotary.hpp"

namespace tdrm::engine {

using gpu::bf16;

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
}

gpu::QueryPlan DeviceQueryPlan::assign(const QueryTiles& tiles) {
    return {tiles_.assign(tiles.tiles), ranges_.assign(tiles.ranges), row_of_.assign(tiles.row_of),
            seen_.assign(tiles.seen), static_cast<int>(tiles.tiles.size())};
}

void DeviceForestPlan::assign(const model::Forest& forest, bool for_backward, int window) {
    const AttentionPlan plan(forest, for_backward, window);
    queries_ = queries_memory_.assign(plan.queries());
    if (!for_backward) return;
    key_tiles_.assign(plan.key_tiles());
    chunks_.assign(plan.chunks());
    parts_.assign(plan.parts());
    num_key_tiles_ = static_cast<int>(plan.key_tiles().size());
    num_chunks_ = static_cast<int>(plan.chunks().size());
    num_shares_ = plan.num_shares();
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
      heads(device),
      mixed(device),
      attended(device),
      middle(device),
      gate_up(device),
      fed(device),
      input_rstd(device),
      heads_rstd(device),
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
      rows_(device),
      rotary_(device, spec),
      plan_(device),
      window_plan_(device),
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
      lists_(device) {}

std::size_t DeviceTransformer::area(int rows, int columns) const {
    return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
}

const DeviceForestPlan& DeviceTransformer::plan_of(const model::Layer& layer) const {
    return windowed_ && layer.attention.window > 0 ? window_plan_ : plan_;
}

const bf16* DeviceTransformer::forward(const model::Forest& forest, std::span<const std::int32_t> rows,
                                       bool for_backward) {
    plan_.assign(forest, for_backward, 0);
    const auto& positions = forest.positions();
    windowed_ = spec_.window > 0 && *std::max_element(positions.begin(), positions.end()) >= spec_.window;
    if (windowed_) window_plan_.assign(forest, for_backward, spec_.window);
    if (depends_on_length()) model::tree_lengths(forest, lengths_);
    const auto attend = [this](const model::Layer& layer, const bf16* qkv, bf16* mixed, float* lse) {
        device_.run(gpu::Attend{mixed, lse, qkv, plan_of(layer).queries(), shape(), layer.attention.score_scale(),
                                nullptr, nullptr, nullptr});
    };
    return run({forest.tokens(), positions, lengths_}, rows, {{}, attend}, for_backward);
}

const bf16* DeviceTransformer::run(const PassTokens& of, std::span<const std::int32_t> rows,
                                   const PassAttention& attention, bool for_backward) {
    const int T = static_cast<int>(of.tokens.size()), R = static_cast<int>(rows.size());
    rotary_.prepare(of.positions, of.lengths);
    if (for_backward) row_indices_.assign(rows.begin(), rows.end());
    tokens_.assign(of.tokens);
    device_.run(gpu::GatherRows{x_.resize(area(T, spec_.width)), at(layout_.embedding), tokens_.data(), T, spec_.width,
                                static_cast<float>(spec_.embedding_scale)});
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
    norm(top_.resize(area(R, spec_.width)), top_rstd_.resize(area(R, 1)), top_rows, layout_.final_norm, nullptr, R);
    return top_.data();
}

void DeviceTransformer::multiply(bf16* y, const bf16* x, const model::Linear& linear, int rows, float beta,
                                 float alpha) {
    device_.multiply({gpu::Product::nt, rows, linear.outputs, linear.inputs, x, linear.inputs, at(linear.weight),
                      linear.inputs, y, nullptr, linear.outputs, beta, alpha});
}

void DeviceTransformer::norm(bf16* y, float* rstd, const bf16* x, const model::Norm& norm, const bf16* residual,
                             int rows) {
    device_.run(gpu::RmsNorm{y, rstd, x, at(norm.weight), residual, rows, norm.width, norm.eps, norm.add});
}

const bf16* DeviceTransformer::block_input(const model::Norm& before, const bf16* x, float* rstd, int rows) {
    if (!before.exists()) return x;
    bf16* normed = normed_.resize(area(rows, spec_.width));
    norm(normed, rstd, x, before, nullptr, rows);
    return normed;
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
    const bf16* in = block_input(at_layer.before_ffn, middle, kept.middle_rstd.resize(area(rows, 1)), rows);
    multiply(gate_up_of(kept).resize(area(rows, 2 * spec_.ffn)), in, at_layer.gate_up, rows);
}

std::array<DeviceTransformer::HeadsOfRows, 2> DeviceTransformer::heads_of(const model::Layer& layer, int rows) const {
    const int queries = spec_.query_width() / layer.query_norm.width, keys = spec_.kv_width() / layer.key_norm.width;
    return {{{layer.query_norm, 0, 0, queries},
             {layer.key_norm, static_cast<std::size_t>(spec_.query_width()), area(rows, queries), keys}}};
}

/// Queries and keys go to `heads`, and normed to q | k | v; values go there at once.
void DeviceTransformer::norm_heads(const model::Layer& layer, int rows, Activations& kept) {
    const int width = spec_.query_width() + spec_.kv_width(), pitch = spec_.qkv_width();
    const std::array heads = heads_of(layer, rows);
    float* rstd = kept.heads_rstd.resize(area(rows, heads[0].pieces + heads[1].pieces));
    for (const HeadsOfRows& part : heads)
        device_.run(gpu::RmsNorm{kept.qkv.data() + part.at,
                                 rstd + part.first_rstd,
                                 kept.heads.data() + part.at,
                                 at(part.norm.weight),
                                 nullptr,
                                 rows * part.pieces,
                                 part.norm.width,
                                 part.norm.eps,
                                 part.norm.add,
                                 {part.pieces, pitch},
                                 {part.pieces, width}});
}

void DeviceTransformer::project(const model::Layer& layer, int rows, const bf16* in, Activations& kept,
                                const PageTarget& pages) {
    const model::Linear& qkv = layer.qkv;
    bf16* to = kept.qkv.resize(area(rows, qkv.outputs));
    const bf16* bias = qkv.bias >= 0 ? at(qkv.bias) : nullptr;
    if (layer.query_norm.exists()) {
        const int width = spec_.query_width() + spec_.kv_width(), values = spec_.kv_width();
        bf16* heads = kept.heads.resize(area(rows, width));
        multiply(heads, in, {qkv.weight, -1, width, qkv.inputs}, rows);
        device_.multiply({gpu::Product::nt, rows, values, qkv.inputs, in, qkv.inputs,
                          at(qkv.weight) + area(width, qkv.inputs), qkv.inputs, to + width, nullptr, qkv.outputs, 0});
        if (bias != nullptr) {
            device_.run(gpu::AddBias{heads, bias, rows, width});
            device_.run(gpu::AddBias{to + width, bias + width, rows, values, false, 1, {1, qkv.outputs}});
            bias = nullptr;
        }
        norm_heads(layer, rows, kept);
    } else {
        multiply(to, in, qkv, rows);
    }
    device_.run(
        gpu::TurnHeads{to, bias, rotary_.of(layer.turning), shape(), rows, pages.keys, pages.values, pages.places});
}

void DeviceTransformer::layer(int l, int rows, const PassAttention& attention, Activations& kept, bool for_backward) {
    const model::Layer& at_layer = layout_.layers[static_cast<std::size_t>(l)];
    const std::size_t stream = area(rows, spec_.width);
    bf16* mixed = kept.mixed.resize(area(rows, spec_.query_width()));
    bf16* inner = inner_.resize(area(rows, spec_.ffn));
    const bf16* in = block_input(at_layer.before_attention, x_.data(), kept.input_rstd.resize(area(rows, 1)), rows);
    project(at_layer, rows, in, kept, attention.pages ? attention.pages(l) : PageTarget{});
    attention.attend(at_layer, kept.qkv.data(), mixed, kept.lse.resize(area(rows, spec_.heads)));
    add_block(mixed, at_layer.output, at_layer.after_attention, at_layer.residual_scale, kept.attended,
              kept.attended_rstd, rows);
    if (for_backward) device_.copy(kept.middle.resize(stream), x_.data(), stream * sizeof(bf16));
    gate_up(l, rows, x_.data(), kept);
    device_.run(gpu::Gate{inner, gate_up_of(kept).data(), rows, spec_.ffn,
                          at_layer.activation == model::Activation::gelu_tanh});
    add_block(inner, at_layer.down, at_layer.after_ffn, at_layer.residual_scale, kept.fed, kept.fed_rstd, rows);
}

void DeviceTransformer::add_block(const bf16* in, const model::Linear& last, const model::Norm& after, float scale,
                                  gpu::Memory<bf16>& added, gpu::Memory<float>& added_rstd, int rows) {
    ensure(!after.exists() || scale == 1, "no family scales what it has normed");
    bf16* to = after.exists() ? added.resize(area(rows, spec_.width)) : x_.data();
    multiply(to, in, last, rows, after.exists() ? 0.0F : 1.0F, scale);
    if (last.bias >= 0) device_.run(gpu::AddBias{to, at(last.bias), rows, spec_.width, false, scale});
    if (after.exists()) norm(x_.data(), added_rstd.resize(area(rows, 1)), to, after, x_.data(), rows);
}

}  // namespace tdrm::engine
