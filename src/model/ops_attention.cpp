// Attention kernels. Keys are packed in blocks of 16 as [H][16], so that one instruction scores 16 keys; up to four
// query rows share each load. The same block layout is the page of the key/value cache.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "simd.hpp"
#include "tdrm/model/ops.hpp"

namespace tdrm::model::ops {

using namespace simd;

namespace {

constexpr int kTile = 4;  ///< query rows that are computed together
constexpr float kMasked = -3.0e38F;

/// scores[r][0..15] = sum_h q[r][h] * block[h][0..15]
template <int R>
void score_block(const float* const* q, const float* block, int head_dim, Vec* scores) {
    Vec total[R]{};
    for (int h = 0; h < head_dim; ++h) {
        const Vec keys = load(block + h * kLanes);
        for (int r = 0; r < R; ++r) total[r] += keys * q[r][h];
    }
    for (int r = 0; r < R; ++r) scores[r] = total[r];
}

void score_block(int rows, const float* const* q, const float* block, int head_dim, Vec* scores) {
    switch (rows) {
        case 1:
            return score_block<1>(q, block, head_dim, scores);
        case 2:
            return score_block<2>(q, block, head_dim, scores);
        case 3:
            return score_block<3>(q, block, head_dim, scores);
        default:
            return score_block<4>(q, block, head_dim, scores);
    }
}

/// out[r][0..H) += sum_k p[r][k] * values[k][0..H), values `stride` floats apart.
template <int R>
void mix_values(float* const* out, const float* const* p, const float* values, int stride, int num_keys, int head_dim) {
    // Four vectors of a row at once: enough independent sums to hide the latency of one.
    constexpr int kWide = 4;
    int h = 0;
    for (; h + kWide * kLanes <= head_dim; h += kWide * kLanes) {
        Vec total[R][kWide];
        for (int r = 0; r < R; ++r)
            for (int c = 0; c < kWide; ++c) total[r][c] = load(out[r] + h + c * kLanes);
        for (int k = 0; k < num_keys; ++k) {
            const float* row = values + static_cast<std::ptrdiff_t>(k) * stride + h;
            for (int c = 0; c < kWide; ++c) {
                const Vec v = load(row + c * kLanes);
                for (int r = 0; r < R; ++r) total[r][c] += v * p[r][k];
            }
        }
        for (int r = 0; r < R; ++r)
            for (int c = 0; c < kWide; ++c) store(out[r] + h + c * kLanes, total[r][c]);
    }
    for (; h < head_dim; h += kLanes) {
        const int left = head_dim - h;
        Vec total[R];
        for (int r = 0; r < R; ++r) total[r] = load_some(out[r] + h, left);
        for (int k = 0; k < num_keys; ++k) {
            const Vec v = load_some(values + static_cast<std::ptrdiff_t>(k) * stride + h, left);
            for (int r = 0; r < R; ++r) total[r] += v * p[r][k];
        }
        for (int r = 0; r < R; ++r) store_some(out[r] + h, total[r], left);
    }
}

void mix_values(int rows, float* const* out, const float* const* p, const float* values, int stride, int num_keys,
                int head_dim) {
    switch (rows) {
        case 1:
            return mix_values<1>(out, p, values, stride, num_keys, head_dim);
        case 2:
            return mix_values<2>(out, p, values, stride, num_keys, head_dim);
        case 3:
            return mix_values<3>(out, p, values, stride, num_keys, head_dim);
        default:
            return mix_values<4>(out, p, values, stride, num_keys, head_dim);
    }
}

/// grad[k][0..H) += sum_r weight[r][k] * row[r][0..H): the transposed product, for the gradients of keys and values.
void spread_rows(int rows, float* grad, int stride, const float* const* weight, const float* const* row, int num_keys,
                 int head_dim) {
    for (int h = 0; h < head_dim; h += kLanes) {
        const int left = head_dim - h;
        Vec held[kTile];
        for (int r = 0; r < rows; ++r) held[r] = load_some(row[r] + h, left);
        for (int k = 0; k < num_keys; ++k) {
            float* at = grad + static_cast<std::ptrdiff_t>(k) * stride + h;
            Vec total = load_some(at, left);
            for (int r = 0; r < rows; ++r) total += held[r] * weight[r][k];
            store_some(at, total, left);
        }
    }
}

/// Packs rows (one head of q|k|v rows) into blocks [block][H][16]; missing rows are zero.
void pack_blocks(float* blocks, const float* rows, int stride, int num_rows, int head_dim) {
    for (int first = 0; first < num_rows; first += kLanes) {
        const int count = std::min(kLanes, num_rows - first);
        if (count < kLanes) std::memset(blocks, 0, sizeof(float) * static_cast<std::size_t>(head_dim * kLanes));
        for (int k = 0; k < count; ++k) {
            const float* row = rows + static_cast<std::ptrdiff_t>(first + k) * stride;
            for (int h = 0; h < head_dim; ++h) blocks[h * kLanes + k] = row[h];
        }
        blocks += head_dim * kLanes;
    }
}

int blocks_of(int tokens) { return (tokens + kLanes - 1) / kLanes; }

/// Number of the first 16-block of each segment, and of all blocks.
int number_blocks(const Forest& forest, Buffer<std::int32_t>& first_block) {
    first_block.resize(forest.segments().size());
    int total = 0;
    for (std::size_t s = 0; s < forest.segments().size(); ++s) {
        first_block[s] = total;
        total += blocks_of(forest.segments()[s].length);
    }
    return total;
}

/// Packs one head of all segments.
void pack_forest(Floats& blocks, const float* rows, int stride, const Forest& forest, const AttentionScratch& scratch,
                 int num_blocks, int head_dim) {
    const std::size_t block = static_cast<std::size_t>(head_dim) * kLanes;
    blocks.resize(static_cast<std::size_t>(num_blocks) * block);
    for (std::size_t s = 0; s < forest.segments().size(); ++s) {
        const Segment& segment = forest.segments()[s];
        pack_blocks(blocks.data() + static_cast<std::size_t>(scratch.first_block[s]) * block,
                    rows + static_cast<std::ptrdiff_t>(segment.begin) * stride, stride, segment.length, head_dim);
    }
}

/// A tile of query rows of one segment and the keys they see: ancestors' ranges, then the segment's own.
/// Columns of the score matrix are blocks of 16 in that order; `columns` counts them in floats.
struct Tile {
    const std::vector<VisibleRange>& ranges;
    int first_row;  ///< within the segment
    int rows;
    int columns;
};

/// Calls body(range index, segment, keys, column of its first key) for each range, the own one last.
template <class Body>
void for_ranges(const Tile& tile, int own_segment, Body&& body) {
    int column = 0;
    for (const VisibleRange& range : tile.ranges) {
        body(range.segment, range.count, column, false);
        column += blocks_of(range.count) * kLanes;
    }
    body(own_segment, tile.first_row + tile.rows, column, true);
}

int count_columns(const std::vector<VisibleRange>& ranges, int own_keys) {
    int columns = blocks_of(own_keys) * kLanes;
    for (const VisibleRange& range : ranges) columns += blocks_of(range.count) * kLanes;
    return columns;
}

/// scores[r][column] = scale * q[r] . key, masked where the key isn't visible.
void score_tile(float* scores, const float* const* q, const Tile& tile, int own_segment, const float* blocks,
                const AttentionScratch& scratch, int head_dim, float scale) {
    const IntVec lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for_ranges(tile, own_segment, [&](int segment, int keys, int column, bool own) {
        const float* block =
            blocks +
            static_cast<std::ptrdiff_t>(scratch.first_block[static_cast<std::size_t>(segment)]) * head_dim * kLanes;
        for (int first = 0; first < keys; first += kLanes, block += head_dim * kLanes) {
            Vec s[kTile];
            score_block(tile.rows, q, block, head_dim, s);
            for (int r = 0; r < tile.rows; ++r) {
                const int visible = own ? tile.first_row + r + 1 : keys;
                Vec scaled = s[r] * scale;
                if (visible - first < kLanes) scaled = lane < visible - first ? scaled : broadcast(kMasked);
                store(scores + r * tile.columns + column + first, scaled);
            }
        }
    });
}

/// Replaces scores by their softmax; returns their log-sum-exp.
float softmax_row(float* row, int columns) {
    Vec highest = load(row);
    for (int c = kLanes; c < columns; c += kLanes) highest = max(highest, load(row + c));
    const float top = max(highest);
    Vec total{};
    for (int c = 0; c < columns; c += kLanes) {
        const Vec e = exp(load(row + c) - top);
        store(row + c, e);
        total += e;
    }
    const float mass = sum(total);
    const float inverse = 1.0F / mass;
    for (int c = 0; c < columns; c += kLanes) store(row + c, load(row + c) * inverse);
    return top + std::log(mass);
}

}  // namespace

void attention(float* out, float* lse, const float* qkv, const Forest& forest, const AttentionShape& shape,
               AttentionScratch& scratch) {
    const int H = shape.head_dim;
    const int stride = shape.stride();
    const int out_stride = shape.heads * H;
    const int group = shape.heads / shape.kv_heads;
    const float scale = 1.0F / std::sqrt(static_cast<float>(H));
    const int num_blocks = number_blocks(forest, scratch.first_block);
    for (int kv = 0; kv < shape.kv_heads; ++kv) {
        const float* keys = qkv + (shape.heads + kv) * H;
        const float* values = keys + shape.kv_heads * H;
        pack_forest(scratch.key_blocks, keys, stride, forest, scratch, num_blocks, H);
        for (int s = 0; s < static_cast<int>(forest.segments().size()); ++s) {
            const Segment& segment = forest.segments()[static_cast<std::size_t>(s)];
            forest.visible(s, scratch.ranges);
            for (int first = 0; first < segment.length; first += kTile) {
                const int rows = std::min(kTile, segment.length - first);
                const Tile tile{scratch.ranges, first, rows, count_columns(scratch.ranges, first + rows)};
                float* scores = scratch.scores.resize(static_cast<std::size_t>(kTile * tile.columns));
                for (int head = kv * group; head < (kv + 1) * group; ++head) {
                    const float* q[kTile];
                    const float* p[kTile];
                    float* o[kTile];
                    for (int r = 0; r < rows; ++r) {
                        const auto token = static_cast<std::ptrdiff_t>(segment.begin + first + r);
                        q[r] = qkv + token * stride + head * H;
                        o[r] = out + token * out_stride + head * H;
                        p[r] = scores + r * tile.columns;
                        std::memset(o[r], 0, sizeof(float) * static_cast<std::size_t>(H));
                    }
                    score_tile(scores, q, tile, s, scratch.key_blocks.data(), scratch, H, scale);
                    for (int r = 0; r < rows; ++r) {
                        const auto token = static_cast<std::ptrdiff_t>(segment.begin + first + r);
                        lse[token * shape.heads + head] = softmax_row(scores + r * tile.columns, tile.columns);
                    }
                    for_ranges(tile, s, [&](int from, int count, int column, bool) {
                        const float* column_p[kTile];
                        for (int r = 0; r < rows; ++r) column_p[r] = p[r] + column;
                        const auto begin =
                            static_cast<std::ptrdiff_t>(forest.segments()[static_cast<std::size_t>(from)].begin);
                        mix_values(rows, o, column_p, values + begin * stride, stride, count, H);
                    });
                }
            }
        }
    }
}

void attention_backward(float* dqkv, const float* dout, const float* out, const float* lse, const float* qkv,
                        const Forest& forest, const AttentionShape& shape, AttentionScratch& scratch) {
    const int H = shape.head_dim;
    const int stride = shape.stride();
    const int out_stride = shape.heads * H;
    const int group = shape.heads / shape.kv_heads;
    const float scale = 1.0F / std::sqrt(static_cast<float>(H));
    const int num_blocks = number_blocks(forest, scratch.first_block);
    std::memset(dqkv, 0,
                sizeof(float) * static_cast<std::size_t>(forest.num_tokens()) * static_cast<std::size_t>(stride));
    for (int kv = 0; kv < shape.kv_heads; ++kv) {
        const int key_at = (shape.heads + kv) * H;
        const int value_at = key_at + shape.kv_heads * H;
        pack_forest(scratch.key_blocks, qkv + key_at, stride, forest, scratch, num_blocks, H);
        pack_forest(scratch.value_blocks, qkv + value_at, stride, forest, scratch, num_blocks, H);
        for (int s = 0; s < static_cast<int>(forest.segments().size()); ++s) {
            const Segment& segment = forest.segments()[static_cast<std::size_t>(s)];
            forest.visible(s, scratch.ranges);
            for (int first = 0; first < segment.length; first += kTile) {
                const int rows = std::min(kTile, segment.length - first);
                const Tile tile{scratch.ranges, first, rows, count_columns(scratch.ranges, first + rows)};
                float* p = scratch.scores.resize(static_cast<std::size_t>(kTile * tile.columns));
                float* ds = scratch.gradients.resize(static_cast<std::size_t>(kTile * tile.columns));
                for (int head = kv * group; head < (kv + 1) * group; ++head) {
                    const float* q[kTile];
                    const float* g[kTile];
                    float* dq[kTile];
                    for (int r = 0; r < rows; ++r) {
                        const auto token = static_cast<std::ptrdiff_t>(segment.begin + first + r);
                        q[r] = qkv + token * stride + head * H;
                        g[r] = dout + token * out_stride + head * H;
                        dq[r] = dqkv + token * stride + head * H;
                    }
                    score_tile(p, q, tile, s, scratch.key_blocks.data(), scratch, H, scale);
                    score_tile(ds, g, tile, s, scratch.value_blocks.data(), scratch, H, 1.0F);
                    for (int r = 0; r < rows; ++r) {
                        const auto token = static_cast<std::ptrdiff_t>(segment.begin + first + r);
                        const float* o = out + token * out_stride + head * H;
                        Vec products{};
                        for (int h = 0; h < H; h += kLanes)
                            products += load_some(o + h, H - h) * load_some(g[r] + h, H - h);
                        const float delta = sum(products);
                        const float log_mass = lse[token * shape.heads + head];
                        float* p_row = p + r * tile.columns;
                        float* ds_row = ds + r * tile.columns;
                        for (int c = 0; c < tile.columns; c += kLanes) {
                            const Vec probability = exp(load(p_row + c) - log_mass);
                            const Vec score_grad = probability * (load(ds_row + c) - delta) * scale;
                            store(p_row + c, probability);
                            store(ds_row + c, probability > 0.0F ? score_grad : Vec{});  // masked: 0 * -3e38
                        }
                    }
                    for_ranges(tile, s, [&](int from, int count, int column, bool) {
                        const auto begin =
                            static_cast<std::ptrdiff_t>(forest.segments()[static_cast<std::size_t>(from)].begin);
                        const float* column_p[kTile];
                        const float* column_ds[kTile];
                        for (int r = 0; r < rows; ++r) {
                            column_p[r] = p + r * tile.columns + column;
                            column_ds[r] = ds + r * tile.columns + column;
                        }
                        mix_values(rows, dq, column_ds, qkv + begin * stride + key_at, stride, count, H);
                        spread_rows(rows, dqkv + begin * stride + key_at, stride, column_ds, q, count, H);
                        spread_rows(rows, dqkv + begin * stride + value_at, stride, column_p, g, count, H);
                    });
                }
            }
        }
    }
}

void write_page(float* key_page, float* value_page, const float* qkv_row, int index, const AttentionShape& shape) {
    const int H = shape.head_dim;
    const float* k = qkv_row + shape.heads * H;
    const float* v = k + shape.kv_heads * H;
    for (int kv = 0; kv < shape.kv_heads; ++kv) {
        for (int h = 0; h < H; ++h) key_page[(kv * H + h) * kPageTokens + index] = k[kv * H + h];
        std::memcpy(value_page + (kv * kPageTokens + index) * H, v + kv * H,
                    sizeof(float) * static_cast<std::size_t>(H));
    }
}

void cached_attention(float* out_row, const float* qkv_row, const float* keys, const float* values,
                      const CachedRow& row, const AttentionShape& shape, Floats& scratch) {
    const int H = shape.head_dim;
    const int group = shape.heads / shape.kv_heads;
    const float scale = 1.0F / std::sqrt(static_cast<float>(H));
    const IntVec lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const int num_pages = static_cast<int>(row.pages.size());
    const int columns = num_pages * kLanes;
    const std::ptrdiff_t page_floats = static_cast<std::ptrdiff_t>(shape.kv_heads) * H * kPageTokens;
    float* scores = scratch.resize(static_cast<std::size_t>(kTile * columns));
    std::memset(out_row, 0, sizeof(float) * static_cast<std::size_t>(shape.heads * H));
    // The query heads that share a key head are the rows of a tile.
    for (int kv = 0; kv < shape.kv_heads; ++kv)
        for (int first = kv * group; first < (kv + 1) * group; first += kTile) {
            const int rows = std::min(kTile, (kv + 1) * group - first);
            const float* q[kTile];
            float* o[kTile];
            const float* p[kTile];
            for (int r = 0; r < rows; ++r) {
                q[r] = qkv_row + (first + r) * H;
                o[r] = out_row + (first + r) * H;
            }
            for (int i = 0; i < num_pages; ++i) {
                Vec s[kTile];
                score_block(rows, q, keys + row.pages[static_cast<std::size_t>(i)] * page_floats + kv * H * kPageTokens,
                            H, s);
                const int count = row.counts[static_cast<std::size_t>(i)];
                for (int r = 0; r < rows; ++r)
                    store(scores + r * columns + i * kLanes, lane < count ? s[r] * scale : broadcast(kMasked));
            }
            for (int r = 0; r < rows; ++r) softmax_row(scores + r * columns, columns);
            for (int i = 0; i < num_pages; ++i) {
                for (int r = 0; r < rows; ++r) p[r] = scores + r * columns + i * kLanes;
                mix_values(rows, o, p,
                           values + row.pages[static_cast<std::size_t>(i)] * page_floats + kv * H * kPageTokens, H,
                           row.counts[static_cast<std::size_t>(i)], H);
            }
        }
}

}  // namespace tdrm::model::ops
