#include "tdrm/base/text.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <utility>

namespace tdrm {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
constexpr std::string_view kCut = "...";

/// Bytes of the character at the beginning of a text; 0 if no character begins there.
std::size_t character(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = byte(0);
    if (first < 0x80) return 1;
    const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
    for (std::size_t i = 1; i < length; ++i)
        if (byte(i) >> 6 != 2) return 0;
    // Overlong forms, surrogates, and what lies beyond U+10FFFF.
    const unsigned char second = byte(1);
    const bool wrong = (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
                       (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F);
    return wrong ? 0 : length;
}

/// Number of the character that a text's first `length` bytes are.
std::uint32_t code_point(std::string_view text, std::size_t length) {
    const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
    if (length == 1) return byte(0);
    std::uint32_t code = byte(0) & (0x7FU >> length);
    for (std::size_t i = 1; i < length; ++i) code = code << 6 | (byte(i) & 0x3FU);
    return code;
}

/// Whether a character moves the cursor, changes how a terminal writes, or turns the direction of writing.
bool acts(std::uint32_t code) {
    constexpr std::array<std::pair<std::uint32_t, std::uint32_t>, 7> kRanges{{{0x00, 0x1F},
                                                                              {0x7F, 0x9F},
                                                                              {0x61C, 0x61C},
                                                                              {0x200E, 0x200F},
                                                                              {0x2028, 0x202E},
                                                                              {0x2066, 0x2069},
                                                                              {0xFFF9, 0xFFFB}}};
    return std::ranges::any_of(kRanges, [&](const auto& range) { return code >= range.first && code <= range.second; });
}

std::string escape(const char* format, std::uint32_t code) {
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), format, static_cast<unsigned>(code));
    return text.data();
}

}  // namespace

std::string shortened(std::string_view text, std::size_t bytes) {
    std::string result;
    std::size_t room = 0;  // length of the result before the last character that leaves room for the mark of a cut
    while (!text.empty()) {
        const std::size_t length = character(text);
        const std::string_view next = length > 0 ? text.substr(0, length) : kReplacement;
        if (result.size() + next.size() > bytes) return result.substr(0, room).append(kCut);
        result += next;
        if (result.size() + kCut.size() <= bytes) room = result.size();
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return result;
}

std::string printable(std::string_view text) {
    std::string result;
    while (!text.empty()) {
        const std::size_t length = character(text);
        const std::uint32_t code = length > 0 ? code_point(text, length) : static_cast<unsigned char>(text[0]);
        if (code == '\t') {
            result += ' ';
        } else if (code == '\n' || (length > 0 && !acts(code))) {
            result += text.substr(0, length);
        } else if (!text.starts_with("\r\n")) {
            result += length > 1 ? escape("\\u%04x", code) : escape("\\x%02x", code);
        }
        text.remove_prefix(std::max<std::size_t>(length, 1));
    }
    return result;
}

}  // namespace tdrm
