// Attention with products in bf16: queries, keys, values, weights and their gradients are rounded where they are
// multiplied; scores, softmax and sums are fp32. As ops::attention and its kin otherwise. Local and single-threaded.
#pragma once

#include "tdrm/model/bf16_products.hpp"
#include "tdrm/model/ops.hpp"

namespace tdrm::model::ops {

/// Query rows that are computed together.
constexpr int kBf16AttentionRows = 16;

void bf16_attention(float* out, float* lse, const float* qkv, const Forest& forest, const AttentionShape& shape,
                    AttentionScratch& scratch, Bf16Unit unit);
void bf16_attention_backward(float* dqkv, const float* dout, const float* out, const float* lse, const float* qkv,
                             const Forest& forest, const AttentionShape& shape, AttentionScratch& scratch,
                             Bf16Unit unit);

/// Cells of 32 bits of a page of keys, and of one of values: pairs of numbers.
[[nodiscard]] std::ptrdiff_t bf16_page_cells(int kv_heads, int head_dim);
void bf16_write_page(float* key_page, float* value_page, const float* qkv_row, int index, const AttentionShape& shape);
void bf16_fetch_page(const float* key_page, const float* value_page, int index, const AttentionShape& shape);
void bf16_cached_attention(float* out, const float* qkv, int rows, std::span<const KeyRun> runs, std::ptrdiff_t offset,
                           const AttentionShape& shape, AttentionScratch& scratch, Bf16Unit unit);

}  // namespace tdrm::model::ops
