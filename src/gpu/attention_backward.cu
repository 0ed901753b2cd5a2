// Attention backward, without atomics: queries' gradients by query tile, keys' and values' by key tile.
#include "attention.hpp"
#include "kernels.hpp"
#include "rotary.hpp"

namespace tdrm::gpu {
namespace {

__device__ __forceinline__ const bf16* query_row(const AttendGradient& of, int row, int head) {
    return of.qkv + static_cast<std::size_t>(row) * of.shape.stride() + head * of.shape.head_dim;
}
__device__ __forceinline__ const bf16* key_row(const AttendGradient& of, int row, int kv) {
    return query_row(of, row, of.shape.heads + kv);
}
__device__ __forceinline__ const bf16* value_row(const AttendGradient& of, int row, int kv) {
    return query_row(of, row, of.shape.heads + of.shape.kv_heads + kv);
}
/// Of row r and query head: where its lse, delta, and its part of d_out are.
__device__ __forceinline__ std::size_t head_index(const AttendGradient& of, int row, int head) {
    return static_cast<std::size_t>(row) * of.shape.heads + head;
}
__device__ __forceinline__ const bf16* d_out_row(const AttendGradient& of, int row, int head) {
    return of.d_out + head_index(of, row, head) * of.shape.head_dim;
}

/// A score becomes the probability p, and d_p the score's gradient.
__device__ __forceinline__ void differentiate(float& score, float& d_p, bool seen, float scale, float lse,
                                              float delta) {
    score = seen ? __expf(score * scale - lse) : 0.0F;
    d_p = score * (d_p - delta) * scale;
}

/// first += left x rows^T and second += other_left x other_rows^T, 16 rows of the warp each: scores, and the gradient
/// of probabilities.
template <int H, int BLOCKS>
__device__ __forceinline__ void multiply_both(float (&first)[BLOCKS][4], float (&second)[BLOCKS][4], const bf16* left,
                                              const bf16* other_left, const bf16* rows, const bf16* other_rows) {
    const int warp_rows = warp_id() * 16 * kPitch<H>;
#pragma unroll 4  // more would take registers for addresses
    for (int k = 0; k < H / 16; ++k) {
        std::uint32_t a[4], b[4];
        load_left<H>(a, left + warp_rows + k * 16);
        load_left<H>(b, other_left + warp_rows + k * 16);
        for (int n = 0; n < BLOCKS / 2; ++n) {
            multiply_rows<H>(first[2 * n], first[2 * n + 1], a, rows + n * 16 * kPitch<H> + k * 16);
            multiply_rows<H>(second[2 * n], second[2 * n + 1], b, other_rows + n * 16 * kPitch<H> + k * 16);
        }
    }
}

/// One warp a token and head.
__global__ void attend_delta(AttendDelta op) {
    const int row = static_cast<int>(blockIdx.x) * (kTileThreads / kLanes) + warp_id();
    const int head = static_cast<int>(blockIdx.y), width = op.shape.head_dim;
    if (row >= op.rows) return;
    const std::size_t at = static_cast<std::size_t>(row) * op.shape.heads + head;
    float sum = 0;
    for (int i = lane_id(); i < width; i += kLanes)
        sum += to_float(op.out[at * width + i]) * to_float(op.d_out[at * width + i]);
    sum = warp_sum(sum);
    if (lane_id() == 0) op.delta[at] = sum;
}

/// Columns of dq, dk and dv that one block sums up: as many as registers hold.
template <int H>
constexpr int kColumns = H <= 128 ? H : 128;

template <int H>
constexpr std::size_t kQueriesBytes = (2 * kTileRows + 2 * kKeyStep) * kPitch<H> * sizeof(bf16);

/// One block a query tile, head and kColumns: S = Q K^T, dP = dO V^T, dQ += dS K.
template <int H>
__global__ void __launch_bounds__(kTileThreads, 1) attend_queries(AttendQueries op) {
    DYNAMIC_SHARED(bf16, queries);
    bf16* d_outs = queries + kTileRows * kPitch<H>;
    bf16* keys = d_outs + kTileRows * kPitch<H>;
    bf16* values = keys + kKeyStep * kPitch<H>;
    const AttendGradient& of = op.of;
    const QueryTile tile = op.plan.tiles[blockIdx.x];
    const int head = static_cast<int>(blockIdx.y), kv = key_head(of.shape, head), width = of.shape.head_dim;
    const std::int32_t* row_of = op.plan.row_of + tile.first_row;
    load_rows<kTileRows, H, kTileThreads>(queries, tile.rows, width,
                                          [&](int r) { return query_row(of, row_of[r], head); });
    load_rows<kTileRows, H, kTileThreads>(d_outs, tile.rows, width,
                                          [&](int r) { return d_out_row(of, row_of[r], head); });
    const int first_column = static_cast<int>(blockIdx.z) * kColumns<H>;
    float dq[kColumns<H> / 8][4] = {}, lse[2], delta[2];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        const int r = warp_id() * 16 + fragment_row(h);
        const std::size_t at = head_index(of, row_of[r < tile.rows ? r : 0], head);
        lse[h] = of.lse[at];
        delta[h] = of.delta[at];
    }
    for (int i = 0; i < tile.ranges; ++i) {
        const KeyRange range = op.plan.ranges[tile.first_range + i];
        const SeenKeys* range_seen = op.plan.seen + static_cast<std::size_t>(tile.first_range + i) * kTileRows;
        for (int first = 0; first < range.count; first += kKeyStep) {
            __syncthreads();
            load_rows<kKeyStep, H, kTileThreads>(keys, range.count - first, width,
                                                 [&](int r) { return key_row(of, range.begin + first + r, kv); });
            load_rows<kKeyStep, H, kTileThreads>(values, range.count - first, width,
                                                 [&](int r) { return value_row(of, range.begin + first + r, kv); });
            cp_async_commit();
            cp_async_wait<0>();
            __syncthreads();
            float scores[kKeyStep / 8][4] = {}, d_p[kKeyStep / 8][4] = {};
            multiply_both<H>(scores, d_p, queries, d_outs, keys, values);
            for (int n = 0; n < kKeyStep / 8; ++n)
                for (int j = 0; j < 4; ++j) {
                    const int h = j / 2;
                    const SeenKeys seen = range_seen[warp_id() * 16 + fragment_row(h)];
                    differentiate(scores[n][j], d_p[n][j], sees(seen, first + fragment_column(n, j % 2)), of.scale,
                                  lse[h], delta[h]);
                }
            mix<H, kKeyStep>(dq, d_p, keys + first_column);
        }
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        const int r = warp_id() * 16 + fragment_row(h);
        if (r >= tile.rows) continue;
        float* to = op.dq + head_index(of, row_of[r], head) * width;
#pragma unroll
        for (int d = 0; d < kColumns<H> / 8; ++d)
            for (int j = 0; j < 2; ++j) {
                const int column = first_column + fragment_column(d, j);
                if (column < width) to[column] = dq[d][h * 2 + j];
            }
    }
}

/// What a block of attend_keys knows of a part's row beside its vectors. It lies behind the row's queries, where rows
/// are kept apart.
struct PartRow {
    float lse, delta;
    SeenKeys seen;  ///< of the tile's keys
};
static_assert(sizeof(PartRow) == kEight * sizeof(bf16));
template <int H>
constexpr std::size_t kKeysBytes = 2 * (kKeyTileKeys + kPartRows) * kPitch<H> * sizeof(bf16);
/// One block a chunk, query head and kColumns: S^T = K Q^T, dP^T = V dO^T, dV += P^T dO, dK += dS^T Q.
template <int H>
__global__ void __launch_bounds__(kTileThreads) attend_keys(AttendKeys op) {
    DYNAMIC_SHARED(bf16, keys);
    bf16* values = keys + kKeyTileKeys * kPitch<H>;
    bf16* queries = values + kKeyTileKeys * kPitch<H>;
    bf16* d_outs = queries + kPartRows * kPitch<H>;
    const auto known = [&](int r) -> PartRow& { return *reinterpret_cast<PartRow*>(queries + r * kPitch<H> + H); };
    const AttendGradient& of = op.of;
    const KeyChunk chunk = op.chunks[blockIdx.x];
    const int head = static_cast<int>(blockIdx.y), kv = key_head(of.shape, head), width = of.shape.head_dim;
    load_rows<kKeyTileKeys, H, kTileThreads>(keys, chunk.keys, width,
                                             [&](int r) { return key_row(of, chunk.begin + r, kv); });
    load_rows<kKeyTileKeys, H, kTileThreads>(values, chunk.keys, width,
                                             [&](int r) { return value_row(of, chunk.begin + r, kv); });
    const int first_column = static_cast<int>(blockIdx.z) * kColumns<H>;
    float dk[kColumns<H> / 8][4] = {}, dv[kColumns<H> / 8][4] = {};
    for (int i = 0; i < chunk.parts; ++i) {
        const QueryPart part = op.parts[chunk.first_part + i];
        const std::int32_t* row_of = op.plan.row_of + part.first_row;
        __syncthreads();
        load_rows<kPartRows, H, kTileThreads>(queries, part.rows, width,
                                              [&](int r) { return query_row(of, row_of[r], head); });
        load_rows<kPartRows, H, kTileThreads>(d_outs, part.rows, width,
                                              [&](int r) { return d_out_row(of, row_of[r], head); });
        cp_async_commit();
        if (const int r = static_cast<int>(threadIdx.x); r < kPartRows) {
            const std::size_t at = head_index(of, row_of[r < part.rows ? r : 0], head);
            const std::size_t of_row = static_cast<std::size_t>(part.range) * kTileRows + part.row_in_tile + r;
            const int first = chunk.begin - op.plan.ranges[part.range].begin;
            known(r) = {of.lse[at], of.delta[at],
                        r < part.rows ? seen_from(op.plan.seen[of_row], first) : SeenKeys{0, 0}};
        }
        cp_async_wait<0>();
        __syncthreads();
        float scores[kPartRows / 8][4] = {}, d_p[kPartRows / 8][4] = {};
        multiply_both<H>(scores, d_p, keys, values, queries, d_outs);
        for (int n = 0; n < kPartRows / 8; ++n)
            for (int j = 0; j < 4; ++j) {
                const int row = fragment_column(n, j % 2), key = warp_id() * 16 + fragment_row(j / 2);
                const PartRow& of_row = known(row);
                differentiate(scores[n][j], d_p[n][j], sees(of_row.seen, key), of.scale, of_row.lse, of_row.delta);
            }
        mix<H, kPartRows>(dv, scores, d_outs + first_column);
        mix<H, kPartRows>(dk, d_p, queries + first_column);
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        const int key = warp_id() * 16 + fragment_row(h);
        if (key >= chunk.keys) continue;
        const std::size_t share = head_index(of, chunk.first_share + key, head);
#pragma unroll
        for (int d = 0; d < kColumns<H> / 8; ++d)
            for (int j = 0; j < 2; ++j) {
                const int column = first_column + fragment_column(d, j);
                if (column >= width) continue;
                op.dk[share * width + column] = dk[d][h * 2 + j];
                op.dv[share * width + column] = dv[d][h * 2 + j];
            }
    }
}

/// Number `column` of key `key` of a tile: the shares of its chunks and of the query heads of a key head, in order.
__device__ __forceinline__ float sum_shares(const AttendReduce& op, const float* shares, const KeyTile& tile, int key,
                                            int kv, int column) {
    const int group = op.shape.heads / op.shape.kv_heads, width = op.shape.head_dim;
    float total = 0;
    for (int chunk = 0; chunk < tile.chunks; ++chunk)
        for (int g = 0; g < group; ++g) {
            const std::size_t share =
                static_cast<std::size_t>(tile.first_share + chunk * tile.keys + key) * op.shape.heads + kv * group + g;
            total += shares[share * width + column];
        }
    return total;
}

/// One block a key tile and head of q | k | v, one warp a token.
__global__ void attend_reduce(AttendReduce op) {
    const KeyTile tile = op.tiles[blockIdx.x];
    const HeadShape& shape = op.shape;
    const int head = static_cast<int>(blockIdx.y), width = shape.head_dim;
    const bool query = head < shape.heads, turns = head < shape.heads + shape.kv_heads;
    const int kv = (head - shape.heads) % shape.kv_heads;
    for (int key = warp_id(); key < tile.keys; key += kTileThreads / kLanes) {
        const int token = tile.begin + key;
        const auto number = [&](int column) {
            if (query) return op.dq[(static_cast<std::size_t>(token) * shape.heads + head) * width + column];
            return sum_shares(op, turns ? op.dk : op.dv, tile, key, kv, column);
        };
        bf16* to = op.d_qkv + static_cast<std::size_t>(token) * shape.stride() + head * width;
        for (int p = lane_id(); p < width / 2; p += kLanes) {
            const PairOfColumns at = columns_of_pair(op.rotary, p);
            float a = number(at.first), b = number(at.second);
            if (turns) turn(a, b, op.rotary, token, p, query, -1.0F);
            to[at.first] = to_bf16(a);
            to[at.second] = to_bf16(b);
        }
    }
}

}  // namespace

void start(const AttendDelta& op, Stream stream) {
    constexpr int warps = kTileThreads / kLanes;
    const dim3 grid(static_cast<unsigned>((op.rows + warps - 1) / warps), static_cast<unsigned>(op.shape.heads));
    launch(attend_delta, grid, kTileThreads, 0, stream, op);
}

void start(const AttendQueries& op, Stream stream) {
    with_head_width(op.of.shape.head_dim, [&]<int H>() {
        const dim3 grid(static_cast<unsigned>(op.plan.num_tiles), static_cast<unsigned>(op.of.shape.heads),
                        static_cast<unsigned>(H / kColumns<H>));
        launch(attend_queries<H>, grid, kTileThreads, kQueriesBytes<H>, stream, op);
    });
}

void start(const AttendKeys& op, Stream stream) {
    with_head_width(op.of.shape.head_dim, [&]<int H>() {
        const dim3 grid(static_cast<unsigned>(op.num_chunks), static_cast<unsigned>(op.of.shape.heads),
                        static_cast<unsigned>(H / kColumns<H>));
        launch(attend_keys<H>, grid, kTileThreads, kKeysBytes<H>, stream, op);
    });
}

void start(const AttendReduce& op, Stream stream) {
    const dim3 grid(static_cast<unsigned>(op.num_tiles), static_cast<unsigned>(op.shape.all()));
    launch(attend_reduce, grid, kTileThreads, 0, stream, op);
}

}  // namespace tdrm::gpu
