// The kernels of an acceptance run: each on inputs of its own, with results as numbers.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "arrays.hpp"

namespace tdrm::gpu {

struct KernelCase {
    std::string name;
    std::function<std::vector<double>(Arrays&)> run;
    double tolerance;  ///< of |result - reference| / |reference|
};
/// Of every operation. @param quick small shapes, for checkers that are slow
[[nodiscard]] std::vector<KernelCase> kernel_cases(bool quick);

/// A forest of one prompt and answers, as tiles: what attention needs, on the host.
struct AttentionCase {
    HeadShape shape;
    int tokens = 0;
    std::vector<QueryTile> tiles;
    std::vector<KeyRange> ranges;
    std::vector<std::int32_t> row_of, positions;
    std::vector<SeenKeys> seen;
    std::vector<KeyTile> key_tiles;
    std::vector<KeyChunk> chunks;
    std::vector<QueryPart> parts;
    int num_shares = 0;
};
/// @param window tokens that a token looks back on, its own too; 0: all
[[nodiscard]] AttentionCase attention_case(const HeadShape& shape, int prompt, int answer, int answers, int window = 0);

}  // namespace tdrm::gpu
