// Answers that choose a letter.
#pragma once

#include <optional>
#include <string_view>

namespace tdrm::math {

/// Whether two answers name the same choice: "C", "(C)", "\textbf{(C)} 12", "C. text", "c)", "Option C". Nothing if
/// they aren't to be judged as choices; false if one of them names several letters or denies one.
[[nodiscard]] std::optional<bool> same_choice(std::string_view gold, std::string_view answer);

}  // namespace tdrm::math
