// Formulas in prose.
#include "extract_parts.hpp"
#include "tdrm/math/characters.hpp"

namespace tdrm::math {

namespace {

/// Words of prose (two letters or more outside of commands and their groups) between two dollar signs.
bool holds_prose(std::string_view content) {
    std::size_t letters = 0;
    int depth = 0;
    for (std::size_t i = 0; i < content.size(); ++i) {
        if (content[i] == '\\') {
            while (i + 1 < content.size() && is_letter(content[i + 1])) ++i;
            letters = 0;
            continue;
        }
        depth += content[i] == '{' ? 1 : content[i] == '}' ? -1 : 0;
        letters = is_letter(content[i]) && depth == 0 ? letters + 1 : 0;
        if (letters >= 2) return true;
    }
    return false;
}

}  // namespace

std::optional<std::size_t> closing_dollar(std::string_view text, std::size_t at) {
    std::size_t end = at + 1;
    while (end < text.size() && text[end] != '$') end += text[end] == '\\' ? 2U : 1U;
    if (end >= text.size()) return std::nullopt;
    const std::string_view content = text.substr(at + 1, end - at - 1);
    if (content.empty() || !is_digit(content[0])) return end;
    // "$5 + $7", "$5 and $7": an amount, and the next "$" belongs to the next one.
    const bool next_amount = end + 1 < text.size() && is_digit(text[end + 1]);
    const bool spaced = is_space(content.back()) || content.back() == '-';
    if ((spaced && (next_amount || holds_prose(content))) || (holds_prose(content) && next_amount)) return std::nullopt;
    return end;
}

std::vector<Formula> find_formulas(std::string_view text) {
    std::vector<Formula> formulas;
    for (std::size_t i = 0; i < text.size(); ++i) {
        std::string_view open, close;
        if (text[i] == '\\' && (starts(text, i, "\\(") || starts(text, i, "\\["))) {
            open = text.substr(i, 2);
            close = open == "\\(" ? "\\)" : "\\]";
        } else if (text[i] == '\\') {
            ++i;
            continue;
        } else if (text[i] == '$') {
            open = close = starts(text, i, "$$") ? "$$" : "$";
            if (open.size() == 1 && !closing_dollar(text, i)) continue;
        } else {
            continue;
        }
        const std::size_t begin = i + open.size();
        std::size_t end = begin;
        while (end < text.size() && !starts(text, end, close)) end += text[end] == '\\' && close[0] == '$' ? 2U : 1U;
        if (end >= text.size()) break;
        formulas.push_back({i, end + close.size(), trimmed(text.substr(begin, end - begin))});
        i = end + close.size() - 1;
    }
    return formulas;
}

}  // namespace tdrm::math
