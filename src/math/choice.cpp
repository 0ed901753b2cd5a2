#include "choice.hpp"

#include <array>
#include <string>

#include "tdrm/math/characters.hpp"

namespace tdrm::math {
namespace {

constexpr std::size_t kMaxLength = 400;

struct Choice {
    char letter = '\0';      ///< upper case; '\0' if the text doesn't begin with one
    bool marked = false;     ///< (C), C., \text{C}, Option C: surely a choice
    bool alone = false;      ///< nothing but the letter
    bool ambiguous = false;  ///< another letter, or a denial, follows
};

/// Without braces, dollars, emphasis and typographic commands; \text{...} counts as a mark.
std::string plain(std::string_view answer, bool& marked) {
    std::string text;
    for (std::size_t i = 0; i < answer.size(); ++i) {
        const char c = answer[i];
        if (c == '\\' && i + 1 < answer.size() && is_letter(answer[i + 1])) {
            const std::size_t begin = ++i;
            while (i + 1 < answer.size() && is_letter(answer[i + 1])) ++i;
            const std::string_view name = answer.substr(begin, i + 1 - begin);
            if (name.starts_with("text") || name == "mathrm" || name == "mathbf")
                marked = marked || text.empty();
            else if (name != "left" && name != "right" && name != "quad" && name != "qquad")
                text += '\\';
        } else if (c == '\\') {
            ++i;
            text += ' ';
        } else if (c != '{' && c != '}' && c != '$' && c != '*' && (!text.empty() || !is_space(c))) {
            text += c == '~' ? ' ' : c;
        }
    }
    return text;
}

bool skip_word(std::string& text) {
    static constexpr std::array<std::string_view, 12> kWords = {"i choose",
                                                                "i pick",
                                                                "i select",
                                                                "option",
                                                                "choice",
                                                                "answer",
                                                                "letter",
                                                                "the answer is",
                                                                "\xE9\x80\x89\xE9\xA1\xB9",
                                                                "\xE9\x80\x89\xE6\x8B\xA9",
                                                                "\xE6\x95\x85\xE9\x80\x89",
                                                                "\xE9\x80\x89"};
    for (const std::string_view word : kWords) {
        std::size_t i = 0;
        while (i < word.size() && i < text.size() && to_lower(text[i]) == word[i]) ++i;
        if (i < word.size()) continue;
        const bool wide = is_wide(word[0]);
        if (!wide && (i == text.size() || is_letter(text[i]))) continue;
        while (i < text.size() && (is_space(text[i]) || text[i] == ':')) ++i;
        text.erase(0, i);
        return true;
    }
    return false;
}

bool is_choice_letter(char c) { return c >= 'A' && c <= 'J'; }

/// Whether what follows a choice names another one: "or C", ", C", "(C)", "/C", "and (C)".
bool names_another(std::string_view rest) {
    for (std::size_t i = 0; i < rest.size(); ++i) {
        const bool small = rest[i] >= 'a' && rest[i] <= 'j';
        if (!is_choice_letter(rest[i]) && !small) continue;
        const bool apart = (i == 0 || !is_letter(rest[i - 1])) && (i + 1 == rest.size() || !is_letter(rest[i + 1]));
        if (!apart) continue;
        const bool bracketed = i > 0 && rest[i - 1] == '(' && i + 1 < rest.size() && rest[i + 1] == ')';
        if (small && !bracketed) continue;
        const bool article = i == 0 && rest[0] == 'A' && rest.size() > 2 && rest[1] == ' ' && is_letter(rest[2]);
        if (article) continue;
        std::string_view before = trimmed(rest.substr(0, bracketed ? i - 1 : i));
        if (bracketed || before.empty()) return true;
        for (const std::string_view mark :
             {",", ";", "/", "&", "+", "-", "\\", "|", "\xE3\x80\x81", "\xE6\x88\x96", "\xE5\x92\x8C", "\xE5\x8F\x8A"})
            if (before.ends_with(mark)) return true;
        for (const std::string_view word : {"or", "and", "maybe", "perhaps", "not", "but", "else", "to"})
            if (before.ends_with(word) &&
                (before.size() == word.size() || !is_letter(before[before.size() - word.size() - 1])))
                return true;
    }
    return false;
}

bool denies(std::string_view rest) {
    std::string words;
    for (const char c : rest) words += to_lower(c);
    for (const std::string_view denial : {"is not", "isn't", "is wrong", "is incorrect", "is false", "can't", "cannot",
                                          "is no ", "is eliminated", "is excluded", "ruled out", "not sure"})
        if (words.find(denial) != std::string::npos) return true;
    return false;
}

Choice choice_of(std::string_view answer) {
    if (answer.size() > kMaxLength) return {};
    Choice choice;
    std::string text = plain(to_latex_ascii(answer), choice.marked);
    if (skip_word(text)) choice.marked = true;
    std::size_t at = 0;
    if (at < text.size() && text[at] == '(') ++at, choice.marked = true;
    if (at >= text.size() || !is_letter(text[at])) return {};
    choice.letter = text[at++];
    const bool mark = at < text.size() && (text[at] == ')' || text[at] == '.' ||
                                           (text[at] == ':' && (at + 1 == text.size() || is_space(text[at + 1]))));
    if (mark) ++at, choice.marked = true;
    while (at < text.size() && (is_space(text[at]) || text[at] == '.' || text[at] == ')')) ++at;
    choice.alone = at == text.size();
    const std::string_view rest = std::string_view(text).substr(at);
    const bool word = at > 0 && is_letter(text[at - 1]) && !rest.empty() && is_letter(rest[0]);
    choice.letter = choice.letter >= 'a' ? static_cast<char>(choice.letter - 'a' + 'A') : choice.letter;
    if (word || !is_choice_letter(choice.letter)) return {};
    choice.ambiguous = names_another(rest) || denies(rest);
    if (!choice.alone && !mark && !choice.ambiguous) return {};
    return choice;
}

}  // namespace

std::optional<bool> same_choice(std::string_view gold, std::string_view answer) {
    const Choice expected = choice_of(gold), given = choice_of(answer);
    if (expected.letter == '\0' || given.letter == '\0' || expected.ambiguous) return std::nullopt;
    const bool sure = expected.marked || given.marked;
    if (given.ambiguous) return expected.alone && sure ? std::optional(false) : std::nullopt;
    if (expected.letter != given.letter) return std::nullopt;
    if (!expected.alone) return given.alone && sure ? std::optional(true) : std::nullopt;
    return sure ? std::optional(true) : std::nullopt;
}

}  // namespace tdrm::math
