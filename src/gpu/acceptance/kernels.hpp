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
/// All of them. @param quick small shapes, for checkers that are slow
[[nodiscard]] std::vector<KernelCase> kernel_cases(bool quick);

/// A forest of one prompt and answers, as tiles: what attention needs, on the host.
struct AttentionCase {
    HeadShape shape;
    int tokens = 0;
    std::vector<QueryTile> tiles;
    std::vector<KeyRange> ranges;
    std::vector<std::int32_t> row_of, limits, positions;
    std::vector<KeyTile> key_tiles;
    std::vector<KeyChunk> chunks;
    std::vector<QueryPart> parts;
};
[[nodiscard]] AttentionCase attention_case(const HeadShape& shape, int prompt, int answer, int answers);

}  // namespace tdrm::gpu
