// manifest.json: sizes and hashes of a folder's files. It is written last and checked before HDF5 opens anything.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "tdrm/store/file.hpp"

namespace tdrm::store {

struct Manifest {
    std::vector<FileEntry> files;
    nlohmann::json extra;  ///< whatever the writer added
};

/// Name, size and hash of a finished file. @throws IoError
[[nodiscard]] FileEntry entry_of(const std::filesystem::path& path);

/// Writes `directory`/manifest.json atomically. The manifest holds its own hash. Local. @throws IoError
void write_manifest(const std::filesystem::path& directory, std::span<const FileEntry> files,
                    const nlohmann::json& extra = nlohmann::json::object());

/// @throws DataError if the manifest is missing, damaged, or names files outside the folder. IoError if this user may
/// not read it
[[nodiscard]] Manifest read_manifest(const std::filesystem::path& directory);

/// What is wrong with the files of a folder, one line for each damaged, truncated or missing one; empty if it is whole.
/// Reads every byte (about 2 GB/s from the page cache). Local; never throws for damage. @throws IoError if this user
/// may not read them
[[nodiscard]] std::vector<std::string> verify(const std::filesystem::path& directory);

/// The same for one file of the manifest; empty if it is whole.
/// @param hash_below a file of so many bytes is looked at by its size alone, for those who can't wait
[[nodiscard]] std::string problem_of(const std::filesystem::path& directory, const FileEntry& entry,
                                     std::int64_t hash_below = std::numeric_limits<std::int64_t>::max());

}  // namespace tdrm::store
