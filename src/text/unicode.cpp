#include "unicode.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <vector>

#include "tdrm/base/errors.hpp"

namespace tdrm::text {
namespace {

struct CodeRange {
    char32_t first, last;
};
struct ClassAddition {
    std::string_view name, members;
};
#include "unicode_ranges.inc"

template <std::size_t n>
bool contains(const CodeRange (&ranges)[n], char32_t code) {
    const auto* range = std::partition_point(std::begin(ranges), std::end(ranges),
                                             [code](const CodeRange& r) { return r.last < code; });
    return range != std::end(ranges) && range->first <= code;
}

/// Length of the valid character at `at`, or minus the length of the maximal invalid part (Unicode table 3-7).
int scan_character(std::string_view text, std::size_t at) {
    const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    const unsigned lead = byte(at);
    if (lead < 0x80) return 1;
    if (lead < 0xC2 || lead > 0xF4) return -1;
    const int length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    unsigned low = 0x80;
    unsigned high = 0xBF;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
    for (int i = 1; i < length; ++i, low = 0x80, high = 0xBF) {
        const unsigned next = byte(at + static_cast<std::size_t>(i));
        if (next < low || next > high) return -i;
    }
    return length;
}

utf8proc_option_t options_of(NormalForm form) {
    const int composed = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    const int decomposed = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    switch (form) {
        case NormalForm::nfc:
            return static_cast<utf8proc_option_t>(composed);
        case NormalForm::nfd:
            return static_cast<utf8proc_option_t>(decomposed);
        case NormalForm::nfkc:
            return static_cast<utf8proc_option_t>(composed | UTF8PROC_COMPAT);
        case NormalForm::nfkd:
            return static_cast<utf8proc_option_t>(decomposed | UTF8PROC_COMPAT);
    }
    throw BugError("unknown normal form");
}

void append_normalized(std::string& result, std::string_view text, NormalForm form) {
    if (text.empty()) return;
    utf8proc_uint8_t* mapped = nullptr;
    const auto length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                     static_cast<utf8proc_ssize_t>(text.size()), &mapped, options_of(form));
    const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(mapped, &std::free);
    if (length < 0) throw BugError(cat("utf8proc failed: ", utf8proc_errmsg(length)));
    result.append(reinterpret_cast<const char*>(mapped), static_cast<std::size_t>(length));
}

}  // namespace

char32_t code_point_at(std::string_view text, std::size_t at) {
    const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[at + i])); };
    switch (utf8_length(text[at])) {
        case 1:
            return byte(0);
        case 2:
            return (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F);
        case 3:
            return (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
        default:
            return (byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
    }
}

char32_t code_point_before(std::string_view text, std::size_t end) {
    std::size_t at = end - 1;
    while ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
    return code_point_at(text, at);
}

void append_utf8(std::string& text, char32_t code) {
    const auto put = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xC0 | code >> 6);
        put(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        put(0xE0 | code >> 12);
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    } else {
        put(0xF0 | code >> 18);
        put(0x80 | (code >> 12 & 0x3F));
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    }
}

std::optional<std::size_t> find_invalid_utf8(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
        const int length = scan_character(text, at);
        if (length < 0) return at;
        at += static_cast<std::size_t>(length);
    }
    return std::nullopt;
}

std::string to_valid_utf8(std::string_view bytes) {
    std::string result;
    result.reserve(bytes.size());
    for (std::size_t at = 0; at < bytes.size();) {
        const int length = scan_character(bytes, at);
        const auto width = static_cast<std::size_t>(std::abs(length));
        result.append(length > 0 ? bytes.substr(at, width) : std::string_view("\xEF\xBF\xBD"));
        at += width;
    }
    return result;
}

std::string shortened(std::string_view text) {
    constexpr std::size_t kMost = 80;
    if (text.size() <= kMost) return std::string(text);
    std::size_t end = kMost;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    return std::string(text.substr(0, end)) + "...";
}

bool is_space(char32_t code) {
    return code == 0x20 || (code >= 0x09 && code <= 0x0D) || code == 0x85 || code == 0xA0 || code == 0x1680 ||
           (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F ||
           code == 0x3000;
}
bool is_digit(char32_t code) { return contains(kDigits, code); }
bool is_punctuation(char32_t code) { return contains(kPunctuation, code); }
bool is_word_character(char32_t code) { return contains(kWordCharacters, code); }

std::string normalize(std::string_view text, NormalForm form) {
    // Characters below U+00A0 never change, those below U+0300 are in NFC; most texts have no others.
    const unsigned char limit = form == NormalForm::nfc ? 0xCC : 0xC2;
    if (std::none_of(text.begin(), text.end(), [=](char c) { return static_cast<unsigned char>(c) >= limit; })) {
        return std::string(text);
    }
    std::string result;
    result.reserve(text.size());
    std::size_t begin = 0;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = utf8_length(text[at]);
        if (length > 1 && contains(kOpaque, code_point_at(text, at))) {
            append_normalized(result, text.substr(begin, at - begin), form);
            result.append(text.substr(at, length));
            begin = at + length;
        }
        at += length;
    }
    append_normalized(result, text.substr(begin), form);
    return result;
}

std::string_view regex_class(std::string_view name) {
    for (const ClassAddition& addition : kClassAdditions) {
        if (addition.name == name) return addition.members;
    }
    return {};
}

}  // namespace tdrm::text
