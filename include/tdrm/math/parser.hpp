// From tokens to a tree, by recursive descent of bounded depth.
#pragma once

#include <optional>
#include <string_view>

#include "tdrm/math/budget.hpp"
#include "tdrm/math/expression.hpp"
#include "tdrm/math/tokenizer.hpp"

namespace tdrm::math {

/// Grammar rules open at once (a pair of brackets opens three or four), and links of one chain such as a/b/c. Beyond it
/// an answer isn't parsed but compared as text, so recursion over a tree is safe.
inline constexpr int kMaxDepth = 160;

/// The tree of an answer, or nothing if it isn't mathematics that we know. Local.
/// Grammar, loosest first: list (, ; and or), relation chain, union/intersection/difference, ratio (:), sum, product
/// (explicit or by juxtaposition; a trailing word is a unit), signs, postfixes (^ ! % degree), atoms.
[[nodiscard]] std::optional<Expression> parse(std::string_view answer, Comma comma, Budget& budget);

}  // namespace tdrm::math
