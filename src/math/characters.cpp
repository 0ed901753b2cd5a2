#include "tdrm/math/characters.hpp"

#include <cstdint>
#include <unordered_map>

namespace tdrm::math {
namespace {

struct Decoded {
    std::uint32_t code = 0;
    std::size_t length = 1;
    bool valid = false;
};

/// One UTF-8 character, strictly: no overlong forms, no surrogates.
Decoded decode(std::string_view text, std::size_t at) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
    const unsigned char lead = byte(0);
    if (lead < 0x80) return {lead, 1, true};
    const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
    if (length == 0 || lead > 0xF4 || at + length > text.size()) return {};
    std::uint32_t code = lead & (0xFFU >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0U) != 0x80U) return {};
        code = code << 6 | (byte(i) & 0x3FU);
    }
    const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
    if (overlong || (code >= 0xD800 && code < 0xE000) || code > 0x10FFFF) return {};
    return {code, length, true};
}

const std::unordered_map<std::uint32_t, const char*>& replacements() {
    static const std::unordered_map<std::uint32_t, const char*> table = {
        {0x00A0, " "},
        {0x2009, " "},
        {0x200A, " "},
        {0x202F, " "},
        {0x2002, " "},
        {0x2003, " "},
        {0x2005, " "},
        {0x3000, " "},
        {0x200B, ""},
        {0x200C, ""},
        {0x200D, ""},
        {0x2060, ""},
        {0xFEFF, ""},
        {0x2061, ""},
        {0x2062, ""},
        {0x2212, "-"},
        {0x2010, "-"},
        {0x2011, "-"},
        {0x2012, "-"},
        {0x2013, "-"},
        {0x2014, "-"},
        {0x00D7, "\\times "},
        {0x2715, "\\times "},
        {0x00F7, "\\div "},
        {0x00B7, "\\cdot "},
        {0x22C5, "\\cdot "},
        {0x2219, "\\cdot "},
        {0x2022, "\\cdot "},
        {0x2217, "*"},
        {0x2215, "/"},
        {0x2044, "/"},
        {0x00B1, "\\pm "},
        {0x2213, "\\mp "},
        {0x2264, "\\le "},
        {0x2A7D, "\\le "},
        {0x2265, "\\ge "},
        {0x2A7E, "\\ge "},
        {0x2266, "\\le "},
        {0x2267, "\\ge "},
        {0x2260, "\\ne "},
        {0x2248, "\\approx "},
        {0x2261, "\\equiv "},
        {0x221A, "\\sqrt "},
        {0x221E, "\\infty "},
        {0x222A, "\\cup "},
        {0x2229, "\\cap "},
        {0x2208, "\\in "},
        {0x2209, "\\notin "},
        {0x2216, "\\setminus "},
        {0x2205, "\\emptyset "},
        {0x00D8, "\\emptyset "},
        {0x211D, "\\mathbb{R}"},
        {0x2124, "\\mathbb{Z}"},
        {0x211A, "\\mathbb{Q}"},
        {0x2115, "\\mathbb{N}"},
        {0x2102, "\\mathbb{C}"},
        {0x00B0, "^\\circ "},
        {0x2103, "^\\circ C"},
        {0x2109, "^\\circ F"},
        {0x2032, "'"},
        {0x2033, "''"},
        {0x2018, "'"},
        {0x2019, "'"},
        {0x201C, "\""},
        {0x201D, "\""},
        {0x00BD, "\\frac{1}{2}"},
        {0x00BC, "\\frac{1}{4}"},
        {0x00BE, "\\frac{3}{4}"},
        {0x2153, "\\frac{1}{3}"},
        {0x2154, "\\frac{2}{3}"},
        {0x215B, "\\frac{1}{8}"},
        {0x215C, "\\frac{3}{8}"},
        {0x215D, "\\frac{5}{8}"},
        {0x215E, "\\frac{7}{8}"},
        {0x00B2, "^{2}"},
        {0x00B3, "^{3}"},
        {0x00B9, "^{1}"},
        {0x2070, "^{0}"},
        {0x2074, "^{4}"},
        {0x2075, "^{5}"},
        {0x2076, "^{6}"},
        {0x2077, "^{7}"},
        {0x2078, "^{8}"},
        {0x2079, "^{9}"},
        {0x207F, "^{n}"},
        {0x2220, "\\angle "},
        {0x25B3, "\\triangle "},
        {0x2206, "\\Delta "},
        {0x27E8, "\\langle "},
        {0x27E9, "\\rangle "},
        {0x230A, "\\lfloor "},
        {0x230B, "\\rfloor "},
        {0x2308, "\\lceil "},
        {0x2309, "\\rceil "},
        {0x2026, "\\dots "},
        {0x22EF, "\\dots "},
        {0x20AC, "\\euro "},
        {0x00A3, "\\pounds "},
        {0x00A5, "\\yen "},
        {0x00A2, "\\cent "},
        {0x3001, ","},
        {0x3002, "."},
        {0x3010, "["},
        {0x3011, "]"},
        {0x2227, "\\land "},
        {0x2228, "\\lor "},
        {0x2282, "\\subset "},
        {0x2283, "\\supset "},
        {0x2286, "\\subseteq "},
        {0x2287, "\\supseteq "},
        {0x2192, "\\to "},
        {0x21D2, "\\Rightarrow "},
        {0x2223, "|"},
        {0x2225, "\\parallel "},
        {0x22A5, "\\perp "},
        {0x03B1, "\\alpha "},
        {0x03B2, "\\beta "},
        {0x03B3, "\\gamma "},
        {0x03B4, "\\delta "},
        {0x03B5, "\\epsilon "},
        {0x03B6, "\\zeta "},
        {0x03B7, "\\eta "},
        {0x03B8, "\\theta "},
        {0x03B9, "\\iota "},
        {0x03BA, "\\kappa "},
        {0x03BB, "\\lambda "},
        {0x03BC, "\\mu "},
        {0x00B5, "\\mu "},
        {0x03BD, "\\nu "},
        {0x03BE, "\\xi "},
        {0x03C0, "\\pi "},
        {0x03C1, "\\rho "},
        {0x03C3, "\\sigma "},
        {0x03C4, "\\tau "},
        {0x03C6, "\\phi "},
        {0x03D5, "\\phi "},
        {0x03C7, "\\chi "},
        {0x03C8, "\\psi "},
        {0x03C9, "\\omega "},
        {0x0393, "\\Gamma "},
        {0x0394, "\\Delta "},
        {0x0398, "\\Theta "},
        {0x039B, "\\Lambda "},
        {0x03A0, "\\Pi "},
        {0x03A3, "\\Sigma "},
        {0x03A6, "\\Phi "},
        {0x03A8, "\\Psi "},
        {0x03A9, "\\Omega "},
        {0x210F, "\\hbar "},
    };
    return table;
}

}  // namespace

std::string to_latex_ascii(std::string_view utf8) {
    std::string out;
    out.reserve(utf8.size() + 16);
    for (std::size_t at = 0; at < utf8.size();) {
        const Decoded character = decode(utf8, at);
        if (!character.valid) {
            ++at;
            continue;
        }
        const std::uint32_t code = character.code;
        if (code < 0x80) {
            if (code >= 0x20 || is_space(static_cast<char>(code))) out += static_cast<char>(code);
        } else if (code >= 0xFF01 && code <= 0xFF5E) {
            out += static_cast<char>(code - 0xFF01 + 0x21);
        } else if (code >= 0x2080 && code <= 0x2089) {
            out += std::string("_{") + static_cast<char>('0' + code - 0x2080) + "}";
        } else if (const auto found = replacements().find(code); found != replacements().end()) {
            out += found->second;
        } else {
            out += utf8.substr(at, character.length);
        }
        at += character.length;
    }
    return out;
}

std::string word_key(std::string_view text) {
    std::string key;
    for (const char c : text)
        if (is_letter(c) || is_digit(c) || is_wide(c)) key += to_lower(c);
    return key;
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
    return text;
}

std::string single_backslashes(std::string_view text) {
    const bool everywhere = text.find("\\\\begin") != std::string_view::npos;
    if (text.find("\\\\") == std::string_view::npos) return std::string(text);
    if (!everywhere && text.find("\\begin") != std::string_view::npos) return std::string(text);
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool pair = text[i] == '\\' && i + 1 < text.size() && text[i + 1] == '\\';
        const bool command = pair && i + 2 < text.size() && !is_space(text[i + 2]) && text[i + 2] != '\\';
        if (pair && (everywhere || command)) ++i;
        out += text[i];
    }
    return out;
}

}  // namespace tdrm::math
