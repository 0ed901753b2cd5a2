// The parts of a solution that may hold its answer.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tdrm/math/characters.hpp"

namespace tdrm::math {

/// Whether `what` stands at `at`.
[[nodiscard]] inline bool starts(std::string_view text, std::size_t at, std::string_view what) {
    return text.substr(at).starts_with(what);
}
/// Whether "%" or "percent" follows a box, formula or number.
[[nodiscard]] bool percent_follows(std::string_view rest);

/// The content of the last balanced \boxed{} that isn't inside of another; several with only connectives between them
/// are one list.
[[nodiscard]] std::optional<std::string> boxed_answer(std::string_view text);

struct Formula {
    std::size_t begin, end;  ///< with delimiters
    std::string_view content;
};
/// Where the formula that the single "$" at `at` opens is closed; nothing if it is a currency sign.
[[nodiscard]] std::optional<std::size_t> closing_dollar(std::string_view text, std::size_t at);

/// $...$, $$...$$, \(...\), \[...\] from left to right; an unclosed one ends at the end. "\$" is a dollar.
[[nodiscard]] std::vector<Formula> find_formulas(std::string_view text);
/// Of a lone letter, as in "for any integer $k$".
[[nodiscard]] inline bool is_letter_alone(const Formula& formula) {
    return formula.content.empty() || (formula.content.size() == 1 && !is_digit(formula.content[0]));
}
/// The last formula that is more than a letter.
[[nodiscard]] std::optional<std::string> last_formula(std::string_view text);
/// "-1,234.5", "3/4", "12%".
[[nodiscard]] std::optional<std::string> last_number(std::string_view text);

}  // namespace tdrm::math
