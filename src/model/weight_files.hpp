// The files of a Hugging Face folder: which hold its weights, and how their tensors are called.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace tdrm::model {

inline constexpr const char* kFolderNeedsIt = "a model's folder needs it";  ///< why its files are read

/// Whether there are weights, in one file or with an index.
[[nodiscard]] bool has_weights(const std::filesystem::path& directory);
/// Names of the weight files, relative to the folder.
[[nodiscard]] std::set<std::string> weight_files(const std::filesystem::path& directory);

/// New names of tensors that are called otherwise than in the model's own class, by their old ones. Training wrappers
/// put words before or between (base_model.model., _orig_mod., module.), a bare decoder lacks `model.`, models of texts
/// and pictures keep theirs under language_model. The one name that ends with layers.0.mlp.down_proj.weight tells.
/// @param origin names the folder in messages @throws DataError, one line, if that name is missing or isn't one
[[nodiscard]] std::map<std::string, std::string> plain_names(const std::vector<std::string>& names,
                                                             const std::string& origin);

}  // namespace tdrm::model
