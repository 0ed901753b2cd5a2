// Tokens that are found in the text itself before the model sees it ("<|im_end|>" and the like).
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "bpe.hpp"
#include "pre_tokenizer.hpp"

namespace tdrm::text {

struct AddedToken {
    std::int32_t id;
    std::string content;
    bool single_word, lstrip, rstrip, normalized, special;
    bool only_named = false;  ///< no file gives it an id, so the library makes one up
};

/// From the `added_tokens` entry, in file order. @throws DataError if it is broken, has two tokens with one id, or more
/// than a quarter of a million.
[[nodiscard]] std::vector<AddedToken> read_added_tokens(const nlohmann::json& config);

/// The tokens of tokenizer.json and those `beside` it, with the ids that the tokenizers library gives: that of the
/// vocabulary, else the next one free in the order in which they are added, whatever the file says. The library keeps
/// one token of each content, with the flags that come last; it stays special once it was.
/// @throws DataError if the file and the vocabulary give a token different ids, or two tokens one id
[[nodiscard]] std::vector<AddedToken> assign_ids(std::vector<AddedToken> in_file, const std::vector<AddedToken>& beside,
                                                 const StringMap<std::int32_t>& vocabulary);

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
    std::vector<AddedToken> tokens_;             ///< by content
    std::array<std::size_t, 257> first_byte_{};  ///< where tokens_ with this first byte begin
};

}  // namespace tdrm::text
