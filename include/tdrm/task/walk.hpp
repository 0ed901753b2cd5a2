// Walk: add one of three offsets to a number, modulo m, so many times, and hit a target. Trajectories merge all the
// time, and the value of every state is exact. Grammar, vocabulary and truth: docs/tasks.md.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tdrm/task/task.hpp"

namespace tdrm::task {

struct WalkOptions {
    int modulus = 12;                    ///< numbers are 0 to modulus - 1; 4 to 100
    int steps = 8;                       ///< of every answer, 1 to 30
    bool to_zero = false;                ///< the target is always 0
    double noise = 1;                    ///< chance that a step of a demonstration is any offset, 0 to 1
    SplitSizes splits;                   ///< in the order in which they are filled
    std::vector<std::string> repeating;  ///< splits that may hold a problem twice

    /// All problems with these options, one sentence each; empty if there are none.
    [[nodiscard]] std::vector<std::string> validate() const;
};

/// @throws ConfigError listing all problems with the options, or if a split is larger than the space.
[[nodiscard]] std::unique_ptr<Task> make_walk(const WalkOptions& options, std::uint64_t seed);

}  // namespace tdrm::task
