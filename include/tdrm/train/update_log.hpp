// metrics.jsonl and timing.jsonl of a training stage: a line an update. Metrics are part of the result (equal in equal
// runs), times aren't. A commit knows length and hash of the metrics before it, so that they are cut back to it exactly
// and damage is seen. Rank 0 writes; on the other ranks nothing happens.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "tdrm/base/hash.hpp"
#include "tdrm/train/metrics.hpp"

namespace tdrm::train {

/// metrics.jsonl up to a commit.
struct LogMark {
    std::int64_t bytes = 0;
    std::string hash;  ///< tdrm::hash_hex of these bytes
};

/// Local. Why `directory`/metrics.jsonl doesn't begin with what the mark describes; empty if it does.
[[nodiscard]] std::string log_damage(const std::filesystem::path& directory, const LogMark& mark);

class UpdateLog {
public:
    UpdateLog(std::filesystem::path directory, bool writes) : directory_(std::move(directory)), writes_(writes) {}

    /// Drops what was written after the commit of `update` (a killed run wrote it), and opens both files for appending.
    /// @throws IoError
    void cut(std::int64_t update, const LogMark& mark);
    void metrics(std::int64_t update, const Metrics& figures);
    void timing(std::int64_t update, const Metrics& seconds) { write(timing_, update, seconds); }
    /// Everything written so far reaches the disk. @throws IoError, on a full disk say
    LogMark flush();

private:
    std::string write(std::ofstream& file, std::int64_t update, const Metrics& figures);

    std::filesystem::path directory_;
    bool writes_;
    std::ofstream metrics_, timing_;
    std::int64_t bytes_ = 0;  ///< of metrics.jsonl
    Hasher hasher_;           ///< of the same
};

}  // namespace tdrm::train
