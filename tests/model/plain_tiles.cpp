// The attention of tiles on a processor without them: src/model/bf16_attention.cpp once more, with each instruction of
// AMX replaced by what Intel's manual says that it does (Software Developer's Manual, TDPBF16PS).
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "tdrm/base/errors.hpp"

namespace plain {
namespace {

struct Tile {
    int rows = 0, bytes = 0;
    alignas(64) std::array<std::array<std::uint32_t, 16>, 16> row{};
};
std::array<Tile, 8> tiles;

void load_config(const void* shapes) {
    const auto* bytes = static_cast<const std::uint8_t*>(shapes);
    tdrm::ensure(bytes[0] == 1, "palette 1");
    for (std::size_t t = 0; t < tiles.size(); ++t) {
        tiles[t] = {};
        tiles[t].bytes = bytes[16 + 2 * t] | bytes[17 + 2 * t] << 8;
        tiles[t].rows = bytes[48 + t];
    }
}
void release() { tiles = {}; }
void zero(std::size_t t) {
    tdrm::ensure(tiles[t].rows > 0, "a tile has a shape");
    for (auto& row : tiles[t].row) row.fill(0);
}
void load(std::size_t t, const void* from, std::size_t stride) {
    zero(t);
    for (std::size_t r = 0; r < static_cast<std::size_t>(tiles[t].rows); ++r)
        std::memcpy(tiles[t].row[r].data(), static_cast<const char*>(from) + r * stride,
                    static_cast<std::size_t>(tiles[t].bytes));
}
void store(std::size_t t, void* to, std::size_t stride) {
    for (std::size_t r = 0; r < static_cast<std::size_t>(tiles[t].rows); ++r)
        std::memcpy(static_cast<char*>(to) + r * stride, tiles[t].row[r].data(),
                    static_cast<std::size_t>(tiles[t].bytes));
}
float low(std::uint32_t pair) { return std::bit_cast<float>(pair << 16U); }
float high(std::uint32_t pair) { return std::bit_cast<float>(pair & 0xffff0000U); }

void multiply(std::size_t c, std::size_t a, std::size_t b) {
    const auto pairs = static_cast<std::size_t>(tiles[a].bytes) / 4,
               columns = static_cast<std::size_t>(tiles[c].bytes) / 4;
    tdrm::ensure(
        tiles[c].rows == tiles[a].rows && tiles[b].rows == static_cast<int>(pairs) && tiles[b].bytes == tiles[c].bytes,
        "tiles fit together");
    for (std::size_t m = 0; m < static_cast<std::size_t>(tiles[c].rows); ++m)
        for (std::size_t n = 0; n < columns; ++n) {
            float even = 0, odd = 0;
            for (std::size_t k = 0; k < pairs; ++k) {
                even = std::fma(low(tiles[a].row[m][k]), low(tiles[b].row[k][n]), even);
                odd = std::fma(high(tiles[a].row[m][k]), high(tiles[b].row[k][n]), odd);
            }
            tiles[c].row[m][n] = std::bit_cast<std::uint32_t>(std::bit_cast<float>(tiles[c].row[m][n]) + (even + odd));
        }
}

}  // namespace
}  // namespace plain

#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbf16ps
#define _tile_loadconfig plain::load_config
#define _tile_release plain::release
#define _tile_zero plain::zero
#define _tile_loadd plain::load
#define _tile_stored plain::store
#define _tile_dpbf16ps plain::multiply
#define bf16_attention plain_attention
#define bf16_attention_backward plain_attention_backward
#define bf16_page_cells plain_page_cells
#define bf16_write_page plain_write_page
#define bf16_fetch_page plain_fetch_page
#define bf16_cached_attention plain_cached_attention
// NOLINTNEXTLINE(bugprone-suspicious-include): compiled once more
#include "bf16_attention.cpp"
