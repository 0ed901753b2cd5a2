// The vocabulary: LaTeX commands, function names, units, words.
#pragma once

#include <string>
#include <string_view>

namespace tdrm::math {

/// What a LaTeX command (without its backslash) stands for.
struct Command {
    enum class Use { drop, sign, symbol, function, text_group, accent, unknown };
    Use use = Use::unknown;
    std::string_view value;  ///< the sign, symbol or function
};
[[nodiscard]] Command find_command(std::string_view name);

/// The function that a plain word names ("sin", "asin" -> "arcsin"), or "".
[[nodiscard]] std::string_view find_function(std::string_view word);
/// The sign or symbol that a plain lower-case word names ("pi", "infinity", "percent", "and"), else use == unknown.
[[nodiscard]] Command find_word(std::string_view word);
/// Whether two or three letters are a word or a unit, not a product of variables.
[[nodiscard]] bool is_short_word(std::string_view word);
/// One spelling per unit: "centimeters" -> "cm", "square inches" -> "in^2"; "" if no unit of measurement is named.
[[nodiscard]] std::string canonical_unit(std::string_view words);
/// A power of ten that Chinese (or English) puts behind a number: 4 for U+4E07, 8 for U+4EBF, 6 for "million", else 0.
[[nodiscard]] int magnitude_word(std::string_view words);

}  // namespace tdrm::math
