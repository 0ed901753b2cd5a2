// What the lanes of a warp do together.
#pragma once

#include <cstdint>

namespace tdrm::gpu::emulator {

inline constexpr int kWarp = 32;

enum class Collective { barrier, exchange, mma, ldmatrix, ldmatrix_transposed };

/// What lanes bring to a collective and get from it.
struct Round {
    Collective kind{};
    std::uint32_t in[kWarp][6]{};
    std::uint32_t out[kWarp][4]{};
};
/// A round's lanes may still read when those of the next one write.
struct Warp {
    Round rounds[2];
};

/// Brings `words` words of the running lane, and takes `results` once the whole warp has brought its own.
void collective(Collective kind, const std::uint32_t* in, int words, std::uint32_t* out, int results);
/// Fills a round's `out`, when all lanes are there. @return what is wrong, or null
const char* compute(Round& round);

}  // namespace tdrm::gpu::emulator
