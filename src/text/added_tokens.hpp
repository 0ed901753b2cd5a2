// Tokens that are found in the text itself before the model sees it ("<|im_end|>" and the like).
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "pre_tokenizer.hpp"

namespace tdrm::text {

struct AddedToken {
    std::int32_t id;
    std::string content;
    bool single_word, lstrip, rstrip, normalized, special;
};

/// From the `added_tokens` entry, in file order. @throws DataError if it is broken.
[[nodiscard]] std::vector<AddedToken> read_added_tokens(const nlohmann::json& config);

/// A piece of text, or the added token found there.
struct TextPart {
    std::string_view text;
    std::int32_t id;  ///< -1 for text
};

/// Finds a set of added tokens: the leftmost, then the longest one first.
class AddedTokenFinder {
public:
    /// `tokens` with their contents as they are looked for; on equal contents the first wins.
    explicit AddedTokenFinder(std::vector<AddedToken> tokens);
    /// The parts of `text` in order, without empty texts.
    [[nodiscard]] std::vector<TextPart> split(std::string_view text) const;

private:
    [[nodiscard]] const AddedToken* match(std::string_view text, std::size_t at) const;
    std::vector<AddedToken> tokens_;                             ///< longest first
    std::array<std::vector<std::uint32_t>, 256> by_first_byte_;  ///< indices into tokens_
};

}  // namespace tdrm::text
