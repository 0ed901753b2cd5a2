// Unicode to the ASCII and LaTeX that the tokenizer reads.
#pragma once

#include <string>
#include <string_view>

namespace tdrm::math {

/// Maps full-width forms, mathematical signs, Greek letters, sub- and superscripts and CJK punctuation to ASCII or
/// LaTeX commands; keeps other letters (CJK words) as UTF-8; drops invisible characters and invalid bytes. Linear time.
/// Local.
[[nodiscard]] std::string to_latex_ascii(std::string_view utf8);

/// JSON written twice leaves "\\\\frac": takes one backslash away before commands, unless "\\\\" may end a matrix row.
[[nodiscard]] std::string single_backslashes(std::string_view text);

/// Letters, digits and CJK characters only, in lower case: how words are compared.
[[nodiscard]] std::string word_key(std::string_view text);

[[nodiscard]] constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
[[nodiscard]] constexpr bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
[[nodiscard]] constexpr bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
/// A byte of a non-ASCII character.
[[nodiscard]] constexpr bool is_wide(char c) { return static_cast<unsigned char>(c) >= 0x80; }
[[nodiscard]] constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
/// Text without white space at its ends.
[[nodiscard]] std::string_view trimmed(std::string_view text);

}  // namespace tdrm::math
