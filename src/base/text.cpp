#include "tdrm/base/text.hpp"

#include <algorithm>

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

}  // namespace tdrm
