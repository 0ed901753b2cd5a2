#include "weight_files.hpp"

#include <array>
#include <fstream>

#include "tdrm/base/errors.hpp"

namespace tdrm::model {

namespace fs = std::filesystem;
using nlohmann::json;

void check_pointer(const fs::path& path) {
    constexpr std::string_view kBegin = "version https://git-lfs";
    std::array<char, kBegin.size()> begin{};
    std::ifstream file(path, std::ios::binary);
    file.read(begin.data(), begin.size());
    if (file && std::string_view(begin.data(), begin.size()) == kBegin)
        throw DataError(cat(path.string(),
                            " is a pointer of Git LFS (the file itself wasn't fetched). Run `git lfs pull` "
                            "in its folder."));
}

json read_json(const fs::path& path) {
    std::ifstream file(path);
    if (!file) throw IoError(cat("can't read ", path.string(), " (a model's folder needs it). Check the path."));
    check_pointer(path);
    json j = json::parse(file, nullptr, false);
    if (j.is_discarded())
        throw DataError(cat(path.string(), " is no JSON (a model's folder needs it). Use the file of the model."));
    return j;
}

std::set<std::string> weight_files(const fs::path& directory) {
    // As transformers: one file counts, whatever an index beside it says.
    if (fs::exists(directory / "model.safetensors")) return {"model.safetensors"};
    const fs::path index = directory / "model.safetensors.index.json";
    if (!fs::exists(index))
        throw DataError(cat(
            directory.string(),
            " has neither model.safetensors nor model.safetensors.index.json (weights of other formats aren't read). "
            "Convert the model to safetensors."));
    const json j = read_json(index);
    if (!j.is_object() || !j.contains("weight_map") || !j["weight_map"].is_object())
        throw DataError(cat(index.string(),
                            " has no weight_map (it says which files hold the weights). Use the index "
                            "that transformers writes."));
    std::set<std::string> names;
    for (const auto& [tensor, file] : j["weight_map"].items()) {
        // A name with a slash could lead out of the folder.
        if (!file.is_string() || file.get<std::string>().find('/') != std::string::npos)
            throw DataError(cat(index.string(), " names no file for ", tensor,
                                " (a file of the folder is needed). Use "
                                "the index that transformers writes."));
        names.insert(file.get<std::string>());
    }
    return names;
}

}  // namespace tdrm::model
