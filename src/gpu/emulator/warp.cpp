// Fragment layouts: PTX ISA, mma.m16n8k16 and ldmatrix.
#include "warp.hpp"

#include <bit>
#include <cstring>

#include "fiber.hpp"
#include "machine.hpp"

namespace tdrm::gpu::emulator {
namespace {

float low(std::uint32_t pair) { return std::bit_cast<float>(pair << 16U); }
float high(std::uint32_t pair) { return std::bit_cast<float>(pair & 0xffff0000U); }

void compute_exchange(Round& round) {
    for (int l = 0; l < kWarp; ++l)
        for (int i = 0; i < 2; ++i) round.out[l][i] = round.in[round.in[l][2]][i];
}

void compute_mma(Round& round) {
    float a[16][16], b[16][8], c[16][8]{};
    for (int l = 0; l < kWarp; ++l) {
        const int group = l / 4, pair = l % 4 * 2;
        for (int i = 0; i < 4; ++i) {
            const int row = group + i % 2 * 8, k = pair + i / 2 * 8;
            a[row][k] = low(round.in[l][i]);
            a[row][k + 1] = high(round.in[l][i]);
        }
        for (int i = 0; i < 2; ++i) {
            const int k = pair + i * 8;
            b[k][group] = low(round.in[l][4 + i]);
            b[k + 1][group] = high(round.in[l][4 + i]);
        }
    }
    for (int row = 0; row < 16; ++row)
        for (int k = 0; k < 16; ++k)
            for (int column = 0; column < 8; ++column) c[row][column] += a[row][k] * b[k][column];
    for (int l = 0; l < kWarp; ++l)
        for (int i = 0; i < 4; ++i)
            round.out[l][i] = std::bit_cast<std::uint32_t>(c[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2]);
}

const char* compute_ldmatrix(Round& round) {
    const bool transposed = round.kind == Collective::ldmatrix_transposed;
    for (int m = 0; m < 4; ++m) {
        std::uint16_t numbers[8][8];
        for (int i = 0; i < 8; ++i) {
            void* row = nullptr;
            std::memcpy(&row, round.in[m * 8 + i], sizeof row);
            if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0) return "a row of ldmatrix isn't aligned to 16 bytes";
            note_read(row, 16);
            std::memcpy(numbers[i], row, 16);
        }
        for (int l = 0; l < kWarp; ++l) {
            const int i = l / 4, j = l % 4 * 2;
            const std::uint32_t first = transposed ? numbers[j][i] : numbers[i][j];
            const std::uint32_t second = transposed ? numbers[j + 1][i] : numbers[i][j + 1];
            round.out[l][m] = first | second << 16U;
        }
    }
    return nullptr;
}

}  // namespace

const char* compute(Round& round) {
    switch (round.kind) {
        case Collective::barrier:
            return nullptr;
        case Collective::exchange:
            compute_exchange(round);
            return nullptr;
        case Collective::mma:
            compute_mma(round);
            return nullptr;
        default:
            return compute_ldmatrix(round);
    }
}

void exchange(const std::uint32_t (&mine)[2], int from, std::uint32_t (&theirs)[2]) {
    const std::uint32_t in[3]{mine[0], mine[1], static_cast<std::uint32_t>(from)};
    collective(Collective::exchange, in, 3, theirs, 2);
}

void mma(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
    const std::uint32_t in[6]{a[0], a[1], a[2], a[3], b[0], b[1]};
    std::uint32_t out[4];
    collective(Collective::mma, in, 6, out, 4);
    for (int i = 0; i < 4; ++i) c[i] += std::bit_cast<float>(out[i]);
}

void ldmatrix(std::uint32_t (&fragments)[4], const void* row, bool transposed) {
    std::uint32_t in[2];
    std::memcpy(in, &row, sizeof row);
    collective(transposed ? Collective::ldmatrix_transposed : Collective::ldmatrix, in, 2, fragments, 4);
}

}  // namespace tdrm::gpu::emulator
