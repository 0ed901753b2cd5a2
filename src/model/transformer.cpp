#include "tdrm/model/transformer.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/ledger.hpp"
#include "tdrm/base/random.hpp"

namespace tdrm::model {

Model::Model(const ModelSpec& spec) : spec_(spec), layout_(spec) {
    values_.resize(static_cast<std::size_t>(layout_.size));
}

void initial_weights(const ModelSpec& spec, std::uint64_t seed, const WeightSink& sink) {
    std::vector<float> values;
    for (const TensorInfo& tensor : Layout(spec).tensors) {
        const auto n = static_cast<std::size_t>(tensor.size());
        if (tensor.name.starts_with("score.") || tensor.name.ends_with(".bias")) {
            values.assign(n, 0.0F);
        } else if (tensor.is_vector()) {
            values.assign(n, 1.0F);
        } else {
            // Token vectors that are large beside what the layers add stay readable in every layer, so that tokens can
            // be compared: value models and policies learn such comparisons several times as fast.
            const bool embeds = tensor.name == "model.embed_tokens.weight";
            const double spread =
                embeds && !spec.tied ? 1.0 : 1.0 / std::sqrt(3.0 * static_cast<double>(tensor.shape[1]));
            Random random(random_key(seed, tensor.name));
            values.resize(n);
            for (float& value : values) value = static_cast<float>(spread * random.next_normal());
        }
        sink(tensor.offset, values);
    }
}

WeightSink Model::sink() {
    return [this](std::int64_t first, std::span<const float> values) {
        std::copy(values.begin(), values.end(), this->values().begin() + first);
    };
}

const ops::PackedMatrix& Model::packed(std::int64_t offset, int rows, int columns) const {
    Packed& packed = packed_[offset];
    if (packed.version != version_) {
        packed.matrix.pack(at(offset), rows, columns);
        packed.version = version_;
    }
    return packed.matrix;
}

namespace {

std::size_t area(int rows, int columns) { return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns); }

}  // namespace

ModelBytes model_bytes(const ModelSpec& s) {
    const auto packed = [](int rows, int columns) { return ops::PackedMatrix::bytes(rows, columns); };
    const double layer = packed(s.qkv_width(), s.width) + packed(s.width, s.query_width()) +
                         packed(2 * s.ffn, s.width) + packed(s.width, s.ffn);
    const double head = s.head == Head::language ? packed(s.vocab, s.width)
                        : s.value_head.hidden    ? packed(s.width, s.width)
                                                 : 0;
    return {static_cast<double>(Layout(s).size) * sizeof(float), s.layers * layer + head};
}

double workspace_bytes(const ModelSpec& s, double tokens, double rows, bool for_backward) {
    const double block = s.sandwich_norms() ? 2.0 * s.width + 2 : 0;  // attended, fed and their rstd
    // Of a layer: qkv, mixed, gate_up, lse and the rstd of two norms; the residual stream before and in the middle.
    const double layer = s.qkv_width() + s.query_width() + 2.0 * s.ffn + s.heads + 2 + block;
    const double kept = layer + 2.0 * s.width;
    const double shared = 2.0 * s.width + s.ffn;                                  // x, normed, inner
    const double backward = (s.sandwich_norms() ? 3.0 : 2.0) * s.width + s.ffn +  // dx, d_block, d_normed, d_inner
                            s.qkv_width() + s.query_width();                      // d_qkv, d_mixed
    const double of_token = shared + (for_backward ? s.layers * kept + backward : layer);
    const double of_row = (for_backward ? 4.0 : 2.0) * s.width + 1;  // top_rows, top; d_rows, d_hidden
    return (tokens * of_token + rows * of_row) * sizeof(float);
}

Transformer::Transformer(const Model& model)
    : model_(&model), rotary_(model.spec().rotary_frequencies(), model.spec().interleaved_rotary()) {}

ops::AttentionShape Transformer::attention_shape() const {
    return {model_->spec().heads, model_->spec().kv_heads, model_->spec().head_dim};
}

const float* Transformer::forward(const Forest& forest, std::span<const std::int32_t> rows, Workspace& work,
                                  bool for_backward) {
    const auto attend = [&](int, const float* qkv, float* mixed, float* lse) {
        ops::attention(mixed, lse, qkv, forest, attention_shape(), work.attention);
    };
    return run(forest.tokens(), forest.positions(), rows, attend, work, for_backward);
}

namespace {

/// Cuts the rows of a cached pass into tiles of consecutive tokens of one segment, and says what each sees.
void find_tiles(const KvCache& cache, std::span<const std::int32_t> segments, Workspace& work) {
    work.tiles.clear();
    work.runs.clear();
    const int T = static_cast<int>(segments.size());
    for (int first = 0, next = 0; first < T; first = next) {
        const auto slot = [&](int t) { return work.slot[static_cast<std::size_t>(t)]; };
        const std::int32_t segment = segments[static_cast<std::size_t>(first)];
        while (next < T && next - first < ops::kAttentionRows && segments[static_cast<std::size_t>(next)] == segment)
            ++next;
        const std::size_t first_run = work.runs.size();
        cache.visible(segment, slot(first), slot(next - 1), work.runs);
        work.tiles.push_back({first, next - first, first_run, work.runs.size() - first_run});
    }
}

}  // namespace

const float* Transformer::extend(KvCache& cache, std::span<const std::int32_t> tokens,
                                 std::span<const std::int32_t> segments, std::span<const std::int32_t> rows,
                                 Workspace& work) {
    const std::size_t T = tokens.size();
    work.positions.resize(T);
    work.slot.resize(T);
    for (std::size_t t = 0; t < T; ++t) {
        work.slot[t] = cache.extend(segments[t]);
        work.positions[t] = cache.base_position(segments[t]) + work.slot[t];
    }
    find_tiles(cache, segments, work);
    const auto shape = attention_shape();
    const auto row = static_cast<std::size_t>(shape.stride());
    const auto write = [&](int layer, const float* qkv, const CachedTile& tile) {
        for (auto t = static_cast<std::size_t>(tile.first); t < static_cast<std::size_t>(tile.first + tile.rows); ++t) {
            const int page = cache.page(segments[t], work.slot[t]);
            ops::write_page(cache.keys(layer, page), cache.values(layer, page), qkv + t * row,
                            work.slot[t] % ops::kPageTokens, shape);
        }
    };
    const auto fetch = [&](int layer, const CachedTile& tile) {
        const auto t = static_cast<std::size_t>(tile.first);
        const int page = cache.page(segments[t], work.slot[t]);
        ops::fetch_page(cache.keys(layer, page), cache.values(layer, page), work.slot[t] % ops::kPageTokens, shape);
    };
    // Few pages stay in a processor's cache: a tile's last page is fetched two tiles ahead, and written to one tile
    // ahead, so that the writing is over when it is read.
    const auto attend = [&](int layer, const float* qkv, float* mixed, float*) {
        const std::size_t n = work.tiles.size();
        if (n > 0) write(layer, qkv, work.tiles[0]);
        for (std::size_t i = 0; i < n; ++i) {
            const CachedTile& tile = work.tiles[i];
            if (i + 2 < n) fetch(layer, work.tiles[i + 2]);
            if (i + 1 < n) write(layer, qkv, work.tiles[i + 1]);
            ops::cached_attention(mixed + area(tile.first, shape.heads * shape.head_dim),
                                  qkv + static_cast<std::size_t>(tile.first) * row, tile.rows,
                                  std::span(work.runs).subspan(tile.first_run, tile.num_runs),
                                  cache.layer_offset(layer), shape, work.attention.scores);
        }
    };
    return run(tokens, work.positions, rows, attend, work, false);
}

const float* Transformer::run(std::span<const std::int32_t> tokens, std::span<const std::int32_t> positions,
                              std::span<const std::int32_t> rows, const Attend& attend, Workspace& work,
                              bool for_backward) {
    const ModelSpec& s = model_->spec();
    const int T = static_cast<int>(tokens.size());
    const auto eps = static_cast<float>(s.norm_eps);
    const int length = *std::max_element(positions.begin(), positions.end()) + 1;
    if (s.window > 0 && length > s.window)
        throw DataError(cat("a sequence of ", length, " tokens is longer than the model's sliding window of ", s.window,
                            " (tdrm attends to all tokens, so its numbers would be others). Use shorter prompts or "
                            "answers."));
    rotary_.grow(length);
    work.layers.resize(
        std::max<std::size_t>(work.layers.size(), for_backward ? static_cast<std::size_t>(s.layers) : 1));
    float* x = work.x.resize(area(T, s.width));
    float* normed = work.normed.resize(area(T, s.width));
    float* inner = work.inner.resize(area(T, s.ffn));
    ops::embed(x, model_->at(model_->layout().embedding), tokens, s.width);
    for (int l = 0; l < s.layers; ++l) {
        const LayerLayout& at = model_->layout().layers[static_cast<std::size_t>(l)];
        LayerActivations& kept = work.layers[for_backward ? static_cast<std::size_t>(l) : 0];
        float* qkv = kept.qkv.resize(area(T, s.qkv_width()));
        float* mixed = kept.mixed.resize(area(T, s.query_width()));
        float* gate_up = kept.gate_up.resize(area(T, 2 * s.ffn));
        if (for_backward) std::memcpy(kept.input.resize(area(T, s.width)), x, area(T, s.width) * sizeof(float));
        ops::rms_norm(normed, kept.input_rstd.resize(area(T, 1)), x, model_->at(at.input_norm), T, s.width, eps);
        ops::gemm_nt(qkv, normed, model_->packed(at.qkv, s.qkv_width(), s.width), T);
        if (at.qkv_bias >= 0) ops::add_bias(qkv, model_->at(at.qkv_bias), T, s.qkv_width());
        ops::rotate(qkv, rotary_, positions, s.heads + s.kv_heads, s.head_dim, s.qkv_width());
        attend(l, qkv, mixed, kept.lse.resize(area(T, s.heads)));
        add_block(x, mixed, at.output, at.output_bias, at.attention_norm, kept.attended, kept.attended_rstd, T,
                  s.query_width(), work);
        if (for_backward) std::memcpy(kept.middle.resize(area(T, s.width)), x, area(T, s.width) * sizeof(float));
        ops::rms_norm(normed, kept.middle_rstd.resize(area(T, 1)), x, model_->at(at.post_norm), T, s.width, eps);
        ops::gemm_nt(gate_up, normed, model_->packed(at.gate_up, 2 * s.ffn, s.width), T);
        ops::swiglu(inner, gate_up, T, s.ffn);
        add_block(x, inner, at.down, -1, at.ffn_norm, kept.fed, kept.fed_rstd, T, s.ffn, work);
    }
    ledger::count(ledger::Work::flop, 2 * s.product_parameters() * T);
    const int R = static_cast<int>(rows.size());
    float* top_rows = work.top_rows.resize(area(R, s.width));
    for (int r = 0; r < R; ++r)
        std::memcpy(top_rows + area(r, s.width), x + area(rows[static_cast<std::size_t>(r)], s.width),
                    area(1, s.width) * sizeof(float));
    float* top = work.top.resize(area(R, s.width));
    ops::rms_norm(top, work.top_rstd.resize(area(R, 1)), top_rows, model_->at(model_->layout().final_norm), R, s.width,
                  eps);
    return top;
}

void Transformer::add_block(float* x, const float* in, std::int64_t weight, std::int64_t bias, std::int64_t norm,
                            Floats& added, Floats& added_rstd, int rows, int inner, Workspace& work) const {
    const int width = model_->spec().width;
    if (norm < 0) {
        ops::gemm_nt(x, in, model_->packed(weight, width, inner), rows, 1);
        if (bias >= 0) ops::add_bias(x, model_->at(bias), rows, width);
        return;
    }
    float* block = added.resize(area(rows, width));
    ops::gemm_nt(block, in, model_->packed(weight, width, inner), rows);
    if (bias >= 0) ops::add_bias(block, model_->at(bias), rows, width);
    float* normed = work.normed.data();
    ops::rms_norm(normed, added_rstd.resize(area(rows, 1)), block, model_->at(norm), rows, width,
                  static_cast<float>(model_->spec().norm_eps));
    ops::add(x, normed, area(rows, width));
}

const float* Transformer::block_gradient(const float* dx, std::int64_t norm, const Floats& added,
                                         const Floats& added_rstd, int rows, float* gradient, Workspace& work) const {
    if (norm < 0) return dx;
    const int width = model_->spec().width;
    float* d_block = work.d_block.resize(area(rows, width));
    std::memset(d_block, 0, area(rows, width) * sizeof(float));
    ops::rms_norm_backward(d_block, gradient + norm, dx, added.data(), added_rstd.data(), model_->at(norm), rows,
                           width);
    return d_block;
}

void Transformer::backward(const Forest& forest, std::span<const std::int32_t> rows, const float* d_hidden,
                           float* gradient, Workspace& work) {
    const ModelSpec& s = model_->spec();
    const Layout& layout = model_->layout();
    const int T = forest.num_tokens();
    const int R = static_cast<int>(rows.size());
    // The residual stream's gradient, starting from the rows that the head read.
    float* d_rows = work.d_rows.resize(area(R, s.width));
    std::memset(d_rows, 0, area(R, s.width) * sizeof(float));
    ops::rms_norm_backward(d_rows, gradient + layout.final_norm, d_hidden, work.top_rows.data(), work.top_rstd.data(),
                           model_->at(layout.final_norm), R, s.width);
    float* dx = work.dx.resize(area(T, s.width));
    std::memset(dx, 0, area(T, s.width) * sizeof(float));
    for (int r = 0; r < R; ++r) {
        float* to = dx + area(rows[static_cast<std::size_t>(r)], s.width);
        const float* from = d_rows + area(r, s.width);
        for (int i = 0; i < s.width; ++i) to[i] += from[i];
    }
    float* normed = work.normed.data();
    float* inner = work.inner.data();
    float* d_normed = work.d_normed.resize(area(T, s.width));
    float* d_inner = work.d_inner.resize(area(T, s.ffn));
    float* d_qkv = work.d_qkv.resize(area(T, s.qkv_width()));
    float* d_mixed = work.d_mixed.resize(area(T, s.query_width()));
    for (int l = s.layers - 1; l >= 0; --l) {
        const LayerLayout& at = layout.layers[static_cast<std::size_t>(l)];
        LayerActivations& kept = work.layers[static_cast<std::size_t>(l)];
        // Feed-forward: x = middle + down(swiglu(gate_up(norm(middle)))).
        const float* d_fed = block_gradient(dx, at.ffn_norm, kept.fed, kept.fed_rstd, T, gradient, work);
        ops::swiglu(inner, kept.gate_up.data(), T, s.ffn);
        ops::gemm_tn(gradient + at.down, d_fed, inner, T, s.width, s.ffn);
        ops::gemm_nn(d_inner, d_fed, model_->at(at.down), T, s.width, s.ffn);
        ops::swiglu_backward(kept.gate_up.data(), d_inner, T, s.ffn);
        ops::rms_norm_again(normed, kept.middle.data(), kept.middle_rstd.data(), model_->at(at.post_norm), T, s.width);
        ops::gemm_tn(gradient + at.gate_up, kept.gate_up.data(), normed, T, 2 * s.ffn, s.width);
        ops::gemm_nn(d_normed, kept.gate_up.data(), model_->at(at.gate_up), T, 2 * s.ffn, s.width);
        ops::rms_norm_backward(dx, gradient + at.post_norm, d_normed, kept.middle.data(), kept.middle_rstd.data(),
                               model_->at(at.post_norm), T, s.width);
        // Attention: middle = input + output(attention(rotate(qkv(norm(input))))).
        const float* d_attended =
            block_gradient(dx, at.attention_norm, kept.attended, kept.attended_rstd, T, gradient, work);
        ops::gemm_tn(gradient + at.output, d_attended, kept.mixed.data(), T, s.width, s.query_width());
        if (at.output_bias >= 0) ops::add_bias_backward(gradient + at.output_bias, d_attended, T, s.width);
        ops::gemm_nn(d_mixed, d_attended, model_->at(at.output), T, s.width, s.query_width());
        ops::attention_backward(d_qkv, d_mixed, kept.mixed.data(), kept.lse.data(), kept.qkv.data(), forest,
                                attention_shape(), work.attention);
        ops::rotate(d_qkv, rotary_, forest.positions(), s.heads + s.kv_heads, s.head_dim, s.qkv_width(), -1);
        ops::rms_norm_again(normed, kept.input.data(), kept.input_rstd.data(), model_->at(at.input_norm), T, s.width);
        ops::gemm_tn(gradient + at.qkv, d_qkv, normed, T, s.qkv_width(), s.width);
        if (at.qkv_bias >= 0) ops::add_bias_backward(gradient + at.qkv_bias, d_qkv, T, s.qkv_width());
        ops::gemm_nn(d_normed, d_qkv, model_->at(at.qkv), T, s.qkv_width(), s.width);
        ops::rms_norm_backward(dx, gradient + at.input_norm, d_normed, kept.input.data(), kept.input_rstd.data(),
                               model_->at(at.input_norm), T, s.width);
    }
    ops::embed_backward(gradient + layout.embedding, dx, forest.tokens(), s.width);
    ledger::count(ledger::Work::flop, 4 * s.product_parameters() * T);
}

void token_logits(const Model& model, const float* hidden, int rows, float* logits) {
    const ModelSpec& s = model.spec();
    ops::gemm_nt(logits, hidden, model.packed(model.layout().head, s.vocab, s.width), rows);
    ledger::count(ledger::Work::flop, 2.0 * s.vocab * s.width * rows);
}

namespace {

constexpr int kHeadChunk = 512;  ///< rows of logits held at once

/// Calls body(first row, rows) with the chunk's logits in work.logits.
template <class Body>
void for_logit_chunks(const Model& model, const float* hidden, int rows, Workspace& work, Body&& body) {
    const ModelSpec& s = model.spec();
    for (int first = 0; first < rows; first += kHeadChunk) {
        const int count = std::min(kHeadChunk, rows - first);
        float* logits = work.logits.resize(area(count, s.vocab));
        token_logits(model, hidden + area(first, s.width), count, logits);
        body(first, count, logits);
    }
}

}  // namespace

double head_bytes(const ModelSpec& spec, double rows) {
    return spec.head == Head::language ? std::min<double>(rows, kHeadChunk) * spec.vocab * sizeof(float) : 0;
}

void token_logprobs(const Model& model, const float* hidden, std::span<const std::int32_t> targets, float temperature,
                    float* logp, float* entropy, Workspace& work) {
    for_logit_chunks(
        model, hidden, static_cast<int>(targets.size()), work, [&](int first, int count, const float* logits) {
            ops::log_softmax(logp + first, entropy + first, logits,
                             targets.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)),
                             model.spec().vocab, temperature);
        });
}

void token_loss(const Model& model, const float* hidden, std::span<const std::int32_t> targets, float temperature,
                const TokenLoss& loss, float* d_hidden, float* gradient, Workspace& work) {
    const ModelSpec& s = model.spec();
    float* logp = work.logp.resize(kHeadChunk);
    float* entropy = work.entropy.resize(kHeadChunk);
    float* coefficient = work.coefficient.resize(kHeadChunk);
    for_logit_chunks(model, hidden, static_cast<int>(targets.size()), work, [&](int first, int count, float* logits) {
        const auto chunk = targets.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
        ops::log_softmax(logp, entropy, logits, chunk, s.vocab, temperature);
        for (int r = 0; r < count; ++r) coefficient[r] = loss(first + r, logp[r], entropy[r]);
        ops::log_softmax_backward(logits, logp, coefficient, chunk, s.vocab, temperature);
        ops::gemm_nn(d_hidden + area(first, s.width), logits, model.at(model.layout().head), count, s.vocab, s.width);
        ops::gemm_tn(gradient + model.layout().head, logits, hidden + area(first, s.width), count, s.vocab, s.width);
        ledger::count(ledger::Work::flop, 4.0 * s.vocab * s.width * count);
    });
}

}  // namespace tdrm::model
