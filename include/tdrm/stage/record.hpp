// stage.json and results.json of a stage's folder, and the commit that a reference to a stage means.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tdrm/stage/context.hpp"
#include "tdrm/store/manifest.hpp"

namespace tdrm::stage {

/// stage.json: what a stage is and how far it is. Equal for equal results. Local.
struct StageRecord {
    std::string kind, identity, identity_text;
    bool done = false;
    StageOutcome outcome;
    std::vector<store::FileEntry> files;  ///< of a finished stage: those that no manifest covers

    /// Writes `directory`/stage.json with its own hash. @throws IoError
    void write(const std::filesystem::path& directory) const;
    /// Nothing if there is no stage yet.
    /// @throws DataError if the folder holds something, and stage.json doesn't say what
    [[nodiscard]] static std::optional<StageRecord> read(const std::filesystem::path& directory);
    /// The record of a finished stage. @param where begins the message @throws ConfigError if it isn't there or isn't
    /// done
    [[nodiscard]] static StageRecord read_finished(const std::string& where, const std::filesystem::path& directory);
};

/// Figures for stage.json and results.json; null for numbers that aren't finite, which JSON can't hold.
[[nodiscard]] nlohmann::json metrics_json(const train::Metrics& metrics);
/// The figures of a stage as a line for people: "N 64, majority 0.388, td last 0.753, pass@1 of base 0.2". What is
/// nested deeper, and texts within, are left out.
[[nodiscard]] std::string figures_text(const nlohmann::json& figures);
/// Writes `directory`/results.json: what the report shows. Local. @throws IoError
void write_results(const std::filesystem::path& directory, const nlohmann::json& results);

/// Sizes and hashes of the files in a finished stage's folder that no manifest covers, by their path in there: results,
/// metrics, rollouts. Those that tell the time alone are left out, so that equal runs have equal records.
[[nodiscard]] std::vector<store::FileEntry> loose_files(const std::filesystem::path& directory);

/// The update that "last", "best", "update-100" or "" (a value stage's best, else the last) means; its folder exists.
/// @throws ConfigError if there is no such commit
[[nodiscard]] std::int64_t referenced_update(const std::string& where, const std::string& version,
                                             const std::filesystem::path& directory, const StageRecord& record);

}  // namespace tdrm::stage
