// Standard error, shared by messages and the progress line, so that a message never lands inside the line.
#pragma once

#include <string_view>

namespace tdrm::console {

[[nodiscard]] bool is_terminal();
/// Columns of the terminal, 80 if unknown.
[[nodiscard]] int width();
/// Prints whole lines and draws the progress line again below them.
void print(std::string_view lines);
/// Replaces the progress line; "" removes it.
void draw(std::string_view line);

}  // namespace tdrm::console
