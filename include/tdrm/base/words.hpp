// Words of enums: an enum that files and options name has `enum_names(E)`, a constexpr array of (value, word).
#pragma once

#include <string_view>

namespace tdrm {

/// The word of a value; "" if its enum_names lack it.
template <class E>
[[nodiscard]] constexpr std::string_view word_of(E value) {
    for (const auto& [each, word] : enum_names(E{}))
        if (each == value) return word;
    return {};
}

}  // namespace tdrm
