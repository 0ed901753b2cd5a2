#include "tdrm/model/transformer.hpp"

#include <algorithm>
#include <cstring>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/ledger.hpp"

namespace tdrm::model {
namespace {

std::size_t area(int rows, int columns) { return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns); }

}  // namespace

Transformer::Transformer(const Model& model)
    : model_(&model), kernels_(&ops::attention_kernels(model.products())), rotary_(model.spec()) {}

std::span<const std::int32_t> Transformer::lengths(const Forest& forest, Workspace& work) const {
    if (!rotary_.depends_on_length()) return {};
    tree_lengths(forest, work.lengths);
    return work.lengths;
}

const float* Transformer::forward(const Forest& forest, std::span<const std::int32_t> rows, Workspace& work,
                                  bool for_backward) {
    rotary_.prepare(forest.positions(), lengths(forest, work));
    const auto attend = [&](const Layer& layer, const float* qkv, float* mixed, float* lse) {
        kernels_->forward(mixed, lse, qkv, forest, layer.attention, work.attention);
    };
    return run(forest.tokens(), rows, {*model_, rotary_, work, forest.num_tokens(), for_backward, attend});
}

namespace {

/// Cuts the rows of a cached pass into tiles of consecutive tokens of one segment, and says what each sees.
void find_tiles(const KvCache& cache, std::span<const std::int32_t> segments, const ModelSpec& spec, int most,
                Workspace& work) {
    work.tiles.clear();
    work.runs.clear();
    const int T = static_cast<int>(segments.size());
    for (int first = 0, next = 0; first < T; first = next) {
        const auto slot = [&](int t) { return work.slot[static_cast<std::size_t>(t)]; };
        const std::int32_t segment = segments[static_cast<std::size_t>(first)];
        while (next < T && next - first < most && segments[static_cast<std::size_t>(next)] == segment) ++next;
        const auto seen = [&](int from) {
            const std::size_t first_run = work.runs.size();
            cache.visible(segment, slot(first), slot(next - 1), from, work.runs);
            return CachedTile::Seen{first_run, work.runs.size() - first_run};
        };
        CachedTile tile{first, next - first, seen(ops::AttentionShape::kAllSeen), {}};
        if (spec.window > 0) tile.window = seen(work.positions[static_cast<std::size_t>(first)] - spec.window + 1);
        work.tiles.push_back(tile);
    }
}

}  // namespace

std::span<const std::int32_t> Transformer::lengths(KvCache& cache, std::span<const std::int32_t> segments,
                                                   Workspace& work) const {
    if (!rotary_.depends_on_length()) return {};
    cached_lengths(cache, model_->spec().rope_scaling, segments, work.slot, work.positions, work.lengths);
    return work.lengths;
}

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
    rotary_.prepare(work.positions, lengths(cache, segments, work));
    find_tiles(cache, segments, model_->spec(), kernels_->tile_rows, work);
    const auto write = [&](const Layer& layer, const float* qkv, const CachedTile& tile) {
        const auto row = static_cast<std::size_t>(layer.attention.stride());
        for (auto t = static_cast<std::size_t>(tile.first); t < static_cast<std::size_t>(tile.first + tile.rows); ++t) {
            const int page = cache.page(segments[t], work.slot[t]);
            kernels_->write(cache.keys(layer.index, page), cache.values(layer.index, page), qkv + t * row,
                            work.slot[t] % ops::kPageTokens, layer.attention);
        }
    };
    const auto fetch = [&](const Layer& layer, const CachedTile& tile) {
        const auto t = static_cast<std::size_t>(tile.first);
        const int page = cache.page(segments[t], work.slot[t]);
        kernels_->fetch(cache.keys(layer.index, page), cache.values(layer.index, page), work.slot[t] % ops::kPageTokens,
                        layer.attention);
    };
    // Few pages stay in a processor's cache: a tile's last page is fetched two tiles ahead, and written to one tile
    // ahead, so that the writing is over when it is read.
    const auto attend = [&](const Layer& layer, const float* qkv, float* mixed, float*) {
        const auto row = static_cast<std::size_t>(layer.attention.stride());
        const std::size_t n = work.tiles.size();
        if (n > 0) write(layer, qkv, work.tiles[0]);
        for (std::size_t i = 0; i < n; ++i) {
            const CachedTile& tile = work.tiles[i];
            const CachedTile::Seen& seen = layer.attention.window > 0 ? tile.window : tile.all;
            if (i + 2 < n) fetch(layer, work.tiles[i + 2]);
            if (i + 1 < n) write(layer, qkv, work.tiles[i + 1]);
            kernels_->cached(mixed + area(tile.first, layer.output.inputs),
                             qkv + static_cast<std::size_t>(tile.first) * row, tile.rows,
                             std::span(work.runs).subspan(seen.first_run, seen.num_runs),
                             cache.layer_offset(layer.index), layer.attention, work.attention);
        }
    };
    return run(tokens, rows, {*model_, rotary_, work, static_cast<int>(T), false, attend});
}

namespace {

/// What the language head's logits are multiplied with; a value head reads the states as they are.
float top_scale(const ModelSpec& s) { return s.head == Head::language ? static_cast<float>(1 / s.logit_divisor) : 1; }

}  // namespace

const float* Transformer::run(std::span<const std::int32_t> tokens, std::span<const std::int32_t> rows,
                              const Pass& pass) {
    const ModelSpec& s = model_->spec();
    const Layout& layout = model_->layout();
    Workspace& work = pass.work;
    const std::size_t kept = pass.keep ? layout.layers.size() : 1;
    if (work.layers.size() < kept) work.layers.resize(kept);
    float* x = work.x.resize(area(pass.rows, s.width));
    ops::embed(x, model_->at(layout.embedding), tokens, s.width);
    if (s.embedding_scale != 1) ops::scale(x, static_cast<float>(s.embedding_scale), area(pass.rows, s.width));
    for (const Layer& layer : layout.layers)
        layer.forward(pass, x, work.layers[pass.keep ? static_cast<std::size_t>(layer.index) : 0]);
    ledger::count(ledger::Work::flop, 2 * s.product_parameters() * pass.rows);
    const int R = static_cast<int>(rows.size());
    float* top_rows = work.top_rows.resize(area(R, s.width));
    for (int r = 0; r < R; ++r)
        std::memcpy(top_rows + area(r, s.width), x + area(rows[static_cast<std::size_t>(r)], s.width),
                    area(1, s.width) * sizeof(float));
    float* top = work.top.resize(area(R, s.width));
    layout.final_norm.forward(*model_, top, work.top_rstd.resize(area(R, 1)), top_rows, R);
    if (top_scale(s) != 1) ops::scale(top, top_scale(s), area(R, s.width));
    return top;
}

void Transformer::backward(const Forest& forest, std::span<const std::int32_t> rows, const float* d_hidden,
                           float* gradient, Workspace& work) {
    const ModelSpec& s = model_->spec();
    const Layout& layout = model_->layout();
    const int T = forest.num_tokens();
    const int R = static_cast<int>(rows.size());
    if (top_scale(s) != 1) {
        float* scaled = work.d_top.resize(area(R, s.width));
        std::memcpy(scaled, d_hidden, area(R, s.width) * sizeof(float));
        ops::scale(scaled, top_scale(s), area(R, s.width));
        d_hidden = scaled;
    }
    // The residual stream's gradient, starting from the rows that the head read.
    float* d_rows = work.d_rows.resize(area(R, s.width));
    std::memset(d_rows, 0, area(R, s.width) * sizeof(float));
    layout.final_norm.backward(*model_, d_rows, d_hidden, work.top_rows.data(), work.top_rstd.data(), R, gradient);
    float* dx = work.dx.resize(area(T, s.width));
    std::memset(dx, 0, area(T, s.width) * sizeof(float));
    for (int r = 0; r < R; ++r) {
        float* to = dx + area(rows[static_cast<std::size_t>(r)], s.width);
        const float* from = d_rows + area(r, s.width);
        for (int i = 0; i < s.width; ++i) to[i] += from[i];
    }
    rotary_.prepare(forest.positions(), lengths(forest, work));
    const Pass pass{*model_, rotary_, work, T, true, {}, kernels_};
    for (std::size_t l = layout.layers.size(); l-- > 0;)
        layout.layers[l].backward(pass, forest, dx, work.layers[l], gradient);
    if (s.embedding_scale != 1) ops::scale(dx, static_cast<float>(s.embedding_scale), area(T, s.width));
    ops::embed_backward(gradient + layout.embedding, dx, forest.tokens(), s.width);
    ledger::count(ledger::Work::flop, 4 * s.product_parameters() * T);
}

}  // namespace tdrm::model
