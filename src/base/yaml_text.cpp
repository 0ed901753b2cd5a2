#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <system_error>

#include "tdrm/base/yaml.hpp"

namespace tdrm {
namespace {

bool is_word(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               std::string_view("_/.@=+-").find(c) != std::string_view::npos;
    });
}

bool is_reserved(std::string_view text) {
    constexpr std::array<std::string_view, 9> kReserved{"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
    std::string lower(text);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return std::find(kReserved.begin(), kReserved.end(), lower) != kReserved.end();
}

bool needs_quotes(const std::string& text, bool is_text) {
    if (!is_word(text) || text[0] == '@' || text[0] == '=' || text[0] == '-' || text[0] == '.') {
        double number = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        const bool is_number = error == std::errc() && end == text.data() + text.size();
        if (is_text || !is_number) return true;
    }
    if (!is_text) return text == "null" || text == "Null" || text == "NULL";
    const char first = text[0];
    return is_reserved(text) || (first >= '0' && first <= '9') || first == '+';
}

std::string quote(const std::string& text) {
    std::string result = "\"";
    for (const char c : text) {
        std::array<char, 8> code{};
        if (c == '"' || c == '\\') {
            result += {'\\', c};
        } else if (c == '\n') {
            result += "\\n";
        } else if (c == '\t') {
            result += "\\t";
        } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            std::snprintf(code.data(), code.size(), "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
            result += code.data();
        } else {
            result += c;
        }
    }
    return result + "\"";
}

std::string scalar_text(const std::string& text, bool is_text) {
    return needs_quotes(text, is_text) ? quote(text) : text;
}

void write_block(const Yaml& node, const std::string& indent, std::string& out) {
    for (const auto& [key, value] : node.entries) {
        out += indent + scalar_text(key, true) + ":";
        if (value.is_map() && !value.entries.empty()) {
            out += "\n";
            write_block(value, indent + "  ", out);
        } else {
            out += " " + to_line(value) + "\n";
        }
    }
}

}  // namespace

std::string to_line(const Yaml& node) {
    std::string text;
    if (node.is_null()) return "null";
    if (node.is_scalar()) return scalar_text(node.scalar, node.quoted);
    if (node.is_list()) {
        for (const auto& item : node.items) text += (text.empty() ? "" : ", ") + to_line(item);
        return "[" + text + "]";
    }
    for (const auto& [key, value] : node.entries) {
        text += (text.empty() ? "" : ", ") + scalar_text(key, true) + ": " + to_line(value);
    }
    return "{" + text + "}";
}

std::string to_text(const Yaml& node) {
    if (!node.is_map() || node.entries.empty()) return to_line(node) + "\n";
    std::string text;
    write_block(node, "", text);
    return text;
}

std::string number_text(double value) {
    std::array<char, 400> buffer{};
    const double size = std::abs(value);
    const bool fixed = value == 0 || (size >= 1e-6 && size < 1e15);
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value + 0.0,  // -0 becomes 0
                                   fixed ? std::chars_format::fixed : std::chars_format::scientific)
                         .ptr;
    return {buffer.data(), end};
}

std::string canonical_scalar(const std::string& text) {
    if (text.find_first_not_of("0123456789") == std::string::npos) return text;  // may have more digits than a double
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool is_number = error == std::errc() && end == text.data() + text.size() && std::isfinite(number);
    return is_number ? number_text(number) : text;
}

}  // namespace tdrm
