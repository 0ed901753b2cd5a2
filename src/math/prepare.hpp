// What is done to the tree of an answer before it is compared.
#pragma once

#include "tdrm/math/expression.hpp"

namespace tdrm::math {

/// Each answer with a plus-minus becomes two; lists in lists are flattened.
[[nodiscard]] Expression expanded(const Expression& e);
/// Expanded, without a name before a list of values and without "k in Z"; symbols are numbered in the order of their
/// names unless `strict_symbols`.
[[nodiscard]] Expression prepared(const Expression& answer, bool strict_symbols);

}  // namespace tdrm::math
