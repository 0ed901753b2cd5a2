#include "tdrm/store/manifest.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/hash.hpp"
#include "tdrm/base/json.hpp"
#include "tdrm/store/directory.hpp"

namespace tdrm::store {
namespace fs = std::filesystem;
using nlohmann::json;
namespace {

constexpr int kVersion = 1;

bool stays_inside(const fs::path& name) {
    if (name.empty() || name.is_absolute()) return false;
    for (const fs::path& part : name) {
        if (part == "..") return false;
    }
    return true;
}

/// Whole files that somebody else may read aren't damaged.
void refuse_forbidden(const fs::path& path) {
    if (::faccessat(AT_FDCWD, path.c_str(), R_OK, AT_EACCESS) != 0 && errno == EACCES)
        throw IoError(cat("can't read ", path.string(),
                          ": permission denied (it may well be whole). Ask its owner for "
                          "the right to read it."));
}

}  // namespace

FileEntry entry_of(const fs::path& path) {
    std::error_code error;
    const auto bytes = fs::file_size(path, error);
    if (error) throw IoError(cat("can't read ", path.string(), " (", error.message(), ")."));
    return {path.filename().string(), static_cast<std::int64_t>(bytes), hash_file(path)};
}

void write_manifest(const fs::path& directory, std::span<const FileEntry> files, const json& extra) {
    json content{{"format", "tdrm manifest"}, {"version", kVersion}, {"files", json::array()}, {"extra", extra}};
    for (const FileEntry& file : files) {
        content["files"].push_back({{"name", file.name}, {"bytes", file.bytes}, {"hash", file.hash}});
    }
    const std::string hash = hash_hex(content.dump());
    content["hash"] = hash;
    write_text_atomic(directory / "manifest.json", content.dump(2) + "\n");
}

Manifest read_manifest(const fs::path& directory) {
    const fs::path path = directory / "manifest.json";
    refuse_forbidden(path);
    if (!is_there(path)) throw DataError(cat(path.string(), " is missing or can't be read."));
    const std::string text = read_file(path);
    json content = parse_json_or_discard(text);
    try {
        const std::string hash = content.at("hash");
        content.erase("hash");
        if (hash_hex(content.dump()) != hash)
            throw DataError(cat(path.string(), " is damaged (its own hash doesn't match)."));
        if (content.at("version") != kVersion) {
            throw DataError(cat(path.string(), " has version ", content.at("version").dump(), ", this program reads ",
                                kVersion, ". Use the program that wrote it."));
        }
        Manifest manifest{{}, content.at("extra")};
        for (const json& file : content.at("files")) {
            manifest.files.push_back(
                {file.at("name"), file.at("bytes").get_ref<const json::number_integer_t&>(), file.at("hash")});
            if (!stays_inside(manifest.files.back().name))
                throw DataError(cat(path.string(), " names a file outside its folder."));
        }
        content["hash"] = hash;
        if (content.dump(2) + "\n" != text)
            throw DataError(cat(path.string(), " is damaged (its text isn't the one that was written)."));
        return manifest;
    } catch (const json::exception&) {
        throw DataError(cat(path.string(), " is damaged (not the JSON that tdrm writes)."));
    }
}

std::string problem_of(const fs::path& directory, const FileEntry& entry, std::int64_t hash_below) {
    const fs::path path = directory / entry.name;
    refuse_forbidden(path);
    std::error_code error;
    const auto bytes = static_cast<std::int64_t>(fs::file_size(path, error));
    if (error) return cat(entry.name, " is missing or can't be read (", error.message(), ")");
    if (bytes < entry.bytes) return cat(entry.name, " is truncated (", bytes, " of ", entry.bytes, " bytes)");
    if (bytes > entry.bytes) return cat(entry.name, " is damaged (", bytes, " bytes, should be ", entry.bytes, ")");
    try {
        if (bytes < hash_below && hash_file(path) != entry.hash)
            return cat(entry.name, " is damaged (its content doesn't match the manifest)");
    } catch (const IoError& failure) {
        return cat(entry.name, " can't be read (", failure.what(), ")");
    }
    return {};
}

std::vector<std::string> verify(const fs::path& directory) {
    std::vector<std::string> problems;
    try {
        for (const FileEntry& entry : read_manifest(directory).files) {
            if (std::string problem = problem_of(directory, entry); !problem.empty())
                problems.push_back(std::move(problem));
        }
    } catch (const DataError& error) {
        problems.emplace_back(error.what());
    }
    return problems;
}

}  // namespace tdrm::store
