// Texts of others in messages.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tdrm {

/// A text for a message: at most `bytes` bytes, cut between characters and then with "..." at its end, and valid UTF-8
/// whatever comes in: a byte that belongs to no character becomes U+FFFD. @param bytes at least 3
[[nodiscard]] std::string shortened(std::string_view text, std::size_t bytes = 200);

}  // namespace tdrm
