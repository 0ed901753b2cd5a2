// Countdown: combine all numbers to a target. Grammar, vocabulary and truth: docs/tasks.md.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tdrm/task/task.hpp"

namespace tdrm::task {

struct CountdownOptions {
    int numbers = 4;       ///< per problem, 3 to 5
    int max_number = 12;   ///< numbers are in [1, max_number], 2 to 100
    int max_target = 60;   ///< targets are in [1, max_target], at most max_result
    int max_result = 144;  ///< results of steps are in [1, max_result], max_number to 1000
    double noise = 0;      ///< probability in [0, 1] that a step of a demonstration is random legal play
    SplitSizes splits;     ///< in the order in which they are filled
    std::vector<std::string> repeating = {"sft"};  ///< splits that may hold a problem twice (other order of numbers)

    /// All problems with these options, one sentence each; empty if there are none.
    [[nodiscard]] std::vector<std::string> validate() const;
};

/// @throws ConfigError listing all problems with the options, or if a split is larger than the space.
[[nodiscard]] std::unique_ptr<Task> make_countdown(const CountdownOptions& options, std::uint64_t seed);

}  // namespace tdrm::task
