// Stages and commits as the command line names them.
#pragma once

#include <filesystem>
#include <string>

namespace tdrm::app {

/// "RUN/STAGE@version" in its parts.
struct StagePlace {
    std::filesystem::path run;   ///< "" if the text has no folder
    std::string stage, version;  ///< last, best, update-100, or "" where none is written

    [[nodiscard]] std::filesystem::path directory() const { return run / stage; }
    /// @throws ConfigError for another version
    [[nodiscard]] static StagePlace parse(const std::string& text);
};

}  // namespace tdrm::app
