#include "read_number.hpp"

#include <array>

#include "tdrm/math/characters.hpp"

namespace tdrm::math {
namespace {

constexpr std::size_t kExactExponent = 400;  // 1e400 is still written out

class NumberReader {
public:
    NumberReader(std::string_view text, std::size_t at, Comma comma, bool in_brackets)
        : text_(text), at_(at), comma_(comma), in_brackets_(in_brackets) {}

    ReadNumber run() {
        const std::size_t begin = at_;
        std::string digits = whole_digits();
        std::string fraction;
        bool inexact = false;
        mpq_class repeating = 0;
        const bool decimal_comma = comma_ == Comma::decimal && (ahead(",") || ahead("{,}"));
        const std::size_t point = (decimal_comma && ahead("{,}")) || braced('.') == 3 ? 3 : 1;
        if ((peek(0) == '.' || decimal_comma || braced('.') == 3) &&
            (is_digit(peek(point)) || ahead(".\\overline{") || ahead(".\\dot{") || ahead(".\\bar{") ||
             digits.empty())) {
            at_ += point;
            while (is_digit(peek(0))) fraction += text_[at_++];
            inexact = true;
            std::string cycle = repeating_digits();
            if (!cycle.empty()) {
                inexact = false;
                const std::string zeros(fraction.size(), '0');
                repeating = mpq_class(mpz_class(cycle, 10), mpz_class(std::string(cycle.size(), '9') + zeros, 10));
                repeating.canonicalize();
            }
        }
        mpq_class value(mpz_class("0" + digits + fraction, 10), mpz_class("1" + std::string(fraction.size(), '0'), 10));
        value.canonicalize();
        value += repeating;
        const bool scaled = exponent(value);
        return {std::move(value), fraction.empty() && !scaled ? digits : std::string(), inexact, at_ - begin};
    }

private:
    [[nodiscard]] char peek(std::size_t ahead) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
    [[nodiscard]] bool ahead(std::string_view what) const { return text_.substr(at_).starts_with(what); }

    /// The digits of a number at at_, its separators removed; at_ moves behind it.
    std::string whole_digits() {
        std::string digits;
        while (is_digit(peek(0))) digits += text_[at_++];
        if (digits.size() > 3 || digits.empty()) return digits;
        while (const std::size_t skip = thousands_separator()) {
            at_ += skip;
            for (int i = 0; i < 3; ++i) digits += text_[at_++];
        }
        return digits;
    }

    /// Length of a thousands separator at at_ that three digits and no fourth follow, or 0.
    [[nodiscard]] std::size_t thousands_separator() const {
        std::size_t length = braced(',');
        if (length > 0)
            length += text_.substr(at_ + length).starts_with("\\!") ? 2U : 0U;
        else if (ahead(",\\!"))
            length = peek(3) == ' ' ? 4 : 3;
        else if (ahead("\\!,"))
            length = 3;
        else if (ahead("\\,"))
            length = 2;
        else if (comma_ == Comma::thousands && !in_brackets_ && (peek(0) == ',' || peek(0) == ' '))
            length = 1;
        if (length == 0) return 0;
        for (std::size_t i = 0; i < 3; ++i)
            if (!is_digit(peek(length + i))) return 0;
        return is_digit(peek(length + 3)) ? 0 : length;
    }

    /// Length of "{,}" (or "{.}"), also written "{, }" or " {,} ", or 0.
    [[nodiscard]] std::size_t braced(char mark) const {
        std::size_t i = 0;
        const auto spaces = [&] {
            while (peek(i) == ' ') ++i;
        };
        spaces();
        if (peek(i++) != '{') return 0;
        spaces();
        if (peek(i++) != mark) return 0;
        spaces();
        if (peek(i++) != '}') return 0;
        spaces();
        return i;
    }

    /// 0.1\overline{6}: returns "6".
    std::string repeating_digits() {
        for (const std::string_view opening : {"\\overline{", "\\bar{", "\\dot{"}) {
            if (!ahead(opening)) continue;
            std::size_t end = at_ + opening.size();
            std::string cycle;
            while (end < text_.size() && is_digit(text_[end])) cycle += text_[end++];
            if (cycle.empty() || end >= text_.size() || text_[end] != '}') return {};
            at_ = end + 1;
            return cycle;
        }
        return {};
    }

    /// 1.5e6, 2E-3: whether there is an exponent.
    bool exponent(mpq_class& value) {
        if (peek(0) != 'e' && peek(0) != 'E') return false;
        const std::size_t sign_length = peek(1) == '-' || peek(1) == '+' ? 1 : 0;
        std::size_t end = at_ + 1 + sign_length;
        std::size_t power = 0;
        const std::size_t first = end;
        for (; end < text_.size() && is_digit(text_[end]) && power <= kExactExponent; ++end)
            power = power * 10 + static_cast<std::size_t>(text_[end] - '0');
        if (end == first || power > kExactExponent || (end < text_.size() && is_letter(text_[end]))) return false;
        const mpz_class scale("1" + std::string(power, '0'), 10);
        if (peek(1) == '-')
            value /= scale;
        else
            value *= scale;
        at_ = end;
        return true;
    }

    std::string_view text_;
    std::size_t at_;
    Comma comma_;
    bool in_brackets_;
};

}  // namespace

ReadNumber read_number(std::string_view text, std::size_t at, Comma comma, bool in_brackets) {
    return NumberReader(text, at, comma, in_brackets).run();
}

std::optional<ReadDate> read_date(std::string_view text, std::size_t at) {
    if (at > 0 && (is_digit(text[at - 1]) || std::string_view("/-.^_{").find(text[at - 1]) != std::string_view::npos))
        return std::nullopt;
    std::array<std::string, 3> parts;
    std::size_t end = at;
    char mark = '\0';
    for (std::size_t part = 0; part < 3; ++part) {
        if (part > 0) {
            const char c = end < text.size() ? text[end++] : '\0';
            if ((c != '-' && c != '/') || (part == 2 && c != mark)) return std::nullopt;
            mark = c;
        }
        while (end < text.size() && is_digit(text[end]) && parts[part].size() < 5) parts[part] += text[end++];
    }
    if (end < text.size() && (is_digit(text[end]) || text[end] == mark)) return std::nullopt;
    const auto small = [](const std::string& part) { return part.size() == 1 || part.size() == 2; };
    const bool year_first = parts[0].size() == 4 && small(parts[1]) && small(parts[2]);
    if (!year_first && !(small(parts[0]) && small(parts[1]) && parts[2].size() == 4)) return std::nullopt;
    const auto value = [](const std::string& part) { return std::to_string(std::stoi(part)); };
    return ReadDate{"date " + value(parts[0]) + "-" + value(parts[1]) + "-" + value(parts[2]), end - at};
}

}  // namespace tdrm::math
