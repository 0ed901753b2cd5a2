#include "python_text.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "unicode.hpp"

namespace tdrm::text::python {
namespace {

bool is_line_end(char32_t code) {
    return (code >= 0x0A && code <= 0x0D) || (code >= 0x1C && code <= 0x1E) || code == 0x85 || code == 0x2028 ||
           code == 0x2029;
}

std::size_t last_character(std::string_view text) {
    std::size_t at = text.size() - 1;
    while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
    return at;
}

}  // namespace

bool is_space(char32_t code) { return text::is_space(code) || (code >= 0x1C && code <= 0x1F); }

std::string_view strip(std::string_view text, bool left, bool right, const std::function<bool(char32_t)>& drop) {
    while (left && !text.empty() && drop(code_point_at(text, 0))) text.remove_prefix(utf8_length(text[0]));
    while (right && !text.empty()) {
        const std::size_t at = last_character(text);
        if (!drop(code_point_at(text, at))) break;
        text.remove_suffix(text.size() - at);
    }
    return text;
}

std::int64_t length(std::string_view text) {
    return std::count_if(text.begin(), text.end(),
                         [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

std::size_t offset_of(std::string_view text, std::int64_t index) {
    std::size_t at = 0;
    for (; index > 0 && at < text.size(); --index) at += utf8_length(text[at]);
    return at;
}

std::vector<std::string_view> split_white(std::string_view text, std::int64_t most, bool from_right) {
    std::vector<std::string_view> parts;
    text = strip(text, !from_right, from_right);
    while (!text.empty()) {
        if (most >= 0 && static_cast<std::int64_t>(parts.size()) == most) {
            parts.push_back(text);
            break;
        }
        if (from_right) {
            std::size_t begin = text.size();
            while (begin > 0) {
                const std::size_t at = last_character(text.substr(0, begin));
                if (is_space(code_point_at(text, at))) break;
                begin = at;
            }
            parts.push_back(text.substr(begin));
            text = strip(text.substr(0, begin), false, true);
        } else {
            std::size_t end = 0;
            while (end < text.size() && !is_space(code_point_at(text, end))) end += utf8_length(text[end]);
            parts.push_back(text.substr(0, end));
            text = strip(text.substr(end), true, false);
        }
    }
    if (from_right) std::reverse(parts.begin(), parts.end());
    return parts;
}

std::vector<std::string_view> split_at(std::string_view text, std::string_view separator, std::int64_t most,
                                       bool from_right) {
    std::vector<std::string_view> parts;
    for (; most != 0; --most) {
        const std::size_t hit = from_right ? text.rfind(separator) : text.find(separator);
        if (hit == std::string_view::npos) break;
        parts.push_back(from_right ? text.substr(hit + separator.size()) : text.substr(0, hit));
        text = from_right ? text.substr(0, hit) : text.substr(hit + separator.size());
    }
    parts.push_back(text);
    if (from_right) std::reverse(parts.begin(), parts.end());
    return parts;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
    std::vector<std::string_view> lines;
    std::size_t begin = 0;
    for (std::size_t at = 0; at < text.size();) {
        const char32_t code = code_point_at(text, at);
        std::size_t next = at + utf8_length(text[at]);
        if (is_line_end(code)) {
            if (code == '\r' && next < text.size() && text[next] == '\n') ++next;
            lines.push_back(text.substr(begin, (keep_ends ? next : at) - begin));
            begin = next;
        }
        at = next;
    }
    if (begin < text.size()) lines.push_back(text.substr(begin));
    return lines;
}

std::string replace(std::string_view text, std::string_view from, std::string_view to, std::int64_t most,
                    const std::function<void(std::size_t)>& reserve) {
    std::vector<std::size_t> hits;  // an empty `from` stands before each character and at the end
    for (std::size_t at = 0; most < 0 || static_cast<std::int64_t>(hits.size()) < most;) {
        const std::size_t hit = text.find(from, at);
        if (hit == std::string_view::npos) break;
        hits.push_back(hit);
        if (from.empty() && hit == text.size()) break;
        at = hit + (from.empty() ? utf8_length(text[hit]) : from.size());
        if (hits.size() % 4096 == 0) reserve(hits.size() * sizeof(std::size_t));
    }
    reserve(text.size() - hits.size() * from.size() + hits.size() * to.size());
    std::string result;
    std::size_t done = 0;
    for (const std::size_t hit : hits) {
        result.append(text, done, hit - done).append(to);
        done = hit + from.size();
    }
    return result.append(text, done);
}

std::string repr(std::string_view text) {
    const bool twofold = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
    const char quote = twofold ? '"' : '\'';
    std::string result(1, quote);
    const auto hex = [&](char32_t code, int digits) {
        for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) result += "0123456789abcdef"[(code >> shift) & 15];
    };
    for (std::size_t at = 0; at < text.size(); at += utf8_length(text[at])) {
        const char32_t code = code_point_at(text, at);
        if (code == static_cast<unsigned char>(quote) || code == '\\') {
            result += '\\';
            result += static_cast<char>(code);
        } else if (code == '\n' || code == '\t' || code == '\r') {
            result += code == '\n' ? "\\n" : code == '\t' ? "\\t" : "\\r";
        } else if (is_printable(code)) {
            result += text.substr(at, utf8_length(text[at]));
        } else if (code < 0x100) {
            result += "\\x";
            hex(code, 2);
        } else if (code < 0x10000) {
            result += "\\u";
            hex(code, 4);
        } else {
            result += "\\U";
            hex(code, 8);
        }
    }
    return result += quote;
}

/// The shortest digits that read back as the same number, with an exponent below 1e-4 and from 1e16 on.
std::string repr(double number) {
    if (std::isnan(number)) return "nan";
    if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
    char buffer[64];
    const double size = std::abs(number);
    const bool plain = number == 0 || (size >= 1e-4 && size < 1e16);
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, number,
                                   plain ? std::chars_format::fixed : std::chars_format::scientific);
    std::string text(buffer, end.ptr);
    if (plain && text.find('.') == std::string::npos) text += ".0";
    return text;
}

}  // namespace tdrm::text::python
