// What stands beside tokenizer.json in a model folder: tokenizer_config.json, special_tokens_map.json,
// added_tokens.json and the chat template. Read as transformers reads them.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "added_tokens.hpp"

namespace tdrm::text {

using NamedTokens = std::map<std::string, std::string>;  ///< "bos_token" and its text

struct TokenizerFiles {
    NamedTokens tokens;
    /// Tokens that tokenizer.json need not have, in the order in which they are added. One that it has gets these
    /// flags if it has an id here; with the id -1 it is left as it is.
    std::vector<AddedToken> added;
    std::string chat_template;  ///< "" if there is none
    std::filesystem::path template_origin;
};

/// Files that aren't there are left out. @throws DataError if one is broken
[[nodiscard]] TokenizerFiles read_tokenizer_files(const std::filesystem::path& folder);

}  // namespace tdrm::text
