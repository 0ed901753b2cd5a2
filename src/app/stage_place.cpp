#include "stage_place.hpp"

#include "tdrm/base/errors.hpp"

namespace tdrm::app {

StagePlace StagePlace::parse(const std::string& text) {
    // A version follows the last @; one inside of brackets or a folder's name belongs to the name.
    const auto at = text.rfind('@');
    const bool versioned = at != std::string::npos && text.find_first_of("/]", at) == std::string::npos;
    std::filesystem::path stage = versioned ? text.substr(0, at) : text;
    if (!stage.has_filename()) stage = stage.parent_path();
    const std::string version = versioned ? text.substr(at + 1) : "";
    const bool digits = version.starts_with("update-") && version.size() > 7 && version.size() < 20 &&
                        version.find_first_not_of("0123456789", 7) == std::string::npos;
    if (versioned && version != "last" && version != "best" && !digits)
        throw ConfigError(cat("\"", version, "\" is no version of a stage. Write @last, @best or @update-100."));
    return {stage.parent_path(), stage.filename().string(), version};
}

}  // namespace tdrm::app
