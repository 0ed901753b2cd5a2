// The runner of map stages: units in fixed blocks, a part file a block, one merge at the end. Blocks, and so files,
// don't depend on the ranks; a killed run loses the blocks in flight and nothing else.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tdrm/stage/context.hpp"
#include "tdrm/store/file.hpp"

namespace tdrm::stage {

struct MapWork {
    std::string label;                ///< of the progress line
    std::int64_t units = 0;           ///< of the whole stage
    std::int64_t block = 1;           ///< units of a part
    std::filesystem::path directory;  ///< of the table; the part files lie in `parts` below it
    /// Local. Computes units [begin, end) into a part file.
    std::function<void(std::int64_t begin, std::int64_t end, store::FileWriter& part)> work;
    /// Local, on rank 0. Joins all parts, in order, into a table with a manifest in `directory`.
    std::function<void(const std::vector<std::filesystem::path>& parts)> merge;
};

/// Units of a block: about `wanted`, but at least 8 blocks in all where there are enough units. Never depends on ranks.
[[nodiscard]] std::int64_t block_size(std::int64_t units, std::int64_t wanted);

/// Collective. Whether `directory` holds a whole table already. Clears up what a killed run left beside it.
[[nodiscard]] bool map_is_done(StageContext& context, const std::filesystem::path& directory);

/// Collective. Computes the blocks that are missing, each by whichever rank is free, then merges.
/// @throws Preempted after the blocks in flight if a stop was requested
void run_map(StageContext& context, const MapWork& work);

/// A part file carries the hash of its bytes in its name: part-000012.<hash>.h5.
/// Local. Whole parts in `directory` by block; damaged and unfinished ones are removed.
[[nodiscard]] std::vector<std::filesystem::path> whole_parts(const std::filesystem::path& directory,
                                                             std::int64_t blocks);

}  // namespace tdrm::stage
