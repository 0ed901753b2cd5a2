#include "weight_files.hpp"

#include "tdrm/base/errors.hpp"
#include "tdrm/base/files.hpp"
#include "tdrm/base/json.hpp"

namespace tdrm::model {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

std::set<std::string> model_files(const fs::path& directory) {
    // As transformers: one file counts, whatever an index beside it says.
    if (fs::exists(directory / "model.safetensors")) return {"model.safetensors"};
    const fs::path index = directory / "model.safetensors.index.json";
    if (!fs::exists(index))
        throw DataError(cat(
            directory.string(),
            " has neither model.safetensors nor model.safetensors.index.json (weights of other formats aren't read). "
            "Convert the model to safetensors."));
    const json j = read_json(index, kFolderNeedsIt);
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

}  // namespace

bool has_weights(const fs::path& directory) {
    return is_there(directory / "model.safetensors") || is_there(directory / "model.safetensors.index.json");
}

std::set<std::string> weight_files(const fs::path& directory) {
    auto names = model_files(directory);
    // LLaMA-Factory keeps a reward model's head in a file of its own.
    if (fs::exists(directory / "value_head.safetensors")) names.insert("value_head.safetensors");
    return names;
}

}  // namespace tdrm::model
