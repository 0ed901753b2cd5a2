// Answers in \boxed{}.
#include <algorithm>

#include "extract_parts.hpp"
#include "tdrm/math/characters.hpp"

namespace tdrm::math {
namespace {

constexpr std::size_t kMaxLongGap = 160;

struct Box {
    std::size_t begin, end;  ///< of "\boxed{...}"
    std::size_t content_begin, content_end;
};

/// All balanced boxes that aren't inside of another, in one pass.
std::vector<Box> find_boxes(std::string_view text) {
    struct Open {
        std::size_t box_begin;  ///< npos for an ordinary brace
        std::size_t content;
    };
    std::vector<Open> open;
    std::vector<Box> boxes;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && (starts(text, i, "\\boxed") || starts(text, i, "\\fbox"))) {
            std::size_t brace = i + (text[i + 1] == 'b' ? 6 : 5);
            while (brace < text.size() && is_space(text[brace])) ++brace;
            if (brace < text.size() && text[brace] == '{') {
                open.push_back({i, brace + 1});
                i = brace;
            }
        } else if (text[i] == '\\') {
            // "\{" and "\}" aren't groups, but "\\}" of a doubled backslash ends one.
            if (i + 1 < text.size() && (text[i + 1] == '{' || text[i + 1] == '}')) ++i;
        } else if (text[i] == '{') {
            open.push_back({std::string_view::npos, i + 1});
        } else if (text[i] == '}' && !open.empty()) {
            const Open last = open.back();
            open.pop_back();
            if (last.box_begin == std::string_view::npos) continue;
            while (!boxes.empty() && boxes.back().begin > last.box_begin) boxes.pop_back();
            boxes.push_back({last.box_begin, i + 1, last.content, i});
        }
    }
    return boxes;
}

/// "x_2 =" at the end of a gap names what the second box is.
std::string_view without_name(std::string_view gap) {
    std::string_view rest = trimmed(gap);
    while (!rest.empty() && (rest.back() == '$' || rest.back() == '{' || is_space(rest.back()))) rest.remove_suffix(1);
    if (!rest.ends_with("=")) return gap;
    rest = trimmed(rest.substr(0, rest.size() - 1));
    std::size_t letters = 0;
    while (!rest.empty() && (is_letter(rest.back()) || is_digit(rest.back()) || rest.back() == '_' ||
                             rest.back() == '{' || rest.back() == '}')) {
        letters += is_letter(rest.back()) ? 1U : 0U;
        rest.remove_suffix(1);
    }
    if (!rest.empty() && rest.back() == '\\') rest.remove_suffix(1), letters = 1;  // \theta
    return letters == 1 ? rest : gap;
}

/// "..., and the least possible number is" between two boxes: the sentence names both.
bool continues_sentence(std::string_view gap) {
    if (gap.size() > kMaxLongGap || gap.find(". ") != std::string_view::npos ||
        gap.find('\n') != std::string_view::npos)
        return false;
    while (!gap.empty() && std::string_view(" ,;$\\)").find(gap.front()) != std::string_view::npos)
        gap.remove_prefix(1);
    while (!gap.empty() && std::string_view(" $\\(").find(gap.back()) != std::string_view::npos) gap.remove_suffix(1);
    return gap.starts_with("and ") && (gap.ends_with(" is") || gap.ends_with(" are"));
}

/// Whether only "and", commas, "or else" and typography stand between two boxes.
bool is_connective(std::string_view gap) {
    if (continues_sentence(gap)) return true;
    if (gap.size() > 60) return false;
    gap = without_name(gap);
    std::string letters;
    for (std::size_t i = 0; i < gap.size(); ++i) {
        if (gap[i] == '\\') {
            while (i + 1 < gap.size() && is_letter(gap[i + 1])) letters += gap[++i];
            if (letters.ends_with("quad")) letters.resize(letters.size() - (letters.ends_with("qquad") ? 5 : 4));
            if (letters.ends_with("text")) letters.resize(letters.size() - 4);
        } else if (is_letter(gap[i])) {
            letters += to_lower(gap[i]);
        } else if (is_digit(gap[i]) || gap[i] == '=' || gap[i] == '.' || gap[i] == '<' || gap[i] == '>' ||
                   gap[i] == '-') {
            return false;
        }
    }
    for (const auto connective : {"", "and", "or", "orelse", "ormaybe", "orpossibly", "orperhaps", "maybe", "perhaps",
                                  "oralternatively", "andalso", "oritis", "oritcouldbe"})
        if (letters == connective) return true;
    return false;
}

}  // namespace

bool percent_follows(std::string_view rest) {
    std::size_t at = 0;
    while (at < rest.size() && (is_space(rest[at]) || rest[at] == '$' || rest[at] == '\\' || rest[at] == ')')) ++at;
    return starts(rest, at, "%") || starts(rest, at, "percent");
}

std::optional<std::string> boxed_answer(std::string_view text) {
    const std::vector<Box> boxes = find_boxes(text);
    if (boxes.empty()) return std::nullopt;
    std::size_t first = boxes.size() - 1;
    while (first > 0 && is_connective(text.substr(boxes[first - 1].end, boxes[first].begin - boxes[first - 1].end)))
        --first;
    std::vector<std::string> contents;
    for (std::size_t i = first; i < boxes.size(); ++i) {
        std::string content(
            trimmed(text.substr(boxes[i].content_begin, boxes[i].content_end - boxes[i].content_begin)));
        if (std::find(contents.begin(), contents.end(), content) == contents.end())
            contents.push_back(std::move(content));
    }
    std::string answer;
    for (const std::string& content : contents) answer += (answer.empty() ? "" : ", ") + content;
    if (percent_follows(text.substr(boxes.back().end)) && answer.find('%') == std::string::npos) answer += "\\%";
    return trimmed(answer).empty() ? std::nullopt : std::optional(answer);
}

}  // namespace tdrm::math
