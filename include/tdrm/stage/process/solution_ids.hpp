// Solutions that come as texts, as ids: each step is encoded on its own, so that its end is an exact token position and
// no token belongs to two steps.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tdrm/task/task.hpp"

namespace tdrm::stage {

struct SolutionIds {
    task::Tokens ids;                     ///< all steps
    std::vector<std::int32_t> step_ends;  ///< as Trajectories::step_ends; a step of no tokens ends where it begins
};
/// Steps with `separator` behind each but the last; behind that one too where the solution goes on (`complete` false).
/// The end token isn't added. @throws DataError if a text can't be encoded
[[nodiscard]] SolutionIds solution_ids(const task::Task& task, const std::vector<std::string>& steps,
                                       const std::string& separator, bool complete);

}  // namespace tdrm::stage
