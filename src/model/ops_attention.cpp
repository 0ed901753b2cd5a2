// Attention kernels. Keys are packed in blocks of 16 as [H][16], so that one instruction scores 16 keys; a tile of
// query rows shares each load. The same block layout is the page of the key/value cache, so that a forest and a cache
// are attended to alike: as runs of keys (KeyRun).
#include <algorithm>
#include <cmath>
#include <cstring>

#include "tdrm/model/ops.hpp"
#include "tile.hpp"

namespace tdrm::model::ops {

using namespace simd;

namespace {

constexpr float kMasked = -3.0e38F;

/// Rows of a matrix, or of one head of it, `stride` floats apart.
template <class Float>
struct Rows {
    Float* data;
    std::ptrdiff_t stride;
    [[nodiscard]] Float* row(int r) const { return data + r * stride; }
};

int blocks_of(int tokens) { return (tokens + kLanes - 1) / kLanes; }

int count_columns(std::span<const KeyRun> runs) {
    int columns = 0;
    for (const KeyRun& run : runs) columns += blocks_of(run.count) * kLanes;
    return columns;
}

/// scores[r][column] = q[r] . key, with the runs' blocks one behind another and `offset` floats behind where they say.
void score_rows(float* scores, int columns, Rows<const float> q, int rows, std::span<const KeyRun> runs,
                std::ptrdiff_t offset, int head_dim) {
    const std::ptrdiff_t block = std::ptrdiff_t{head_dim} * kLanes;
    for (const KeyRun& run : runs) {
        const int width = blocks_of(run.count) * kLanes;
        multiply_rows(rows, scores, columns, q.data, q.stride, {run.keys + offset, kLanes, block}, head_dim, width, 0);
        scores += width;
    }
}

/// out[r][0..H) = sum over keys of weight[r][key] * vector[key], the vectors `offset` floats behind the runs' values.
void mix_rows(Rows<float> out, const float* weights, int columns, int rows, std::span<const KeyRun> runs,
              std::ptrdiff_t offset, std::ptrdiff_t stride, int head_dim) {
    float beta = 0;
    for (const KeyRun& run : runs) {
        multiply_rows(rows, out.data, out.stride, weights, columns, {run.values + offset, stride}, run.count, head_dim,
                      beta);
        weights += blocks_of(run.count) * kLanes;
        beta = 1;
    }
}

/// grad[key][0..H) += sum_r weight[r][key] * row[r][0..H): the transposed product, for the gradients of keys and
/// values.
void spread_rows(float* grad, std::ptrdiff_t stride, const float* weights, int columns, Rows<const float> from,
                 int rows, int num_keys, int head_dim) {
    for (int h = 0; h < head_dim; h += kLanes) {
        const int left = head_dim - h;
        Vec held[kAttentionRows];
        for (int r = 0; r < rows; ++r) held[r] = load_some(from.row(r) + h, left);
        for (int k = 0; k < num_keys; ++k) {
            float* at = grad + k * stride + h;
            Vec total = load_some(at, left);
            for (int r = 0; r < rows; ++r) total += held[r] * weights[r * std::ptrdiff_t{columns} + k];
            store_some(at, total, left);
        }
    }
}

/// Scales the scores of row r of a tile and masks what it doesn't see; returns the highest.
float mask_row(float* row, int r, std::span<const KeyRun> runs, float scale) {
    const IntVec lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    Vec highest = broadcast(kMasked);
    for (const KeyRun& run : runs) {
        const int seen = std::min(run.count, run.seen + r);
        for (int first = 0; first < run.count; first += kLanes, row += kLanes) {
            Vec scaled = load(row) * scale;
            if (seen - first < kLanes) scaled = lane < seen - first ? scaled : broadcast(kMasked);
            store(row, scaled);
            highest = max(highest, scaled);
        }
    }
    return max(highest);
}

/// What the scores of a row were divided by: the softmax is exp(score - top) / mass.
struct SoftmaxScale {
    float top, mass;
};

/// Replaces row r's scores by their softmax.
SoftmaxScale softmax_row(float* row, int r, int columns, std::span<const KeyRun> runs, float scale) {
    const float top = mask_row(row, r, runs, scale);
    Vec total{};
    for (int c = 0; c < columns; c += kLanes) {
        const Vec e = exp(load(row + c) - top);
        store(row + c, e);
        total += e;
    }
    const float mass = sum(total);
    const float inverse = 1.0F / mass;
    for (int c = 0; c < columns; c += kLanes) store(row + c, load(row + c) * inverse);
    return {top, mass};
}

/// A tile's attention to its runs, one head: out, and lse (if wanted) as rows of one float.
void attend(Rows<float> out, Rows<float> lse, Rows<const float> q, int rows, std::span<const KeyRun> runs,
            std::ptrdiff_t offset, std::ptrdiff_t value_stride, int head_dim, Floats& scratch) {
    const int columns = count_columns(runs);
    const float scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
    float* scores = scratch.resize(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
    score_rows(scores, columns, q, rows, runs, offset, head_dim);
    for (int r = 0; r < rows; ++r) {
        const auto [top, mass] = softmax_row(scores + r * std::ptrdiff_t{columns}, r, columns, runs, scale);
        if (lse.data != nullptr) *lse.row(r) = top + std::log(mass);
    }
    mix_rows(out, scores, columns, rows, runs, offset, value_stride, head_dim);
}

/// Packs rows (one head of q|k|v rows) into blocks [block][H][16]; missing rows are zero.
float* pack_blocks(float* blocks, Rows<const float> rows, int num_rows, int head_dim) {
    for (int first = 0; first < num_rows; first += kLanes, blocks += head_dim * kLanes) {
        const int count = std::min(kLanes, num_rows - first);
        if (count < kLanes) std::memset(blocks, 0, sizeof(float) * static_cast<std::size_t>(head_dim * kLanes));
        for (int k = 0; k < count; ++k)
            for (int h = 0; h < head_dim; ++h) blocks[h * kLanes + k] = rows.row(first + k)[h];
    }
    return blocks;
}

/// One key head of a forest: its keys packed, and behind them its values if they are scored too (the backward pass).
class ForestHead {
public:
    ForestHead(const Forest& forest, const float* keys, std::ptrdiff_t value_offset, std::ptrdiff_t stride,
               int head_dim, bool with_values, AttentionScratch& scratch)
        : forest_(forest), values_(keys + value_offset), stride_(stride), head_dim_(head_dim), scratch_(scratch) {
        scratch.first_block.resize(forest.segments().size());
        int blocks = 0;
        for (std::size_t s = 0; s < forest.segments().size(); ++s) {
            scratch.first_block[s] = blocks;
            blocks += blocks_of(forest.segments()[s].length);
        }
        packed_values_ = static_cast<std::ptrdiff_t>(blocks) * head_dim * kLanes;
        float* to = scratch.blocks.resize(static_cast<std::size_t>(packed_values_ * (with_values ? 2 : 1)));
        to = pack(to, keys);
        if (with_values) pack(to, values_);
    }

    /// From a run's packed keys to its packed values.
    [[nodiscard]] std::ptrdiff_t packed_values() const { return packed_values_; }

    /// Calls body(first token of the tile, rows, runs) for all tiles of query rows.
    template <class Body>
    void for_tiles(Body&& body) const {
        for (int s = 0; s < static_cast<int>(forest_.segments().size()); ++s) {
            const Segment& segment = forest_.segments()[static_cast<std::size_t>(s)];
            forest_.visible(s, scratch_.ranges);
            scratch_.runs.clear();
            for (const VisibleRange& range : scratch_.ranges)
                scratch_.runs.push_back(run(range.segment, range.count, range.count));
            for (int first = 0; first < segment.length; first += kAttentionRows) {
                const int rows = std::min(kAttentionRows, segment.length - first);
                scratch_.runs.push_back(run(s, first + rows, first + 1));
                body(segment.begin + first, rows, std::span<const KeyRun>(scratch_.runs));
                scratch_.runs.pop_back();
            }
        }
    }

private:
    float* pack(float* to, const float* rows) const {
        for (const Segment& segment : forest_.segments())
            to = pack_blocks(to, {rows + segment.begin * stride_, stride_}, segment.length, head_dim_);
        return to;
    }
    [[nodiscard]] KeyRun run(int segment, int count, int seen) const {
        const auto s = static_cast<std::size_t>(segment);
        const std::ptrdiff_t block = std::ptrdiff_t{scratch_.first_block[s]} * head_dim_ * kLanes;
        return {scratch_.blocks.data() + block, values_ + forest_.segments()[s].begin * stride_, count, seen};
    }

    const Forest& forest_;
    const float* values_;
    std::ptrdiff_t stride_;
    int head_dim_;
    std::ptrdiff_t packed_values_;
    AttentionScratch& scratch_;
};

}  // namespace

void attention(float* out, float* lse, const float* qkv, const Forest& forest, const AttentionShape& shape,
               AttentionScratch& scratch) {
    const int H = shape.head_dim;
    const std::ptrdiff_t stride = shape.stride();
    const std::ptrdiff_t out_stride = shape.heads * H;
    const int group = shape.heads / shape.kv_heads;
    for (int kv = 0; kv < shape.kv_heads; ++kv) {
        const ForestHead keys(forest, qkv + (shape.heads + kv) * H, shape.kv_heads * H, stride, H, false, scratch);
        keys.for_tiles([&](int token, int rows, std::span<const KeyRun> runs) {
            for (int head = kv * group; head < (kv + 1) * group; ++head)
                attend({out + token * out_stride + head * H, out_stride},
                       {lse + std::ptrdiff_t{token} * shape.heads + head, shape.heads},
                       {qkv + token * stride + head * H, stride}, rows, runs, 0, stride, H, scratch.scores);
        });
    }
}

namespace {

/// p = softmax of the scores p, ds = p * (ds - out . dout) * scale, for row r of a tile.
void softmax_backward_row(float* p, float* ds, int r, std::span<const KeyRun> runs, int columns, float log_mass,
                          const float* out, const float* dout, int head_dim, float scale) {
    mask_row(p, r, runs, scale);
    Vec products{};
    for (int h = 0; h < head_dim; h += kLanes)
        products += load_some(out + h, head_dim - h) * load_some(dout + h, head_dim - h);
    const float delta = sum(products);
    for (int c = 0; c < columns; c += kLanes) {
        const Vec probability = exp(load(p + c) - log_mass);
        store(p + c, probability);
        store(ds + c, probability * (load(ds + c) - delta) * scale);
    }
}

}  // namespace

void attention_backward(float* dqkv, const float* dout, const float* out, const float* lse, const float* qkv,
                        const Forest& forest, const AttentionShape& shape, AttentionScratch& scratch) {
    const int H = shape.head_dim;
    const std::ptrdiff_t stride = shape.stride();
    const std::ptrdiff_t out_stride = shape.heads * H;
    const int group = shape.heads / shape.kv_heads;
    const std::ptrdiff_t value_offset = shape.kv_heads * H;
    const float scale = 1.0F / std::sqrt(static_cast<float>(H));
    std::memset(dqkv, 0, sizeof(float) * static_cast<std::size_t>(forest.num_tokens() * stride));
    for (int kv = 0; kv < shape.kv_heads; ++kv) {
        const ForestHead keys(forest, qkv + (shape.heads + kv) * H, value_offset, stride, H, true, scratch);
        const auto tile = [&](int token, int rows, std::span<const KeyRun> runs, int head) {
            const int columns = count_columns(runs);
            const auto area = static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
            float* p = scratch.scores.resize(area);
            float* ds = scratch.gradients.resize(area);
            const Rows<const float> q{qkv + token * stride + head * H, stride};
            const Rows<const float> g{dout + token * out_stride + head * H, out_stride};
            score_rows(p, columns, q, rows, runs, 0, H);
            score_rows(ds, columns, g, rows, runs, keys.packed_values(), H);
            for (int r = 0; r < rows; ++r)
                softmax_backward_row(p + r * std::ptrdiff_t{columns}, ds + r * std::ptrdiff_t{columns}, r, runs,
                                     columns, lse[std::ptrdiff_t{token + r} * shape.heads + head],
                                     out + (token + r) * out_stride + head * H, g.row(r), H, scale);
            mix_rows({dqkv + token * stride + head * H, stride}, ds, columns, rows, runs, -value_offset, stride, H);
            int column = 0;
            for (const KeyRun& run : runs) {
                float* d_values = dqkv + (run.values - qkv);
                spread_rows(d_values - value_offset, stride, ds + column, columns, q, rows, run.count, H);
                spread_rows(d_values, stride, p + column, columns, g, rows, run.count, H);
                column += blocks_of(run.count) * kLanes;
            }
        };
        keys.for_tiles([&](int token, int rows, std::span<const KeyRun> runs) {
            for (int head = kv * group; head < (kv + 1) * group; ++head) tile(token, rows, runs, head);
        });
    }
}

void write_page(float* key_page, float* value_page, const float* qkv_row, int index, const AttentionShape& shape) {
    const int H = shape.head_dim;
    const float* k = qkv_row + shape.heads * H;
    const float* v = k + shape.kv_heads * H;
    for (int kv = 0; kv < shape.kv_heads; ++kv) {
        for (int h = 0; h < H; ++h) key_page[(kv * H + h) * kPageTokens + index] = k[kv * H + h];
        float* value = value_page + (kv * kPageTokens + index) * H;
        for (int h = 0; h < H; h += kLanes) store_some(value + h, load_some(v + kv * H + h, H - h), H - h);
    }
}

namespace {

/// One token's attention. The query heads that share a key head are a tile and all see the same. The heads' scores are
/// computed one after another, then their softmax, then their sums, so that the processor works on several at once.
void attend_row(float* out, const float* q, std::span<const KeyRun> runs, std::ptrdiff_t offset,
                const AttentionShape& shape, Floats& scratch) {
    const int H = shape.head_dim;
    const int group = shape.heads / shape.kv_heads;
    const std::ptrdiff_t head_page = std::ptrdiff_t{H} * kPageTokens;
    const int columns = count_columns(runs);
    const std::ptrdiff_t group_scores = std::ptrdiff_t{group} * columns;
    float* scores = scratch.resize(static_cast<std::size_t>(shape.kv_heads * group_scores));
    for (int kv = 0; kv < shape.kv_heads; ++kv)
        score_rows(scores + kv * group_scores, columns, {q + kv * group * H, H}, group, runs, offset + kv * head_page,
                   H);
    for (int head = 0; head < shape.heads; ++head)
        softmax_row(scores + head * std::ptrdiff_t{columns}, 0, columns, runs, 1.0F / std::sqrt(static_cast<float>(H)));
    for (int kv = 0; kv < shape.kv_heads; ++kv)
        mix_rows({out + kv * group * H, H}, scores + kv * group_scores, columns, group, runs, offset + kv * head_page,
                 H, H);
}

}  // namespace

void cached_attention(float* out, const float* qkv, int rows, std::span<const KeyRun> runs, std::ptrdiff_t offset,
                      const AttentionShape& shape, Floats& scratch) {
    if (rows == 1) return attend_row(out, qkv, runs, offset, shape, scratch);
    const int H = shape.head_dim;
    const int group = shape.heads / shape.kv_heads;
    for (int head = 0; head < shape.heads; ++head)
        attend({out + head * H, shape.heads * H}, {nullptr, 0}, {qkv + head * H, shape.stride()}, rows, runs,
               offset + head / group * std::ptrdiff_t{H} * kPageTokens, H, H, scratch);
}

}  // namespace tdrm::model::ops
