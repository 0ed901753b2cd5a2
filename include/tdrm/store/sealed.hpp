// Small files that hold their own hash, so that a changed byte is seen: JSON objects with a key `hash`, texts with a
// first line. Written atomically. Local.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace tdrm::store {

/// Writes an object with `hash` of its compact text without that key, indented by a blank. @throws IoError
void write_sealed(const std::filesystem::path& path, nlohmann::json content);
/// What was handed to write_sealed; nothing if the file is missing or any byte of it is another one.
[[nodiscard]] std::optional<nlohmann::json> read_sealed(const std::filesystem::path& path);

/// Writes a text behind the line "# hash: " and its hash, a comment in YAML. @throws IoError
void write_sealed_text(const std::filesystem::path& path, const std::string& text);
/// The text without that line; nothing if the file is missing or any byte of it is another one.
[[nodiscard]] std::optional<std::string> read_sealed_text(const std::filesystem::path& path);

}  // namespace tdrm::store
