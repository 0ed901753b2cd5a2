// What in a text may be its answer.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tdrm/math/characters.hpp"

namespace tdrm::math {

/// A formula, or a run of plain mathematics ("x = 3", "3/4", "18" of "18km") outside of formulas.
struct Item {
    std::size_t begin, end;
    std::string text;
    bool formula;
};

[[nodiscard]] inline std::string lower(std::string_view text) {
    std::string result(text);
    for (char& c : result) c = to_lower(c);
    return result;
}
[[nodiscard]] inline bool is_operator(char c) { return std::string_view("+-*/^=<>").find(c) != std::string_view::npos; }

/// From left to right; lone letters and "f(x)" are left out. Linear time.
[[nodiscard]] std::vector<Item> items_of(std::string_view text);

}  // namespace tdrm::math
