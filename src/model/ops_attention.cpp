// Attention kernels. Keys are packed in groups of four as [H / 4][4][4]: a vector holds four numbers of four keys, so
// that adding a key changes few cache lines, and no more keys are read than there are. A tile of query rows shares each
// load. The pages of the key/value cache hold such groups too, so that a forest and a cache are attended to alike: as
// runs of keys (KeyRun).
#include <algorithm>
#include <cmath>
#include <cstring>

#include "attention_rows.hpp"
#include "tdrm/model/bf16_attention.hpp"
#include "tile.hpp"

namespace tdrm::model::ops {

namespace {

int groups_of(int keys) { return (keys + kKeyGroup - 1) / kKeyGroup; }

#ifdef __AVX512F__
constexpr int kScoreRows = 4;
#else
constexpr int kScoreRows = 1;  // four rows' sums don't fit into the registers
#endif

/// scores[r][0..16) = q[r] . key for R rows and G groups of keys: of every fourth number one chain of fused
/// multiply-adds, then the sum of the four chains.
template <int R, int G>
void score_tile(float* scores, std::ptrdiff_t columns, Rows<const float> q, Rows<const float> groups, int head_dim) {
    Vec total[R][4]{};
    for (int h = 0; h < head_dim; h += 4) {
        Vec keys[G];
        for (int g = 0; g < G; ++g) keys[g] = load(groups.row(g) + h * kKeyGroup);
        for (int r = 0; r < R; ++r) {
            const Vec left = repeat_four(q.row(r) + h);
            for (int g = 0; g < G; ++g) total[r][g] += left * keys[g];
        }
    }
    for (int r = 0; r < R; ++r) store(scores + r * columns, sum_quarters(total[r]));
}

/// The same with sizes that are known at run time: at most kScoreRows rows and 4 groups.
template <int R = kScoreRows, int G = 4, class... Arguments>
[[gnu::always_inline]] inline void score_some(int rows, int groups, Arguments... arguments) {
    if constexpr (R > 1)
        if (rows < R) return score_some<R - 1, G>(rows, groups, arguments...);
    if constexpr (G > 1)
        if (groups < G) return score_some<R, G - 1>(rows, groups, arguments...);
    score_tile<R, G>(arguments...);
}

/// Where one head's vectors lie in a run: the first `offset` floats behind where the run says, each next `stride` on.
struct HeadOffset {
    std::ptrdiff_t offset, stride;
};

/// scores[r][column] = q[r] . key, each run's scores padded to whole vectors.
void score_rows(float* scores, std::ptrdiff_t columns, Rows<const float> q, int rows, std::span<const KeyRun> runs,
                const HeadOffset& groups, int head_dim) {
    for (const KeyRun& run : runs) {
        const int count = groups_of(run.count);
        for (int first = 0; first < count; first += 4, scores += kLanes)
            for (int r = 0; r < rows; r += kScoreRows)
                score_some(std::min(kScoreRows, rows - r), count - first, scores + r * columns, columns,
                           Rows<const float>{q.row(r), q.stride},
                           Rows<const float>{run.keys + groups.offset + first * groups.stride, groups.stride},
                           head_dim);
    }
}

/// out[r][0..H) = sum over keys of weight[r][key] * vector[key], the vectors placed behind the runs' values.
void mix_rows(Rows<float> out, const float* weights, int columns, int rows, std::span<const KeyRun> runs,
              const HeadOffset& vectors, int head_dim) {
    float beta = 0;
    for (const KeyRun& run : runs) {
        multiply_rows(rows, out.data, out.stride, weights, columns, run.values + vectors.offset, vectors.stride,
                      run.count, head_dim, beta);
        weights += padded(run.count);
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

/// A tile's attention to its runs, one head: out, and lse (if wanted) as rows of one float.
void attend(Rows<float> out, Rows<float> lse, Rows<const float> q, int rows, std::span<const KeyRun> runs,
            const HeadOffset& groups, const HeadOffset& values, int head_dim, float scale, Floats& scratch) {
    const int columns = count_columns(runs);
    float* scores = scratch.resize(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
    score_rows(scores, columns, q, rows, runs, groups, head_dim);
    for (int r = 0; r < rows; ++r) {
        const auto [top, mass] = softmax_row(scores + r * std::ptrdiff_t{columns}, r, columns, runs, scale);
        if (lse.data != nullptr) *lse.row(r) = top + std::log(mass);
    }
    mix_rows(out, scores, columns, rows, runs, values, head_dim);
}

/// Writes a key into its place of its group.
void put_key(float* group, int place, const float* key, int head_dim) {
    for (int h = 0; h < head_dim; h += 4) std::memcpy(group + h * kKeyGroup + place * 4, key + h, 4 * sizeof(float));
}

/// Packs rows (one head of q|k|v rows) into groups; missing rows are zero.
float* pack_groups(float* groups, Rows<const float> rows, int num_rows, int head_dim) {
    for (int first = 0; first < num_rows; first += kKeyGroup, groups += head_dim * kKeyGroup) {
        const int count = std::min(kKeyGroup, num_rows - first);
        if (count < kKeyGroup) std::memset(groups, 0, sizeof(float) * static_cast<std::size_t>(head_dim * kKeyGroup));
        for (int k = 0; k < count; ++k) put_key(groups, k, rows.row(first + k), head_dim);
    }
    return groups;
}

}  // namespace

bool KeyRun::hide(int keys_hidden, std::ptrdiff_t group, std::ptrdiff_t value) {
    if (keys_hidden >= count) return false;
    const int skipped = std::max(keys_hidden, 0) / kLanes * kLanes;
    keys += skipped / kKeyGroup * group;
    values += skipped * value;
    count -= skipped;
    seen -= skipped;
    hidden = keys_hidden - skipped;
    return true;
}

namespace {

/// One key head of a forest: its keys packed, and behind them its values if they are scored too (the backward pass).
class ForestHead {
public:
    ForestHead(const Forest& forest, const float* keys, const AttentionShape& shape, bool with_values,
               AttentionScratch& scratch)
        : forest_(forest), tiles_(forest, kKeyGroup, scratch), stride_(shape.stride()), head_dim_(shape.head_dim) {
        const float* values = keys + shape.kv_heads * shape.head_dim;
        const std::ptrdiff_t group = std::ptrdiff_t{head_dim_} * kKeyGroup;
        packed_values_ = tiles_.blocks() * group;
        float* to = scratch.groups.resize(static_cast<std::size_t>(packed_values_ * (with_values ? 2 : 1)));
        place_ = {to, group, group, values, 0, stride_, stride_};
        to = pack(to, keys);
        if (with_values) pack(to, values);
    }

    /// From a run's packed keys to its packed values.
    [[nodiscard]] std::ptrdiff_t packed_values() const { return packed_values_; }

    /// Calls body(first token of the tile, rows, runs) for all tiles of query rows.
    template <class Body>
    void for_tiles(const AttentionShape& shape, Body&& body) const {
        tiles_.walk(shape, kAttentionRows, place_, body);
    }

private:
    float* pack(float* to, const float* rows) const {
        for (const Segment& segment : forest_.segments())
            to = pack_groups(to, {rows + segment.begin * stride_, stride_}, segment.length, head_dim_);
        return to;
    }

    const Forest& forest_;
    ForestTiles tiles_;
    HeadPlace place_{};
    std::ptrdiff_t stride_;
    int head_dim_;
    std::ptrdiff_t packed_values_ = 0;
};

}  // namespace

void attention(float* out, float* lse, const float* qkv, const Forest& forest, const AttentionShape& shape,
               AttentionScratch& scratch) {
    const int H = shape.head_dim;
    const std::ptrdiff_t stride = shape.stride();
    const std::ptrdiff_t out_stride = shape.heads * H;
    const int group = shape.heads / shape.kv_heads;
    for (int kv = 0; kv < shape.kv_heads; ++kv) {
        const ForestHead keys(forest, qkv + (shape.heads + kv) * H, shape, false, scratch);
        keys.for_tiles(shape, [&](int token, int rows, std::span<const KeyRun> runs) {
            for (int head = kv * group; head < (kv + 1) * group; ++head)
                attend({out + token * out_stride + head * H, out_stride},
                       {lse + std::ptrdiff_t{token} * shape.heads + head, shape.heads},
                       {qkv + token * stride + head * H, stride}, rows, runs, {0, H * kKeyGroup}, {0, stride}, H,
                       shape.score_scale(), scratch.scores);
        });
    }
}

void attention_backward(float* dqkv, const float* dout, const float* out, const float* lse, const float* qkv,
                        const Forest& forest, const AttentionShape& shape, AttentionScratch& scratch) {
    const int H = shape.head_dim;
    const std::ptrdiff_t stride = shape.stride();
    const std::ptrdiff_t out_stride = shape.heads * H;
    const int group = shape.heads / shape.kv_heads;
    const std::ptrdiff_t value_offset = shape.kv_heads * H;
    const float scale = shape.score_scale();
    std::memset(dqkv, 0, sizeof(float) * static_cast<std::size_t>(forest.num_tokens() * stride));
    for (int kv = 0; kv < shape.kv_heads; ++kv) {
        const ForestHead keys(forest, qkv + (shape.heads + kv) * H, shape, true, scratch);
        const auto tile = [&](int token, int rows, std::span<const KeyRun> runs, int head) {
            const int columns = count_columns(runs);
            const auto area = static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
            float* p = scratch.scores.resize(area);
            float* ds = scratch.gradients.resize(area);
            const Rows<const float> q{qkv + token * stride + head * H, stride};
            const Rows<const float> g{dout + token * out_stride + head * H, out_stride};
            score_rows(p, columns, q, rows, runs, {0, H * kKeyGroup}, H);
            score_rows(ds, columns, g, rows, runs, {keys.packed_values(), H * kKeyGroup}, H);
            for (int r = 0; r < rows; ++r)
                softmax_backward_row(p + r * std::ptrdiff_t{columns}, ds + r * std::ptrdiff_t{columns}, r, runs,
                                     columns, lse[std::ptrdiff_t{token + r} * shape.heads + head],
                                     out + (token + r) * out_stride + head * H, g.row(r), H, scale);
            mix_rows({dqkv + token * stride + head * H, stride}, ds, columns, rows, runs, {-value_offset, stride}, H);
            int column = 0;
            for (const KeyRun& run : runs) {
                float* d_values = dqkv + (run.values - qkv);
                spread_rows(d_values - value_offset, stride, ds + column, columns, q, rows, run.count, H);
                spread_rows(d_values, stride, p + column, columns, g, rows, run.count, H);
                column += padded(run.count);
            }
        };
        keys.for_tiles(shape, [&](int token, int rows, std::span<const KeyRun> runs) {
            for (int head = kv * group; head < (kv + 1) * group; ++head) tile(token, rows, runs, head);
        });
    }
}

void write_page(float* key_page, float* value_page, const float* qkv_row, int index, const AttentionShape& shape) {
    const int H = shape.head_dim;
    const int width = shape.kv_heads * H;
    const float* k = qkv_row + shape.heads * H;
    float* group = key_page + index / kKeyGroup * kKeyGroup * width;
    for (int kv = 0; kv < shape.kv_heads; ++kv) put_key(group + kv * H * kKeyGroup, index % kKeyGroup, k + kv * H, H);
    std::memcpy(value_page + index * width, k + width, sizeof(float) * static_cast<std::size_t>(width));
}

void fetch_page(const float* key_page, const float* value_page, int index, const AttentionShape& shape) {
    const int width = shape.kv_heads * shape.head_dim;
    for (int i = 0; i < groups_of(index + 1) * kKeyGroup * width; i += kLanes) __builtin_prefetch(key_page + i);
    for (int i = 0; i < (index + 1) * width; i += kLanes) __builtin_prefetch(value_page + i);
}

namespace {

/// The groups of keys, and the values, of one head in pages that lie `page` floats behind those of the runs.
HeadOffset groups_in(std::ptrdiff_t page, int kv_head, const AttentionShape& shape) {
    const std::ptrdiff_t group = std::ptrdiff_t{shape.head_dim} * kKeyGroup;
    return {page + kv_head * group, shape.kv_heads * group};
}
HeadOffset values_in(std::ptrdiff_t page, int kv_head, const AttentionShape& shape) {
    return {page + std::ptrdiff_t{kv_head} * shape.head_dim, std::ptrdiff_t{shape.kv_heads} * shape.head_dim};
}

/// One token's attention. The query heads that share a key head are a tile and all see the same. The heads' scores are
/// computed one after another, then their softmax, then their sums, so that the processor works on several at once.
void attend_row(float* out, const float* q, std::span<const KeyRun> runs, std::ptrdiff_t offset,
                const AttentionShape& shape, Floats& scratch) {
    const int H = shape.head_dim;
    const int group = shape.heads / shape.kv_heads;
    const int columns = count_columns(runs);
    const std::ptrdiff_t group_scores = std::ptrdiff_t{group} * columns;
    float* scores = scratch.resize(static_cast<std::size_t>(shape.kv_heads * group_scores));
    for (int kv = 0; kv < shape.kv_heads; ++kv)
        score_rows(scores + kv * group_scores, columns, {q + kv * group * H, H}, group, runs,
                   groups_in(offset, kv, shape), H);
    for (int head = 0; head < shape.heads; ++head)
        softmax_row(scores + head * std::ptrdiff_t{columns}, 0, columns, runs, shape.score_scale());
    for (int kv = 0; kv < shape.kv_heads; ++kv)
        mix_rows({out + kv * group * H, H}, scores + kv * group_scores, columns, group, runs,
                 values_in(offset, kv, shape), H);
}

}  // namespace

void cached_attention(float* out, const float* qkv, int rows, std::span<const KeyRun> runs, std::ptrdiff_t offset,
                      const AttentionShape& shape, AttentionScratch& scratch) {
    if (rows == 1) return attend_row(out, qkv, runs, offset, shape, scratch.scores);
    const int H = shape.head_dim;
    const int group = shape.heads / shape.kv_heads;
    for (int head = 0; head < shape.heads; ++head)
        attend({out + head * H, shape.heads * H}, {nullptr, 0}, {qkv + head * H, shape.stride()}, rows, runs,
               groups_in(offset, head / group, shape), values_in(offset, head / group, shape), H, shape.score_scale(),
               scratch.scores);
}

const AttentionKernels& attention_kernels(Products products) {
    static const AttentionKernels fp32{
        kAttentionRows,  [](int kv_heads, int head_dim) { return std::ptrdiff_t{kv_heads} * head_dim * kPageTokens; },
        attention,       attention_backward,
        write_page,      fetch_page,
        cached_attention};
    static const AttentionKernels bf16{
        kBf16AttentionRows,
        bf16_page_cells,
        [](float* out, float* lse, const float* qkv, const Forest& forest, const AttentionShape& shape,
           AttentionScratch& scratch) { bf16_attention(out, lse, qkv, forest, shape, scratch, bf16_unit()); },
        [](float* dqkv, const float* dout, const float* out, const float* lse, const float* qkv, const Forest& forest,
           const AttentionShape& shape, AttentionScratch& scratch) {
            bf16_attention_backward(dqkv, dout, out, lse, qkv, forest, shape, scratch, bf16_unit());
        },
        bf16_write_page,
        bf16_fetch_page,
        [](float* out, const float* qkv, int rows, std::span<const KeyRun> runs, std::ptrdiff_t offset,
           const AttentionShape& shape, AttentionScratch& scratch) {
            bf16_cached_attention(out, qkv, rows, runs, offset, shape, scratch, bf16_unit());
        }};
    return products == Products::fp32 ? fp32 : bf16;
}

}  // namespace tdrm::model::ops
