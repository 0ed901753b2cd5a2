// Upper and lower case, and the properties of characters, as Python's str has them.
#include <utf8proc.h>

#include <algorithm>

#include "jinja_value.hpp"
#include "python_text.hpp"
#include "tdrm/base/errors.hpp"
#include "unicode.hpp"

namespace tdrm::text::python {
namespace {

utf8proc_category_t category(char32_t code) { return utf8proc_category(static_cast<utf8proc_int32_t>(code)); }
char32_t upper(char32_t code) { return static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(code))); }
char32_t lower(char32_t code) { return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code))); }
char32_t title(char32_t code) { return static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(code))); }

/// Characters whose case is more than one character, or depends on what stands around them (SpecialCasing.txt).
bool is_special(char32_t code) {
    if (code < 0x130) return false;
    return code == 0x130 || code == 0x149 || code == 0x1F0 || code == 0x390 || code == 0x3A3 || code == 0x3B0 ||
           code == 0x587 || (code >= 0x1E96 && code <= 0x1E9E) || (code >= 0x1F50 && code <= 0x1FFC) ||
           (code >= 0xFB00 && code <= 0xFB17);
}

bool is_lower(char32_t code) { return category(code) == UTF8PROC_CATEGORY_LL || code == 0xAA || code == 0xBA; }
bool is_upper(char32_t code) { return category(code) == UTF8PROC_CATEGORY_LU; }
bool is_title(char32_t code) { return category(code) == UTF8PROC_CATEGORY_LT; }
bool is_cased(char32_t code) { return is_lower(code) || is_upper(code) || is_title(code); }
bool is_letter(char32_t code) {
    const auto found = category(code);
    return found >= UTF8PROC_CATEGORY_LU && found <= UTF8PROC_CATEGORY_LO;
}
bool is_decimal(char32_t code) { return category(code) == UTF8PROC_CATEGORY_ND; }
bool is_superscript_digit(char32_t code) {
    return code == 0xB2 || code == 0xB3 || code == 0xB9 || code == 0x2070 || (code >= 0x2074 && code <= 0x2079) ||
           (code >= 0x2080 && code <= 0x2089) || (code >= 0x2460 && code <= 0x2468);
}
bool is_numeric(char32_t code) {
    const auto found = category(code);
    return found == UTF8PROC_CATEGORY_ND || found == UTF8PROC_CATEGORY_NL || found == UTF8PROC_CATEGORY_NO;
}

template <class Predicate>
bool all_of(std::string_view text, Predicate&& holds) {
    for (std::size_t at = 0; at < text.size(); at += utf8_length(text[at]))
        if (!holds(code_point_at(text, at))) return false;
    return !text.empty();
}

bool has_case(std::string_view text, bool (*wanted)(char32_t)) {
    bool any = false;
    for (std::size_t at = 0; at < text.size(); at += utf8_length(text[at])) {
        const char32_t code = code_point_at(text, at);
        if (wanted(code))
            any = true;
        else if (is_cased(code))
            return false;
    }
    return any;
}

bool is_titled(std::string_view text) {
    bool any = false;
    bool behind_cased = false;
    for (std::size_t at = 0; at < text.size(); at += utf8_length(text[at])) {
        const char32_t code = code_point_at(text, at);
        if ((is_upper(code) || is_title(code)) == behind_cased && is_cased(code)) return false;
        behind_cased = is_cased(code);
        any = any || behind_cased;
    }
    return any;
}

}  // namespace

bool is_printable(char32_t code) {
    if (code < 0x7F) return code >= 0x20;
    switch (category(code)) {
        case UTF8PROC_CATEGORY_CN:
        case UTF8PROC_CATEGORY_CC:
        case UTF8PROC_CATEGORY_CF:
        case UTF8PROC_CATEGORY_CS:
        case UTF8PROC_CATEGORY_CO:
        case UTF8PROC_CATEGORY_ZS:
        case UTF8PROC_CATEGORY_ZL:
        case UTF8PROC_CATEGORY_ZP:
            return false;
        default:
            return true;
    }
}

std::string change_case(std::string_view text, Case wanted) {
    std::string result;
    result.reserve(text.size());
    bool behind_cased = false;
    for (std::size_t at = 0; at < text.size(); at += utf8_length(text[at])) {
        const char32_t code = code_point_at(text, at);
        Case now = wanted;
        if (wanted == Case::title) now = behind_cased ? Case::lower : Case::title;
        if (wanted == Case::capital) now = at > 0 ? Case::lower : Case::title;
        if (wanted == Case::swap) now = is_upper(code) ? Case::lower : is_lower(code) ? Case::upper : Case::swap;
        if (is_special(code) || (code > 0xFF && now == Case::fold)) jinja::fail("the case of an unusual character");
        behind_cased = is_cased(code);
        if (code == 0xDF && now != Case::lower && now != Case::swap) {  // sharp s
            result += now == Case::upper ? "SS" : now == Case::title ? "Ss" : "ss";
        } else {
            append_utf8(result, now == Case::upper                  ? upper(code)
                                : now == Case::title                ? title(code)
                                : now == Case::swap                 ? code
                                : now == Case::fold && code == 0xB5 ? char32_t{0x3BC}
                                                                    : lower(code));
        }
    }
    return result;
}

bool has_property(std::string_view text, std::string_view name) {
    if (name == "alpha") return all_of(text, is_letter);
    if (name == "decimal") return all_of(text, is_decimal);
    if (name == "digit") return all_of(text, [](char32_t c) { return is_decimal(c) || is_superscript_digit(c); });
    if (name == "numeric") return all_of(text, is_numeric);
    if (name == "alnum") return all_of(text, [](char32_t c) { return is_letter(c) || is_numeric(c); });
    if (name == "space") return all_of(text, is_space);
    if (name == "printable") return text.empty() || all_of(text, is_printable);
    if (name == "ascii")
        return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
    if (name == "lower") return has_case(text, is_lower);
    if (name == "upper") return has_case(text, is_upper);
    if (name == "title") return is_titled(text);
    jinja::fail(cat("the method \"is", name, "\" of str"));
}

}  // namespace tdrm::text::python
