// Rotary positions of one head.
#pragma once

#include "portable.hpp"
#include "tdrm/gpu/rows.hpp"

namespace tdrm::gpu {

struct PairOfColumns {
    int first, second;
};

/// Pairs that turn come first; what is left are neighbours behind them.
__device__ __forceinline__ PairOfColumns columns_of_pair(const Rotary& rotary, int pair) {
    if (pair < rotary.pairs && !rotary.interleaved) return {pair, pair + rotary.pairs};
    return {2 * pair, 2 * pair + 1};
}

/// Turns a pair of a token (direction 1) or back (-1); queries grow in either direction.
__device__ __forceinline__ void turn(float& a, float& b, const Rotary& rotary, int token, int pair, bool query,
                                     float direction) {
    const int angle = rotary.angles[token];
    if (query && rotary.growth != nullptr) {
        a *= rotary.growth[angle];
        b *= rotary.growth[angle];
    }
    if (pair >= rotary.pairs) return;
    const std::size_t at = static_cast<std::size_t>(angle) * rotary.pairs + pair;
    const float cosine = rotary.cosine[at], sine = rotary.sine[at] * direction, before = a;
    a = before * cosine - b * sine;
    b = b * cosine + before * sine;
}

/// Where the key or value head of a row lies in its page; null for queries, or without pages.
__device__ __forceinline__ bf16* page_row(const TurnHeads& op, int row, int head) {
    const HeadShape& shape = op.shape;
    if (op.key_pages == nullptr || head < shape.heads) return nullptr;
    const int kv = (head - shape.heads) % shape.kv_heads;
    const std::size_t place = static_cast<std::size_t>(op.places[row]);
    const std::size_t page = place / kPageTokens, slot = place % kPageTokens;
    return (head < shape.heads + shape.kv_heads ? op.key_pages : op.value_pages) +
           ((page * shape.kv_heads + kv) * kPageTokens + slot) * shape.head_dim;
}

}  // namespace tdrm::gpu
