// What `tdrm replay` prints. Private to the room.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "tdrm/task/task.hpp"
#include "tdrm/train/rl.hpp"

namespace tdrm::stage {

/// The figures of an update beside those of metrics.jsonl, stored numbers that came out otherwise, and the account of
/// one answer, token by token.
struct ReplayPage {
    std::string title;
    train::Metrics metrics;                              ///< of the update, computed again
    std::filesystem::path logged;                        ///< metrics.jsonl
    std::int64_t update = 0;                             ///< updates before this one
    double changed_rewards = 0, changed_advantages = 0;  ///< largest difference from the stored ones

    /// @throws DataError if metrics.jsonl lacks the update
    [[nodiscard]] std::string text(const task::Task& task, train::RlObjective& objective, std::size_t row) const;
};

}  // namespace tdrm::stage
