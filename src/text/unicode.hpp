// UTF-8 and the properties of code points as the Hugging Face tokenizers library sees them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tdrm::text {

/// Bytes of the character that starts with `lead`, in valid UTF-8.
[[nodiscard]] inline std::size_t utf8_length(char lead) {
    const auto byte = static_cast<unsigned char>(lead);
    return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}
/// The code point at `at` in valid UTF-8.
[[nodiscard]] char32_t code_point_at(std::string_view text, std::size_t at);
/// The code point of the character that ends at `end` > 0.
[[nodiscard]] char32_t code_point_before(std::string_view text, std::size_t end);
void append_utf8(std::string& text, char32_t code);

/// Offset of the first byte that isn't valid UTF-8.
[[nodiscard]] std::optional<std::size_t> find_invalid_utf8(std::string_view text);
/// Replaces each maximal invalid part by U+FFFD (Unicode 3.9, as Rust's from_utf8_lossy).
[[nodiscard]] std::string to_valid_utf8(std::string_view bytes);

/// For messages: the first 80 bytes of a text, cut between characters, with "..." if it goes on.
[[nodiscard]] std::string shortened(std::string_view text);

[[nodiscard]] bool is_space(char32_t code);
[[nodiscard]] bool is_digit(char32_t code);           ///< pre-tokenizer Digits
[[nodiscard]] bool is_punctuation(char32_t code);     ///< pre-tokenizer Punctuation
[[nodiscard]] bool is_word_character(char32_t code);  ///< \w of pre-tokenizer Whitespace and of `single_word`

enum class NormalForm { nfc, nfd, nfkc, nfkd };
[[nodiscard]] std::string normalize(std::string_view text, NormalForm form);

/// The members of a regular expression's class (`name` = L, Nd, w, s, Han ...) in PCRE2's notation, without brackets;
/// "" if the class isn't supported.
[[nodiscard]] std::string_view regex_class(std::string_view name);

}  // namespace tdrm::text
