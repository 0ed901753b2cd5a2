// Suggestions for words that a user may have misspelt.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tdrm {

/// Number of inserted, deleted, replaced or swapped neighbouring characters between two words.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

/// The candidate nearest to a word, or "" if none is near (more than a third of the characters differ).
[[nodiscard]] std::string nearest(std::string_view word, std::span<const std::string> candidates);

/// A sentence that helps: `Did you mean "lambda"?`, else `Known are a, b, c.`, else "" if there are no candidates.
[[nodiscard]] std::string did_you_mean(std::string_view word, std::span<const std::string> candidates);

/// Joins texts: "a, b, c".
[[nodiscard]] std::string join(std::span<const std::string> parts, std::string_view separator = ", ");

}  // namespace tdrm
