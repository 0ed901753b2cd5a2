// The vocabulary: LaTeX commands, function names, units, words.
#pragma once

#include <gmpxx.h>

#include <string>
#include <string_view>

namespace tdrm::math {

/// What a LaTeX command (without its backslash) stands for.
struct Command {
    enum class Use {
        drop,       ///< typography
        drop_next,  ///< the group behind it too: \color{red}, \phantom{0}
        sign,
        symbol,
        function,
        text_group,
        reserved,  ///< known to mean something that isn't read here: never a name, never cut in two
        unknown,
    };
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
/// Whether words behind a value may only name what is counted or measured ("apples", "square units"): no connective,
/// operator, negation, comparison, number or fraction among them.
[[nodiscard]] bool names_things(std::string_view words);
/// 0 for "zero" to 20 for "twenty", else -1.
[[nodiscard]] int number_word(std::string_view word);
/// One spelling per unit: "centimeters" -> "cm", "square inches" -> "in^2"; "" if no unit of measurement is named.
[[nodiscard]] std::string canonical_unit(std::string_view words);
/// What a word behind a number multiplies it by, and the length of that word: 12 for "dozen", 10^6 for "million", 10^4
/// for U+4E07, 1/2 for "halves"; nothing else has a length.
struct Magnitude {
    mpq_class factor = 1;
    std::size_t length = 0;
};
[[nodiscard]] Magnitude magnitude_word(std::string_view words);

}  // namespace tdrm::math
