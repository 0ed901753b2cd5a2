// What Python does with texts: the functions of str that templates call. Texts are valid UTF-8; positions count code
// points.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace tdrm::text::python {

[[nodiscard]] bool is_space(char32_t code);      ///< str.isspace, str.strip, \s of a regular expression
[[nodiscard]] bool is_printable(char32_t code);  ///< str.isprintable

[[nodiscard]] std::string_view strip(std::string_view text, bool left, bool right,
                                     const std::function<bool(char32_t)>& drop = is_space);
/// Code points in `text`.
[[nodiscard]] std::int64_t length(std::string_view text);
/// Offset of the code point with number `index`; the end if there are fewer.
[[nodiscard]] std::size_t offset_of(std::string_view text, std::int64_t index);

/// At white space, at most `most` times if that isn't negative; `from_right` counts from the end.
[[nodiscard]] std::vector<std::string_view> split_white(std::string_view text, std::int64_t most, bool from_right);
[[nodiscard]] std::vector<std::string_view> split_at(std::string_view text, std::string_view separator,
                                                     std::int64_t most, bool from_right);
[[nodiscard]] std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);
/// At most `most` times if that isn't negative. `reserve` is told the size of the result before it is made.
[[nodiscard]] std::string replace(std::string_view text, std::string_view from, std::string_view to, std::int64_t most,
                                  const std::function<void(std::size_t)>& reserve);

enum class Case { lower, upper, swap, title, capital, fold };
/// @throws DataError for the few characters whose case needs rules beyond one character for one
[[nodiscard]] std::string change_case(std::string_view text, Case wanted);

/// isalpha, isdigit, isupper ...: `name` without "is". @throws DataError if there is no such property
[[nodiscard]] bool has_property(std::string_view text, std::string_view name);

/// repr of a text, and of a number.
[[nodiscard]] std::string repr(std::string_view text);
[[nodiscard]] std::string repr(double number);

}  // namespace tdrm::text::python
