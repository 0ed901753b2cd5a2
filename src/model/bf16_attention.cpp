// Attention whose products are of numbers rounded to bf16. Keys and values lie in blocks of 16, in a forest as in the
// pages of a cache. On processors with AMX every sum is cut into stretches of 32 numbers of a head, or of 16 keys: of
// the even numbers one chain of fused multiply-adds, of the odd ones another, then both are added to the total. That is
// what a tile does (TDPBF16PS, denormal numbers being 0), so vectors do the same where tiles don't pay: the same bits.
// With AVX512-BF16 alone sums are of dot products of two (VDPBF16PS), in one chain.
#include "tdrm/model/bf16_attention.hpp"

#include <cmath>
#include <cstring>

#include "attention_rows.hpp"
#include "bf16_sums.hpp"
#include "bf16_words.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::model::ops {

namespace {

constexpr int kKeys = 16;                        ///< of a block
constexpr int kHeadPairs = 16, kKeyPairs = 8;    ///< of a stretch of a sum
constexpr int kTileBlock = kHeadPairs * kWidth;  ///< words of a stretch of 16 keys
constexpr int kValueBlock = kKeyPairs * kWidth;  ///< words of 16 numbers of 16 values
#if !defined(TDRM_FEW_ROWS)
#define TDRM_FEW_ROWS 4
#endif
constexpr int kFewRows = TDRM_FEW_ROWS;  ///< from which on tiles pay; tests let them never pay

int padded_head(int head_dim) { return rounded_up(head_dim, 2 * kHeadPairs); }
int padded_value(int head_dim) { return rounded_up(head_dim, kWidth); }
/// Words of a block of keys, [H / 2][16 keys], and of values, [H / 16][8 pairs of keys][16], of one head.
std::ptrdiff_t key_words(int head_dim) { return std::ptrdiff_t{padded_head(head_dim)} / 2 * kKeys; }
std::ptrdiff_t value_words(int head_dim) { return std::ptrdiff_t{padded_value(head_dim)} * kKeyPairs; }

}  // namespace

std::ptrdiff_t bf16_page_cells(int kv_heads, int head_dim) { return kv_heads * key_words(head_dim); }

#if defined(__x86_64__)

namespace {

const Word* words(const float* cells) { return reinterpret_cast<const Word*>(cells); }
Word* words(float* cells) { return reinterpret_cast<Word*>(cells); }

// What an attention has at hand

/// One call: memory, and what computes.
class Call {
public:
    Call(const AttentionShape& shape, AttentionScratch& scratch, Bf16Unit unit)
        : head_dim_(shape.head_dim), scratch_(scratch), unit_(unit) {}

    /// Rounds rows to be multiplied, filled up with zeros. Valid until the next are.
    TDRM_BF16 Left round(Rows<const float> from, int rows, int count, int wide) {
        Bf16Scratch& memory = scratch_.bf16;
        const auto n = static_cast<std::size_t>(rows) * static_cast<std::size_t>(wide);
        const By by = unit_ == Bf16Unit::dot_products ? By::dot_products : rows >= kFewRows ? By::tiles : By::vectors;
        Word* pairs = by != By::vectors ? memory.left_words.resize(n / 2) : nullptr;
        float* numbers = by != By::vectors ? nullptr : memory.left.resize(n);
        for (int r = 0; r < rows; ++r)
            for (int i = 0; i < wide; i += kWidth) {
                const __m256i half = round_first(from.row(r) + i, count - i);
                const std::ptrdiff_t at = std::ptrdiff_t{r} * wide + i;
                if (by != By::vectors) {
                    _mm256_storeu_si256(reinterpret_cast<__m256i*>(pairs + at / 2), half);
                } else {
                    _mm512_storeu_si512(numbers + at, _mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
                }
            }
        return {by, numbers, pairs, wide};
    }

    /// Where the blocks of keys and values of all runs lie.
    void find_blocks(std::span<const KeyRun> runs) {
        Bf16Scratch& memory = scratch_.bf16;
        memory.key_blocks.clear();
        memory.value_blocks.clear();
        for (const KeyRun& run : runs)
            for (int first = 0; first < run.count; first += kKeys) {
                memory.key_blocks.push_back(words(run.keys) + first / kKeys * key_words(head_dim_));
                memory.value_blocks.push_back(words(run.values) + first / kKeys * value_words(head_dim_));
            }
    }
    [[nodiscard]] int blocks() const { return static_cast<int>(scratch_.bf16.key_blocks.size()); }

    /// scores[r][column] = x[r] . key, whose blocks lie `offset` words behind where the runs say.
    void score(float* scores, const Left& x, int rows, std::ptrdiff_t offset) {
        const Word* const* keys = scratch_.bf16.key_blocks.data();
        add_up<kHeadPairs>(
            {scores, std::ptrdiff_t{blocks()} * kKeys, kKeys, x, rows, blocks(), padded_head(head_dim_) / 32, false},
            tiles_, [=](int step, int block) { return keys[block] + offset + step * kTileBlock; });
    }
    Left round_heads(Rows<const float> from, int rows) { return round(from, rows, head_dim_, padded_head(head_dim_)); }
    Left round_weights(const float* weights, int rows) {
        const int columns = blocks() * kKeys;
        return round({weights, columns}, rows, columns, columns);
    }

    /// out[r] = sum over keys of weights x[r][key] * value.
    void mix(Rows<float> out, const Left& x, int rows, std::ptrdiff_t offset) {
        const Word* const* values = scratch_.bf16.value_blocks.data();
        const int wide = padded_value(head_dim_);
        const bool fits = wide == head_dim_;
        float* to = fits ? out.data
                         : scratch_.bf16.mixed.resize(static_cast<std::size_t>(rows) * static_cast<std::size_t>(wide));
        add_up<kKeyPairs>({to, fits ? out.stride : wide, kWidth, x, rows, wide / kWidth, blocks(), false}, tiles_,
                          [=](int block, int panel) { return values[block] + offset + panel * kValueBlock; });
        for (int r = 0; !fits && r < rows; ++r) std::copy_n(to + std::ptrdiff_t{r} * wide, head_dim_, out.row(r));
    }

    /// grad[block][h][key] += sum over rows r of x[h][r] * weight[r][key], for some blocks one behind the other.
    void spread(float* grad, const Left& x, const Word* weights, int count) {
        const int wide = padded_value(head_dim_);
        add_up<kKeyPairs>({grad, kKeys, std::ptrdiff_t{wide} * kKeys, x, wide, count, 1, true}, tiles_,
                          [=](int, int block) { return weights + block * kValueBlock; });
    }

private:
    int head_dim_;
    AttentionScratch& scratch_;
    Bf16Unit unit_;
    NoDenormals no_denormals_;
    Tiles tiles_;
};

/// Rows to blocks of keys; what is missing in the last block is 0.
TDRM_BF16 void pack_keys(Word* to, Rows<const float> rows, int count, int head_dim) {
    alignas(64) Word tile[kTileWords];
    for (int first = 0; first < count; first += kKeys)
        for (int h = 0; h < padded_head(head_dim); h += 2 * kHeadPairs, to += kTileBlock) {
            for (int r = 0; r < kKeys; ++r)
                round_row(tile + r * kWidth, 0, rows.row(first + r) + h, first + r < count ? head_dim - h : 0,
                          kHeadPairs);
            transpose(to, tile);
        }
}

/// Rows to blocks of values, likewise.
TDRM_BF16 void pack_values(Word* to, Rows<const float> rows, int count, int head_dim) {
    for (int first = 0; first < count; first += kKeys)
        for (int h = 0; h < head_dim; h += kWidth)
            for (int r = first; r < first + kKeys; r += 2, to += kWidth)
                pair_rows(to, rows.row(r) + h, rows.row(r + 1) + h, r < count ? head_dim - h : 0,
                          r + 1 < count ? head_dim - h : 0);
}

// Forests

/// One key head of a forest, in blocks: keys, values, and for the backward pass values as keys and keys as values.
class ForestHead {
public:
    ForestHead(const Forest& forest, const float* keys, const AttentionShape& shape, bool turned,
               AttentionScratch& scratch)
        : forest_(forest), tiles_(forest, kKeys, scratch), stride_(shape.stride()), head_dim_(shape.head_dim) {
        const std::ptrdiff_t key = key_words(head_dim_), value = value_words(head_dim_);
        turned_ = tiles_.blocks() * (key + value);
        float* to = scratch.groups.resize(static_cast<std::size_t>(turned_ * (turned ? 2 : 1)));
        place_ = {to, key, key / 4, to + tiles_.blocks() * key, value, 0, value / kKeys};
        const float* values = keys + shape.kv_heads * head_dim_;
        pack(words(to), keys, values);
        if (turned) pack(words(to) + turned_, values, keys);
    }

    template <class Body>
    void for_tiles(const AttentionShape& shape, Body&& body) const {
        tiles_.walk(shape, kBf16AttentionRows, place_, body);
    }
    /// Calls body(segment, its first block) for each segment.
    template <class Body>
    void for_segments(Body&& body) const {
        for (std::size_t s = 0; s < forest_.segments().size(); ++s)
            body(forest_.segments()[s], std::ptrdiff_t{tiles_.first_block(s)});
    }
    [[nodiscard]] int blocks() const { return tiles_.blocks(); }
    [[nodiscard]] std::ptrdiff_t block_of(const KeyRun& run) const {
        return (run.keys - place_.keys) / place_.key_block;
    }
    /// Words from keys to values as keys, and from values to keys as values.
    [[nodiscard]] std::ptrdiff_t turned() const { return turned_; }

private:
    void pack(Word* to, const float* as_keys, const float* as_values) const {
        const std::ptrdiff_t key = key_words(head_dim_), value = value_words(head_dim_);
        for_segments([&](const Segment& segment, std::ptrdiff_t block) {
            const std::ptrdiff_t first = segment.begin * stride_;
            pack_keys(to + block * key, {as_keys + first, stride_}, segment.length, head_dim_);
            pack_values(to + tiles_.blocks() * key + block * value, {as_values + first, stride_}, segment.length,
                        head_dim_);
        });
    }

    const Forest& forest_;
    ForestTiles tiles_;
    std::ptrdiff_t stride_;
    int head_dim_;
    HeadPlace place_{};
    std::ptrdiff_t turned_ = 0;
};

/// A tile's attention to the blocks that were found, one head.
void attend(Call& call, Rows<float> out, Rows<float> lse, Rows<const float> q, int rows, std::span<const KeyRun> runs,
            std::ptrdiff_t keys, std::ptrdiff_t values, float scale, Floats& memory) {
    const int columns = call.blocks() * kKeys;
    float* scores = memory.resize(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
    call.score(scores, call.round_heads(q, rows), rows, keys);
    for (int r = 0; r < rows; ++r) {
        const auto [top, mass] = softmax_row(scores + r * std::ptrdiff_t{columns}, r, columns, runs, scale);
        if (lse.data != nullptr) *lse.row(r) = top + std::log(mass);
    }
    call.mix(out, call.round_weights(scores, rows), rows, values);
}

}  // namespace

void bf16_attention(float* out, float* lse, const float* qkv, const Forest& forest, const AttentionShape& shape,
                    AttentionScratch& scratch, Bf16Unit unit) {
    const int H = shape.head_dim;
    const std::ptrdiff_t stride = shape.stride(), out_stride = shape.heads * H;
    const int group = shape.heads / shape.kv_heads;
    Call call(shape, scratch, unit);
    for (int kv = 0; kv < shape.kv_heads; ++kv) {
        const ForestHead keys(forest, qkv + (shape.heads + kv) * H, shape, false, scratch);
        keys.for_tiles(shape, [&](int token, int rows, std::span<const KeyRun> runs) {
            call.find_blocks(runs);
            for (int head = kv * group; head < (kv + 1) * group; ++head)
                attend(call, {out + token * out_stride + head * H, out_stride},
                       {lse + std::ptrdiff_t{token} * shape.heads + head, shape.heads},
                       {qkv + token * stride + head * H, stride}, rows, runs, 0, 0, shape.score_scale(),
                       scratch.scores);
        });
    }
}

namespace {

/// The rows of one head of a tile, turned: [H up to whole panels][16 rows], 0 where there are none.
float* turn(Floats& memory, Rows<const float> rows, int count, int head_dim) {
    const std::size_t wide = static_cast<std::size_t>(padded_value(head_dim));
    float* to = memory.resize(wide * kWidth);
    std::memset(to, 0, wide * kWidth * sizeof(float));
    for (int r = 0; r < count; ++r)
        for (int h = 0; h < head_dim; ++h) to[h * kWidth + r] = rows.row(r)[h];
    return to;
}

/// Gradients of keys and values of one head, [blocks][H][16 keys].
struct KeyGradients {
    float *keys, *values;
};

/// What a head of a tile has: rows of its queries, and of what came out of them.
struct HeadRows {
    int rows;
    Rows<float> dq;
    Rows<const float> q, out, dout, lse;
};

/// One head of a tile: adds to the gradients of keys and values, and writes that of its queries.
void attend_backward(Call& call, const ForestHead& head, const HeadRows& at, std::span<const KeyRun> runs,
                     const KeyGradients& gradients, const AttentionShape& shape, AttentionScratch& scratch) {
    const int H = shape.head_dim, columns = call.blocks() * kKeys;
    const auto area = static_cast<std::size_t>(at.rows) * static_cast<std::size_t>(columns);
    float* p = scratch.scores.resize(area);
    float* ds = scratch.gradients.resize(area);
    call.score(p, call.round_heads(at.q, at.rows), at.rows, 0);
    call.score(ds, call.round_heads(at.dout, at.rows), at.rows, head.turned());
    for (int r = 0; r < at.rows; ++r)
        softmax_backward_row(p + r * std::ptrdiff_t{columns}, ds + r * std::ptrdiff_t{columns}, r, runs, columns,
                             *at.lse.row(r), at.out.row(r), at.dout.row(r), H, shape.score_scale());
    call.mix(at.dq, call.round_weights(ds, at.rows), at.rows, head.turned());
    const auto add = [&](float* to, const float* weights, Rows<const float> from) {
        Bf16Scratch& memory = scratch.bf16;
        Word* packed = memory.weights.resize(static_cast<std::size_t>(call.blocks()) * kValueBlock);
        for (int c = 0; c < call.blocks(); ++c)
            pack_values(packed + std::ptrdiff_t{c} * kValueBlock, {weights + c * kKeys, columns}, at.rows, kKeys);
        const int wide = padded_value(H);
        const Left left = call.round({turn(memory.turned_rows, from, at.rows, H), kWidth}, wide, kWidth, kWidth);
        for (const KeyRun& run : runs) {
            const int count = padded(run.count) / kKeys;
            call.spread(to + head.block_of(run) * wide * kKeys, left, packed, count);
            packed += std::ptrdiff_t{count} * kValueBlock;
        }
    };
    add(gradients.keys, ds, at.q);
    add(gradients.values, p, at.dout);
}

/// Adds the gradients of one head's keys and values to their rows.
void gather(float* dkeys, const ForestHead& head, const KeyGradients& gradients, const AttentionShape& shape) {
    const int H = shape.head_dim, wide = padded_value(H);
    head.for_segments([&](const Segment& segment, std::ptrdiff_t block) {
        for (int t = 0; t < segment.length; ++t) {
            const std::ptrdiff_t from = (block + t / kKeys) * wide * kKeys + t % kKeys;
            float* key = dkeys + (segment.begin + t) * std::ptrdiff_t{shape.stride()};
            float* value = key + shape.kv_heads * H;
            for (int h = 0; h < H; ++h) {
                key[h] = gradients.keys[from + h * kKeys];
                value[h] = gradients.values[from + h * kKeys];
            }
        }
    });
}

}  // namespace

void bf16_attention_backward(float* dqkv, const float* dout, const float* out, const float* lse, const float* qkv,
                             const Forest& forest, const AttentionShape& shape, AttentionScratch& scratch,
                             Bf16Unit unit) {
    const int H = shape.head_dim;
    const std::ptrdiff_t stride = shape.stride(), out_stride = shape.heads * H;
    const int group = shape.heads / shape.kv_heads;
    Call call(shape, scratch, unit);
    for (int kv = 0; kv < shape.kv_heads; ++kv) {
        const ForestHead keys(forest, qkv + (shape.heads + kv) * H, shape, true, scratch);
        const auto n = static_cast<std::size_t>(keys.blocks()) * static_cast<std::size_t>(padded_value(H)) * kKeys;
        float* memory = scratch.bf16.key_gradients.resize(2 * n);
        std::memset(memory, 0, 2 * n * sizeof(float));
        const KeyGradients gradients{memory, memory + n};
        keys.for_tiles(shape, [&](int token, int rows, std::span<const KeyRun> runs) {
            call.find_blocks(runs);
            for (int head = kv * group; head < (kv + 1) * group; ++head) {
                const std::ptrdiff_t row = token * stride + head * H, mixed = token * out_stride + head * H;
                attend_backward(call, keys,
                                {rows,
                                 {dqkv + row, stride},
                                 {qkv + row, stride},
                                 {out + mixed, out_stride},
                                 {dout + mixed, out_stride},
                                 {lse + std::ptrdiff_t{token} * shape.heads + head, shape.heads}},
                                runs, gradients, shape, scratch);
            }
        });
        gather(dqkv + (shape.heads + kv) * H, keys, gradients, shape);
    }
}

// Caches

TDRM_BF16 void bf16_write_page(float* key_page, float* value_page, const float* qkv_row, int index,
                               const AttentionShape& shape) {
    const int H = shape.head_dim;
    const std::ptrdiff_t key = key_words(H), value = value_words(H);
    const float* k = qkv_row + shape.heads * H;
    const float* v = k + shape.kv_heads * H;
    alignas(64) Word pairs[kWidth];
    if (index == 0)  // what isn't there yet must be a number
        std::memset(value_page, 0, static_cast<std::size_t>(shape.kv_heads * value) * sizeof(Word));
    for (int kv = 0; kv < shape.kv_heads; ++kv, k += H, v += H) {
        Word* keys = words(key_page) + kv * key + index;
        for (int h = 0; h < padded_head(H); h += 2 * kHeadPairs) {
            round_row(pairs, 0, k + h, H - h, kHeadPairs);
            for (int p = 0; p < kHeadPairs; ++p, keys += kKeys) *keys = pairs[p];
        }
        Word* values = words(value_page) + kv * value + index / 2 * kWidth;
        for (int h = 0; h < H; h += kWidth, values += kValueBlock) {
            const __m512i half = _mm512_cvtepu16_epi32(round_first(v + h, H - h));
            const __m512i there = _mm512_loadu_si512(values);
            _mm512_storeu_si512(values, index % 2 == 0 ? half : _mm512_or_si512(there, _mm512_slli_epi32(half, 16)));
        }
    }
}

void bf16_fetch_page(const float* key_page, const float* value_page, int index, const AttentionShape& shape) {
    const std::ptrdiff_t value = value_words(shape.head_dim);
    for (std::ptrdiff_t i = 0; i < shape.kv_heads * key_words(shape.head_dim); i += kWidth)
        __builtin_prefetch(key_page + i);
    for (std::ptrdiff_t i = index / 2 * kWidth; i < shape.kv_heads * value; i += kValueBlock)
        __builtin_prefetch(value_page + i);
}

namespace {

/// One token's attention, head by head in each phase, so that the processor works on several at once.
void attend_token(Call& call, float* out, const float* q, std::span<const KeyRun> runs, std::ptrdiff_t offset,
                  const AttentionShape& shape, Floats& memory) {
    const int H = shape.head_dim, group = shape.heads / shape.kv_heads, columns = call.blocks() * kKeys;
    float* scores = memory.resize(static_cast<std::size_t>(shape.heads) * static_cast<std::size_t>(columns));
    for (int kv = 0; kv < shape.kv_heads; ++kv)
        call.score(scores + std::ptrdiff_t{kv} * group * columns, call.round_heads({q + kv * group * H, H}, group),
                   group, offset + kv * key_words(H));
    for (int head = 0; head < shape.heads; ++head)
        softmax_row(scores + head * std::ptrdiff_t{columns}, 0, columns, runs, shape.score_scale());
    for (int kv = 0; kv < shape.kv_heads; ++kv)
        call.mix({out + kv * group * H, H}, call.round_weights(scores + std::ptrdiff_t{kv} * group * columns, group),
                 group, offset + kv * value_words(H));
}

}  // namespace

void bf16_cached_attention(float* out, const float* qkv, int rows, std::span<const KeyRun> runs, std::ptrdiff_t offset,
                           const AttentionShape& shape, AttentionScratch& scratch, Bf16Unit unit) {
    const int H = shape.head_dim, group = shape.heads / shape.kv_heads;
    Call call(shape, scratch, unit);
    call.find_blocks(runs);
    if (rows == 1) return attend_token(call, out, qkv, runs, offset, shape, scratch.scores);
    for (int head = 0; head < shape.heads; ++head)
        attend(call, {out + head * H, shape.heads * H}, {nullptr, 0}, {qkv + head * H, shape.stride()}, rows, runs,
               offset + head / group * key_words(H), offset + head / group * value_words(H), shape.score_scale(),
               scratch.scores);
}

#else

namespace {
[[noreturn]] void none() { throw BugError("this processor has no products in bf16"); }
}  // namespace

void bf16_attention(float*, float*, const float*, const Forest&, const AttentionShape&, AttentionScratch&, Bf16Unit) {
    none();
}
void bf16_attention_backward(float*, const float*, const float*, const float*, const float*, const Forest&,
                             const AttentionShape&, AttentionScratch&, Bf16Unit) {
    none();
}
void bf16_write_page(float*, float*, const float*, int, const AttentionShape&) { none(); }
void bf16_fetch_page(const float*, const float*, int, const AttentionShape&) { none(); }
void bf16_cached_attention(float*, const float*, int, std::span<const KeyRun>, std::ptrdiff_t, const AttentionShape&,
                           AttentionScratch&, Bf16Unit) {
    none();
}

#endif

}  // namespace tdrm::model::ops
