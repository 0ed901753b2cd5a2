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
/// What the last sentence with a formula or number says is so: "5", "5 or 7", "x = 3". Candidates that are denied
/// ("not 7", "at most 7") or only a condition ("for x > 4") are no claim. Linear time.
struct Claim {
    std::string text;
    bool formula;  ///< else a number, or mathematics without delimiters
};
[[nodiscard]] std::optional<Claim> last_claim(std::string_view text);

}  // namespace tdrm::math
