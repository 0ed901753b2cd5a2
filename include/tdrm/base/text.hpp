// Texts of others in messages and on terminals.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tdrm {

/// A text for a message: at most `bytes` bytes, cut between characters and then with "..." at its end, and valid UTF-8
/// whatever comes in: a byte that belongs to no character becomes U+FFFD. @param bytes at least 3
[[nodiscard]] std::string shortened(std::string_view text, std::size_t bytes = 200);

/// A text for a terminal: valid UTF-8, in which nothing but line ends moves anything. Other control characters, those
/// that turn the direction of writing, and bytes that belong to no character become escapes (\x1b, \u202e); a tab
/// becomes a blank, and a carriage return before a line end goes.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace tdrm
