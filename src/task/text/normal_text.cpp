#include "normal_text.hpp"

namespace tdrm::task {

std::string normal_text(std::string_view text) {
    constexpr std::string_view kLeftOut = " \t\r\n$\\{}\"'`,;:?!~";
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    std::string normal;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const bool point = c == '.' && i + 1 < text.size() && is_digit(text[i + 1]);
        if (kLeftOut.find(c) != std::string_view::npos || (c == '.' && !point)) continue;
        normal += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    return normal;
}

}  // namespace tdrm::task
