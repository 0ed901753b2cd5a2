// The attention of processors with AMX where no tile ever pays: src/model/bf16_attention.cpp once more.
#define TDRM_FEW_ROWS (1 << 20)
#define bf16_attention vector_attention
#define bf16_attention_backward vector_attention_backward
#define bf16_page_cells vector_page_cells
#define bf16_write_page vector_write_page
#define bf16_fetch_page vector_fetch_page
#define bf16_cached_attention vector_cached_attention
// NOLINTNEXTLINE(bugprone-suspicious-include): compiled once more
#include "bf16_attention.cpp"
