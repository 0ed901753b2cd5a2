// What the tokenizer asks about the content of \text{...} and about what follows a command.
#pragma once

#include <algorithm>
#include <string_view>

#include "tdrm/math/characters.hpp"

namespace tdrm::math {

/// \mathrm{~m} and \mathrm{m/s^2} behind a quantity; \text{C} alone is a choice, \mathrm{e} a number.
[[nodiscard]] inline bool is_unit_letter(std::string_view content) {
    while (!content.empty() && (content.front() == '~' || is_space(content.front()))) content.remove_prefix(1);
    if (const std::size_t power = content.find('^'); power != std::string_view::npos && power + 2 == content.size())
        content = content.substr(0, power);
    if (content.empty() || content.size() > 3 || content.size() % 2 == 0) return false;
    for (std::size_t i = 0; i < content.size(); ++i)
        if (std::string_view(i % 2 == 0 ? "mgshlLNJWVAK" : "/").find(content[i]) == std::string_view::npos)
            return false;
    return true;
}

/// \text{HTH} is HTH; four letters are a word.
[[nodiscard]] inline bool is_capitals(std::string_view content) {
    return (content.size() == 2 || content.size() == 3) &&
           std::all_of(content.begin(), content.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

[[nodiscard]] inline bool holds_words(std::string_view content) {
    for (std::size_t i = 0; i + 1 < content.size(); ++i) {
        if (content[i] == '\\') return false;
        if (is_letter(content[i]) && (is_letter(content[i + 1]) || content[i + 1] == '.')) return true;
        if (is_wide(content[i])) return true;
    }
    return false;
}

/// A vector in bold or with an arrow: products of vectors don't commute.
[[nodiscard]] inline bool starts_with_vector(std::string_view rest) {
    while (!rest.empty() && is_space(rest.front())) rest.remove_prefix(1);
    for (const std::string_view command : {"\\mathbf", "\\bm", "\\boldsymbol", "\\vec", "\\overrightarrow"})
        if (rest.starts_with(command)) return true;
    return false;
}

/// U+2180 ... U+22FF: arrows and operators that nobody has translated aren't words.
[[nodiscard]] inline bool starts_with_sign(std::string_view rest) {
    return rest.size() > 2 && rest[0] == '\xE2' && static_cast<unsigned char>(rest[1]) >= 0x86 &&
           static_cast<unsigned char>(rest[1]) <= 0x8B;
}

}  // namespace tdrm::math
