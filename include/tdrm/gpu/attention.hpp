// Attention over a token forest: tiles of query rows, ranges of keys, and for each row which keys of a range it sees.
//
// A row goes through its ranges root first, in steps of 32 keys counted from a range's first key. Keys that it doesn't
// see change nothing, bit for bit: the maximum stays, what was summed is multiplied by exp(0), and weights are 0. So a
// row's bits depend on what it sees alone, not on the tile that it sits in nor on whether keys lie in the flat run or
// in pages; and decoding gives the bits of the forest, if both cut sequences into segments alike.
#pragma once

#include <cstdint>

#include "tdrm/gpu/rows.hpp"
#include "tdrm/gpu/types.hpp"

namespace tdrm::gpu {

inline constexpr int kTileRows = 64;     ///< of a query tile
inline constexpr int kKeyTileKeys = 64;  ///< whose gradients one block computes
inline constexpr int kPartRows = 32;     ///< query rows that a block meets at a time in the backward pass

/// Keys that one step takes.
inline constexpr int kKeyStep = 32;

/// Keys begin, ..., begin + count - 1 of the flat run; with pages, key i lies in pages[begin + i / kPageTokens]. What
/// nobody of a tile sees, because a window has passed it, may be left out in front, whole steps at a time.
struct KeyRange {
    std::int32_t begin, count;
};
/// Keys first, ..., end - 1 of a range.
struct SeenKeys {
    std::int32_t first, end;
};
/// Rows first_row, ... of `row_of`, at most kTileRows, and the ranges that some of them see.
struct QueryTile {
    std::int32_t first_row, rows, first_range, ranges;
};
struct QueryPlan {
    const QueryTile* tiles;
    const KeyRange* ranges;
    const std::int32_t* row_of;  ///< where each row's queries are
    const SeenKeys* seen;        ///< [range][kTileRows]: what the tile's rows see of the range
    int num_tiles;
};

/// out_T(NH) = softmax(scale q k^T) v, and lse_TN, the log of the softmax's denominator (null: not wanted). Rows of qkv
/// hold q | k | v; where there are pages, keys and values come from there.
struct Attend {
    bf16* out;
    float* lse;
    const bf16* qkv;
    QueryPlan plan;
    HeadShape shape;
    float scale;
    const bf16* key_pages;  ///< [page][K][kPageTokens][H]; null: none
    const bf16* value_pages;
    const std::int32_t* pages;
};

/// The same for one row a sequence, from pages: row r sees ranges first_range[r] to first_range[r + 1] whole, but for
/// the keys of the first of them before first_key[r] (null: none).
struct AttendOnce {
    bf16* out;
    const bf16* qkv;
    const KeyRange* ranges;
    const std::int32_t* first_range;
    const std::int32_t* first_key;
    int rows;
    HeadShape shape;
    float scale;
    const bf16* key_pages;
    const bf16* value_pages;
    const std::int32_t* pages;
};

// The backward pass. No sum over blocks is left to chance: queries' gradients are summed by query tile, those of keys
// and values by key tile, query head and chunk of queries, and AttendReduce adds these up in order.

/// What all parts of the backward pass read.
struct AttendGradient {
    const bf16* qkv;
    const bf16* d_out;
    const float* lse;
    const float* delta;  ///< TN, out . d_out
    HeadShape shape;
    float scale;
};
/// delta = out . d_out of each row and head.
struct AttendDelta {
    float* delta;
    const bf16* out;
    const bf16* d_out;
    int rows;
    HeadShape shape;
};
/// dq_T(NH) in fp32.
struct AttendQueries {
    float* dq;
    AttendGradient of;
    QueryPlan plan;
};

/// At most kPartRows rows of a query tile, from its row `row_in_tile` on, which see a range.
struct QueryPart {
    std::int32_t first_row, rows, range, row_in_tile;
};
/// Keys begin, ... of the flat run, at most kKeyTileKeys; some of the parts that see them; and where their shares lie.
struct KeyChunk {
    std::int32_t begin, keys, first_part, parts, first_share;
};
/// dk, dv [share][N][H] in fp32: what a chunk's queries add to one of its keys.
struct AttendKeys {
    float* dk;
    float* dv;
    AttendGradient of;
    QueryPlan plan;
    const KeyChunk* chunks;
    const QueryPart* parts;
    int num_chunks;
};
/// Keys, and the shares of their chunks, one chunk behind the other. Key tiles cover all tokens.
struct KeyTile {
    std::int32_t begin, keys, first_share, chunks;
};
/// d_qkv: sums of dk and dv over chunks and over the query heads that share a key head, in order, and dq; queries and
/// keys turned back.
struct AttendReduce {
    bf16* d_qkv;
    const float* dq;
    const float* dk;
    const float* dv;
    const KeyTile* tiles;
    int num_tiles;
    Rotary rotary;
    HeadShape shape;
};

/// Heads are computed in the next width of these; a head's width is a multiple of 8.
inline constexpr int kLargestHead = 256;

}  // namespace tdrm::gpu
