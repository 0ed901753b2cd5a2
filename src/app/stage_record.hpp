// stage.json: what a stage is and how far it is. Equal for equal results. Private to this room.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "tdrm/app/context.hpp"

namespace tdrm::app {

struct StageRecord {
    std::string kind, identity, identity_text;
    bool done = false;
    StageOutcome outcome;

    /// Writes `directory`/stage.json with its own hash. @throws IoError
    void write(const std::filesystem::path& directory) const;
    /// Nothing if there is no stage yet.
    /// @throws DataError if the folder holds something, and stage.json doesn't say what
    static std::optional<StageRecord> read(const std::filesystem::path& directory);
};

}  // namespace tdrm::app
