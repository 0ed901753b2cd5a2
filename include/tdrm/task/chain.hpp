// Chain: evaluate a chain of operations modulo m from left to right. Grammar, vocabulary and truth: docs/tasks.md.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tdrm/task/task.hpp"

namespace tdrm::task {

struct ChainOptions {
    int min_steps = 3;                   ///< operations per problem, 1 to max_steps
    int max_steps = 8;                   ///< at most 16
    int modulus = 10;                    ///< 2 to 100
    double noise = 0;                    ///< probability in [0, 1] that a step of a demonstration has a wrong result
    SplitSizes splits;                   ///< in the order in which they are filled
    std::vector<std::string> repeating;  ///< splits that may hold a problem twice

    /// All problems with these options, one sentence each; empty if there are none.
    [[nodiscard]] std::vector<std::string> validate() const;
};

/// @throws ConfigError listing all problems with the options, or if a split is larger than the space.
[[nodiscard]] std::unique_ptr<Task> make_chain(const ChainOptions& options, std::uint64_t seed);

}  // namespace tdrm::task
