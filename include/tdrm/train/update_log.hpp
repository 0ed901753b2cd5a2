// metrics.jsonl and timing.jsonl of a training stage: a line an update. Metrics are part of the result (equal in equal
// runs), times aren't. Rank 0 writes; on the other ranks nothing happens.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>

#include "tdrm/train/metrics.hpp"

namespace tdrm::train {

class UpdateLog {
public:
    UpdateLog(const std::filesystem::path& directory, bool writes) : directory_(directory), writes_(writes) {}

    /// Drops the lines of updates after `update` (a killed run wrote them), and opens both files for appending.
    /// @throws IoError
    void cut(std::int64_t update);
    void metrics(std::int64_t update, const Metrics& figures) { write(metrics_, update, figures); }
    void timing(std::int64_t update, const Metrics& seconds) { write(timing_, update, seconds); }
    /// Everything written so far reaches the disk. @throws IoError, on a full disk say
    void flush();

private:
    void write(std::ofstream& file, std::int64_t update, const Metrics& figures);

    std::filesystem::path directory_;
    bool writes_;
    std::ofstream metrics_, timing_;
};

}  // namespace tdrm::train
