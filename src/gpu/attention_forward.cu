// Attention forward: tiles of rows over the flat run or over pages, and single rows over pages, with one step.
#include "attention.hpp"
#include "kernels.hpp"

namespace tdrm::gpu {
namespace {

/// 16 rows on their way through their keys, in fragments: out is what exp(score - top) has summed, mass its weights'
/// share of this lane. They live in registers, so loops over them are unrolled, whatever their length.
template <int H>
struct OnlineSoftmax {
    float out[H / 8][4];
    float top[2], mass[2];

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            top[h] = kMasked;
            mass[h] = 0;
        }
#pragma unroll
        for (int d = 0; d < H / 8; ++d)
            for (int j = 0; j < 4; ++j) out[d][j] = 0;
    }
};

/// Scores become weights exp(scale score - top); keys that aren't seen have none.
template <int H>
__device__ __forceinline__ void weigh(OnlineSoftmax<H>& rows, float (&scores)[kKeyStep / 8][4],
                                      const SeenKeys (&seen)[2], float scale) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        float top = rows.top[h];
        for (int n = 0; n < kKeyStep / 8; ++n)
            for (int j = 0; j < 2; ++j) {
                float& score = scores[n][h * 2 + j];
                score = sees(seen[h], fragment_column(n, j)) ? score * scale : kMasked;
                top = fmaxf(top, score);
            }
        top = fmaxf(top, __shfl_xor_sync(kWholeWarp, top, 1));
        top = fmaxf(top, __shfl_xor_sync(kWholeWarp, top, 2));
        const float keep = __expf(rows.top[h] - top);
        float mass = 0;
        for (int n = 0; n < kKeyStep / 8; ++n)
            for (int j = 0; j < 2; ++j) {
                float& weight = scores[n][h * 2 + j];
                weight = weight > kMasked / 2 ? __expf(weight - top) : 0.0F;
                mass += weight;
            }
        rows.top[h] = top;
        rows.mass[h] = rows.mass[h] * keep + mass;
#pragma unroll
        for (int d = 0; d < H / 8; ++d) {
            rows.out[d][h * 2] *= keep;
            rows.out[d][h * 2 + 1] *= keep;
        }
    }
}

/// 16 rows of queries: in registers, or where they are too wide for these, where they lie.
template <int H>
struct Queries {
    static constexpr bool kHeld = H <= 128;
    std::uint32_t held[kHeld ? H / 16 : 1][4];
    const bf16* at;

    __device__ __forceinline__ void hold(const bf16* rows) {
        at = rows;
        if constexpr (kHeld)
            for (int k = 0; k < H / 16; ++k) load_left<H>(held[k], at + k * 16);
    }
    /// out += columns 16 k, ... of the queries x those of 32 keys.
    __device__ __forceinline__ void multiply(float (&out)[kKeyStep / 8][4], const bf16* keys, int k) const {
        const auto by = [&](const std::uint32_t(&left)[4]) {
            for (int n = 0; n < kKeyStep / 16; ++n)
                multiply_rows<H>(out[2 * n], out[2 * n + 1], left, keys + n * 16 * kPitch<H> + k * 16);
        };
        if constexpr (kHeld) {
            by(held[k]);
        } else {
            std::uint32_t loaded[4];
            load_left<H>(loaded, at + k * 16);
            by(loaded);
        }
    }
};

/// kKeyStep keys: every kernel below takes the same step, so that rows have the same bits in each.
template <int H>
__device__ __forceinline__ void attend_step(OnlineSoftmax<H>& rows, const Queries<H>& q, const bf16* keys,
                                            const bf16* values, const SeenKeys (&seen)[2], float scale) {
    float scores[kKeyStep / 8][4] = {};
    for (int k = 0; k < H / 16; ++k) q.multiply(scores, keys, k);
    weigh<H>(rows, scores, seen, scale);
    mix<H, kKeyStep>(rows.out, scores, values);
}

/// Writes row h of the lane, a head's columns; @return its lse
template <int H>
__device__ __forceinline__ float finish(OnlineSoftmax<H>& rows, int h, bf16* out, bool valid, int head_dim) {
    float mass = rows.mass[h];
    mass += __shfl_xor_sync(kWholeWarp, mass, 1);
    mass += __shfl_xor_sync(kWholeWarp, mass, 2);
    if (!valid) return 0;
#pragma unroll
    for (int d = 0; d < H / 8; ++d)
        for (int j = 0; j < 2; ++j) {
            const int column = fragment_column(d, j);
            if (column < head_dim) out[column] = to_bf16(rows.out[d][h * 2 + j] / mass);
        }
    return rows.top[h] + logf(mass);
}

/// Where key `i` of a range lies, of one key head.
struct KeyRow {
    const bf16* key;
    const bf16* value;
};
template <bool Paged, class Op>
__device__ __forceinline__ KeyRow find_key(const Op& op, const KeyRange& range, int i, int kv) {
    const HeadShape& shape = op.shape;
    if constexpr (Paged) {
        const std::size_t page = static_cast<std::size_t>(op.pages[range.begin + i / kPageTokens]);
        const std::size_t at =
            ((page * shape.kv_heads + kv) * kPageTokens + static_cast<std::size_t>(i % kPageTokens)) * shape.head_dim;
        return {op.key_pages + at, op.value_pages + at};
    } else {
        const bf16* key = op.qkv + static_cast<std::size_t>(range.begin + i) * shape.stride() +
                          static_cast<std::size_t>(shape.heads + kv) * shape.head_dim;
        return {key, key + static_cast<std::size_t>(shape.kv_heads) * shape.head_dim};
    }
}

/// A step's keys and values, from key `first` of a range on.
template <int H, int THREADS, bool Paged, class Op>
__device__ __forceinline__ void load_step(bf16* keys, bf16* values, const Op& op, const KeyRange& range, int first,
                                          int kv) {
    const int count = range.count - first, width = op.shape.head_dim;
    load_rows<kKeyStep, H, THREADS>(keys, count, width,
                                    [&](int r) { return find_key<Paged>(op, range, first + r, kv).key; });
    load_rows<kKeyStep, H, THREADS>(values, count, width,
                                    [&](int r) { return find_key<Paged>(op, range, first + r, kv).value; });
}

/// Which step of a sequence of ranges.
struct Cursor {
    int range, key;
    __device__ __forceinline__ Cursor next(const KeyRange* ranges) const {
        return key + kKeyStep < ranges[range].count ? Cursor{range, key + kKeyStep} : Cursor{range + 1, 0};
    }
};

constexpr int kTileBuffers = 2;
template <int H>
constexpr std::size_t kTileBytes = (kTileRows + 2 * kTileBuffers * kKeyStep) * kPitch<H> * sizeof(bf16);

/// One block a tile and query head; the next step's keys are on their way while one is computed.
template <int H, bool Paged>
__global__ void __launch_bounds__(kTileThreads, 1) attend(Attend op) {
    DYNAMIC_SHARED(bf16, queries);
    bf16* buffers = queries + kTileRows * kPitch<H>;
    const QueryTile tile = op.plan.tiles[blockIdx.x];
    const int head = static_cast<int>(blockIdx.y), kv = key_head(op.shape, head), width = op.shape.head_dim;
    const std::int32_t* row_of = op.plan.row_of + tile.first_row;
    const KeyRange* ranges = op.plan.ranges + tile.first_range;
    const SeenKeys* tile_seen = op.plan.seen + static_cast<std::size_t>(tile.first_range) * kTileRows;
    const auto keys_of = [&](int step) { return buffers + step % kTileBuffers * 2 * kKeyStep * kPitch<H>; };
    const auto values_of = [&](int step) { return keys_of(step) + kKeyStep * kPitch<H>; };
    const auto load = [&](int step, Cursor at) {
        if (at.range < tile.ranges)
            load_step<H, kTileThreads, Paged>(keys_of(step), values_of(step), op, ranges[at.range], at.key, kv);
        cp_async_commit();
    };
    load_rows<kTileRows, H, kTileThreads>(queries, tile.rows, width, [&](int r) {
        return op.qkv + static_cast<std::size_t>(row_of[r]) * op.shape.stride() + head * width;
    });
    OnlineSoftmax<H> rows;
    rows.clear();
    Queries<H> q;
    Cursor now{0, 0};
    load(0, now);
    for (int step = 0; now.range < tile.ranges; ++step) {
        const Cursor next = now.next(ranges);
        load(step + 1, next);
        cp_async_wait<1>();
        __syncthreads();
        if (step == 0) q.hold(queries + warp_id() * 16 * kPitch<H>);
        SeenKeys seen[2];
#pragma unroll
        for (int h = 0; h < 2; ++h)
            seen[h] = seen_from(tile_seen[now.range * kTileRows + warp_id() * 16 + fragment_row(h)], now.key);
        attend_step<H>(rows, q, keys_of(step), values_of(step), seen, op.scale);
        __syncthreads();
        now = next;
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        const int r = warp_id() * 16 + fragment_row(h);
        const bool valid = r < tile.rows;
        const std::size_t at = static_cast<std::size_t>(row_of[valid ? r : 0]) * op.shape.heads + head;
        const float lse = finish<H>(rows, h, op.out + at * width, valid, width);
        if (valid && op.lse != nullptr && lane_id() % 4 == 0) op.lse[at] = lse;
    }
}

/// The widest heads leave room for fewer.
template <int H>
constexpr int kRowBuffers = H <= 128 ? 3 : 2;
template <int H>
constexpr std::size_t kRowBytes = (16 + 2 * kRowBuffers<H> * kKeyStep) * kPitch<H> * sizeof(bf16);

/// One warp a row and key head: its 16 rows are the query heads that share the key head.
template <int H>
__global__ void __launch_bounds__(kLanes, 1) attend_once(AttendOnce op) {
    DYNAMIC_SHARED(bf16, queries);
    bf16* buffers = queries + 16 * kPitch<H>;
    const HeadShape& shape = op.shape;
    const int row = static_cast<int>(blockIdx.x), kv = static_cast<int>(blockIdx.y), width = shape.head_dim;
    const int group = shape.heads / shape.kv_heads, first = static_cast<int>(blockIdx.z) * 16;
    const int heads = min(group - first, 16), first_head = kv * group + first;
    const KeyRange* ranges = op.ranges + op.first_range[row];
    const int num_ranges = op.first_range[row + 1] - op.first_range[row];
    const int first_key = op.first_key == nullptr ? 0 : op.first_key[row];
    const auto keys_of = [&](int step) { return buffers + step % kRowBuffers<H> * 2 * kKeyStep * kPitch<H>; };
    const auto values_of = [&](int step) { return keys_of(step) + kKeyStep * kPitch<H>; };
    const auto load = [&](int step, Cursor at) {
        if (at.range < num_ranges)
            load_step<H, kLanes, true>(keys_of(step), values_of(step), op, ranges[at.range], at.key, kv);
        cp_async_commit();
        return at.range < num_ranges ? at.next(ranges) : at;
    };
    load_rows<16, H, kLanes>(queries, heads, width, [&](int r) {
        return op.qkv + static_cast<std::size_t>(row) * shape.stride() + (first_head + r) * width;
    });
    OnlineSoftmax<H> rows;
    rows.clear();
    Queries<H> q;
    constexpr int steps_ahead = kRowBuffers<H> - 1;
    Cursor ahead{0, 0};
    for (int step = 0; step < steps_ahead; ++step) ahead = load(step, ahead);
    Cursor now{0, 0};
    for (int step = 0; now.range < num_ranges; ++step) {
        ahead = load(step + steps_ahead, ahead);
        cp_async_wait<steps_ahead>();
        __syncwarp();
        if (step == 0) q.hold(queries);
        const SeenKeys seen{(now.range == 0 ? first_key : 0) - now.key, ranges[now.range].count - now.key};
        attend_step<H>(rows, q, keys_of(step), values_of(step), {seen, seen}, op.scale);
        __syncwarp();  // the next load overwrites what this step read
        now = now.next(ranges);
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        const int r = fragment_row(h);
        const std::size_t at = static_cast<std::size_t>(row) * shape.heads + first_head + (r < heads ? r : 0);
        (void)finish<H>(rows, h, op.out + at * width, r < heads, width);
    }
}

}  // namespace

void start(const Attend& op, Stream stream) {
    const dim3 grid(static_cast<unsigned>(op.plan.num_tiles), static_cast<unsigned>(op.shape.heads));
    with_head_width(op.shape.head_dim, [&]<int H>() {
        launch(op.key_pages != nullptr ? attend<H, true> : attend<H, false>, grid, kTileThreads, kTileBytes<H>, stream,
               op);
    });
}

void start(const AttendOnce& op, Stream stream) {
    const int group = op.shape.heads / op.shape.kv_heads;
    const dim3 grid(static_cast<unsigned>(op.rows), static_cast<unsigned>(op.shape.kv_heads),
                    static_cast<unsigned>((group + 15) / 16));
    with_head_width(op.shape.head_dim,
                    [&]<int H>() { launch(attend_once<H>, grid, kLanes, kRowBytes<H>, stream, op); });
}

}  // namespace tdrm::gpu
