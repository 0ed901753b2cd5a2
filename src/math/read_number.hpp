// Numbers as people and LaTeX write them.
#pragma once

#include <gmpxx.h>

#include <optional>
#include <string>
#include <string_view>

#include "tdrm/math/tokenizer.hpp"

namespace tdrm::math {

struct ReadNumber {
    mpq_class value;
    std::string digits;    ///< of a whole number without exponent, else ""
    bool inexact = false;  ///< written with a decimal point
    std::size_t length = 0;
};

/// The number at `at` (a digit, or a point before one): "1,234.5", "1{,}234", "0.1\\overline{6}", "1.5e6". Commas
/// between thousands count only outside of brackets. Linear time. Local.
[[nodiscard]] ReadNumber read_number(std::string_view text, std::size_t at, Comma comma, bool in_brackets);

/// 2020-01-02, 2020/1/2, 1/2/2020 at `at`: a name, not a difference or quotient. Years first are spelt in one way.
struct ReadDate {
    std::string name;
    std::size_t length = 0;
};
[[nodiscard]] std::optional<ReadDate> read_date(std::string_view text, std::size_t at);

}  // namespace tdrm::math
