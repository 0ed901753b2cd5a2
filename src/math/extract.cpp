#include "tdrm/math/extract.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <optional>

#include "extract_parts.hpp"
#include "tdrm/math/characters.hpp"
#include "tdrm/math/words.hpp"

namespace tdrm::math {
namespace {

constexpr std::size_t kMaxWholeLength = 400;  // longer texts are solutions
constexpr std::size_t kMaxLongFormula = 4096;
constexpr std::size_t kMaxWholeWords = 14;
constexpr std::size_t kMinSentenceWords = 3;  // "the total is 42"
constexpr int kMaxSentences = 8;

// ---- whole answers and sentences

bool has_several_formulas(std::string_view text) {
    if (text.size() > kMaxWholeLength) return false;
    const std::vector<Formula> formulas = find_formulas(text);
    return std::count_if(formulas.begin(), formulas.end(), std::not_fn(is_letter_alone)) > 1;
}

/// Words outside of formulas, commands and \text that make a sentence rather than an answer.
struct Prose {
    std::size_t words = 0;
    bool subject = false;   ///< begins with "she", "it", "there" ...
    bool sentence = false;  ///< a verb or an article
};

Prose prose_of(std::string_view text) {
    static constexpr std::array kSentenceWords = {
        "is",     "are",     "the",   "therefore", "thus",  "hence",  "so",     "we",     "answer",   "solution",
        "equals", "gives",   "get",   "have",      "final", "was",    "this",   "makes",  "make",     "has",
        "had",    "pays",    "sells", "earns",     "needs", "gets",   "leaves", "spends", "received", "receives",
        "went",   "will",    "would", "could",     "must",  "find",   "found",  "obtain", "conclude", "think",
        "yields", "becomes", "there", "it",        "he",    "she",    "they",   "you",    "that",     "might",
        "cannot", "can",     "says",  "pay",       "sell",  "earned", "paid",   "spent",  "bought",   "sold",
        "costs",  "cost",    "saved", "owes",      "gave",  "got",    "takes",  "took",   "lies",     "equal"};
    Prose prose;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\') {
            const std::size_t name = i + 1;
            while (i + 1 < text.size() && is_letter(text[i + 1])) ++i;
            const std::string_view command = text.substr(name, i + 1 - name);
            if (command == "begin" || command == "end") i = std::min(text.find('}', i), text.size() - 1);
            continue;
        }
        if (!is_letter(text[i])) continue;
        std::string word;
        while (i < text.size() && is_letter(text[i])) word += to_lower(text[i++]);
        if (word.size() < 2) continue;
        static constexpr std::array kSubjects = {"he", "she", "it", "they", "we", "you", "there"};
        if (++prose.words == 1) prose.subject = std::find(kSubjects.begin(), kSubjects.end(), word) != kSubjects.end();
        prose.sentence =
            prose.sentence || std::find(kSentenceWords.begin(), kSentenceWords.end(), word) != kSentenceWords.end();
    }
    return prose;
}

std::string without_formulas(std::string_view text, const std::vector<Formula>& formulas) {
    std::string rest;
    std::size_t at = 0;
    for (const Formula& formula : formulas) {
        rest += text.substr(at, formula.begin - at);
        rest += ' ';
        at = formula.end;
    }
    rest += text.substr(at);
    return rest;
}

/// Whether the words around formulas are units and connectives ("$1$ and $2$", "$28$ percent").
bool only_answer_words(std::string_view rest) {
    std::string word;
    const auto fits = [&] {
        const bool known =
            word.size() < 2 || find_word(word).use != Command::Use::unknown || !canonical_unit(word).empty();
        word.clear();
        return known;
    };
    for (const char c : rest) {
        if (is_letter(c))
            word += to_lower(c);
        else if (!fits())
            return false;
        if (c == '\\') return false;
    }
    return fits();
}

/// "option A" in Chinese.
bool has_choice_word(std::string_view text) { return text.starts_with("\xE9\x80\x89"); }

/// A formula may be long; words make a text of that length a solution.
bool is_long_formula(std::string_view text) {
    return text.size() <= kMaxLongFormula && std::none_of(text.begin(), text.end(), is_wide) &&
           text.find('$') == std::string_view::npos && prose_of(text).words == 0;
}

/// "... ratio is 13/28" in Chinese: several wide characters, and a digit or letter behind them.
bool has_wide_lead(std::string_view text) {
    if (text.starts_with("\xE7\x99\xBE\xE5\x88\x86\xE4\xB9\x8B")) return false;  // percent
    std::size_t wide = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto lead = static_cast<unsigned char>(text[i]);
        const bool han = lead >= 0xE4 && lead <= 0xE9;
        if (han) {
            ++wide;
            i += 2;
        } else if (wide >= 2 && (is_digit(text[i]) || is_letter(text[i]) || text[i] == '$' || text[i] == '\\')) {
            return !has_choice_word(text);
        } else if (!is_wide(text[i]) && !is_space(text[i])) {
            wide = 0;
        }
    }
    return false;
}

bool is_whole(std::string_view text) {
    if (text.empty() || text.find("\\boxed") != std::string_view::npos) return false;
    if (text.size() > kMaxWholeLength) return is_long_formula(text);
    const std::vector<Formula> formulas = find_formulas(text);
    if (has_wide_lead(text)) return false;
    if (formulas.empty()) {
        const Prose prose = prose_of(text);
        const bool one_line = text.find('\n') == std::string_view::npos;
        return prose.words <= (one_line ? kMaxWholeWords : 0) &&
               !(prose.sentence && prose.words >= (prose.subject ? kMinSentenceWords - 1 : kMinSentenceWords));
    }
    return only_answer_words(without_formulas(text, formulas));
}

std::string_view without_emphasis(std::string_view text) {
    text = trimmed(text);
    while (!text.empty() && (text.front() == '*' || text.front() == ':' || is_space(text.front())))
        text.remove_prefix(1);
    while (!text.empty() && (text.back() == '*' || is_space(text.back()))) text.remove_suffix(1);
    return text;
}

/// "Hence x = 3", "Result: 7": without the first word.
std::string_view without_lead_in(std::string_view text) {
    for (const std::string_view word : {"therefore", "thus", "hence", "so", "then", "result:", "final result:",
                                        "solution:", "total:", "value:", "ans:", "indeed", "simply"}) {
        std::size_t i = 0;
        while (i < word.size() && i < text.size() && to_lower(text[i]) == word[i]) ++i;
        if (i < word.size() || i == text.size() || (is_letter(word.back()) && is_letter(text[i]))) continue;
        while (i < text.size() && (is_space(text[i]) || text[i] == ',')) ++i;
        return text.substr(i);
    }
    return text;
}

/// The sentence or line at the beginning of a text; marks inside of formulas don't end it.
std::string_view first_sentence(std::string_view text) {
    bool in_formula = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\') {
            const char c = i + 1 < text.size() ? text[i + 1] : '\0';
            if (c == '(' || c == '[') in_formula = true;
            if (c == ')' || c == ']') in_formula = false;
            ++i;
            continue;
        }
        if (text[i] == '$') in_formula = !in_formula;
        if (starts(text, i, "<|") || starts(text, i, "\xE3\x80\x82")) return text.substr(0, i);
        if (in_formula) continue;
        const bool end_of_text = i + 1 == text.size();
        if (text[i] == '\n' || (text[i] == '.' && (end_of_text || is_space(text[i + 1])))) return text.substr(0, i);
    }
    return text;
}

/// "12 because 3 * 4 = 12", "12, which is even": the first part.
std::string_view without_reason(std::string_view sentence) {
    bool in_formula = false;
    for (std::size_t i = 1; i < sentence.size(); ++i) {
        if (sentence[i] == '$') in_formula = !in_formula;
        if (in_formula || (sentence[i] != ' ' && sentence[i] != ',' && sentence[i] != ';')) continue;
        // "12 as 3 * 4 = 12", but not "the same as 12".
        if (starts(sentence, i, " as ") && is_digit(sentence[i - 1])) return sentence.substr(0, i);
        for (const std::string_view word : {" because ", " since ", ", which ", ", as ", ", so ", "; so ", "; we ",
                                            "; the ", "; this ", ", where ", ", attained ", " as we ", " as required"})
            if (starts(sentence, i, word)) return sentence.substr(0, i);
    }
    return sentence;
}

/// "The volume of $ABC$ is 120": what follows the last " is ", else the last formula or number.
std::string answer_of_sentence(std::string_view sentence) {
    sentence = without_emphasis(without_lead_in(without_reason(without_emphasis(sentence))));
    for (int i = 0; i < kMaxSentences && !is_whole(sentence); ++i) {
        std::size_t cut = std::string_view::npos;
        for (const std::string_view verb : {" is ", " are ", " equals "})
            if (const auto at = sentence.rfind(verb); at != std::string_view::npos)
                cut = cut == std::string_view::npos ? at + verb.size() : std::max(cut, at + verb.size());
        if (cut == std::string_view::npos) break;
        sentence = without_emphasis(sentence.substr(cut));
    }
    if (const auto boxed = boxed_answer(sentence)) return *boxed;
    if (is_whole(sentence)) return std::string(sentence);
    if (const auto claim = last_claim(sentence)) return claim->text;
    return std::string(sentence);
}

std::optional<std::string> answer_at(AnswerPlace place, std::string_view text);

/// Case-insensitive search from the end.
std::size_t find_last(std::string_view text, std::string_view what) {
    if (what.size() > text.size()) return std::string_view::npos;
    for (std::size_t at = text.size() - what.size() + 1; at-- > 0;) {
        std::size_t i = 0;
        while (i < what.size() && to_lower(text[at + i]) == what[i]) ++i;
        if (i == what.size()) return at;
    }
    return std::string_view::npos;
}

/// Behind the last heading that ends in "answer" ("## Final Answer").
std::size_t find_heading(std::string_view text) {
    for (std::size_t end = text.size(); end > 0;) {
        const std::size_t line_begin =
            text.rfind('\n', end - 1) == std::string_view::npos ? 0 : text.rfind('\n', end - 1) + 1;
        std::string_view line = trimmed(text.substr(line_begin, end - line_begin));
        while (!line.empty() && (line.back() == ':' || line.back() == '*' || line.back() == '#')) line.remove_suffix(1);
        if (line.starts_with("#") && line.size() >= 6 && find_last(line, "answer") == line.size() - 6) return end;
        end = line_begin == 0 ? 0 : line_begin - 1;
    }
    return std::string_view::npos;
}

/// Behind the "is" of the last "... is **12**".
std::size_t find_bold_claim(std::string_view text) {
    std::size_t best = std::string_view::npos;
    for (const std::string_view verb : {" is **", " are **", " equals **", " is: **", " have **", " has **"})
        if (const std::size_t at = find_last(text, verb); at != std::string_view::npos) {
            const std::size_t begin = at + verb.size(), end = text.find("**", begin);
            if (end == std::string_view::npos || end == begin || !is_whole(text.substr(begin, end - begin))) continue;
            if (last_claim(text.substr(begin, end - begin)))
                best = best == std::string_view::npos ? begin : std::max(best, begin);
        }
    return best;
}

std::optional<std::string> phrase_answer(std::string_view text) {
    static constexpr std::array<std::string_view, 14> kPhrases = {"answer is",
                                                                  "answers are",
                                                                  "answer:",
                                                                  "answers:",
                                                                  "answer :",
                                                                  "answer is:",
                                                                  "\na:",
                                                                  "answer**:",
                                                                  "answer**",
                                                                  "\xE7\xAD\x94\xE6\xA1\x88\xE6\x98\xAF",  // da an shi
                                                                  "\xE7\xAD\x94\xE6\xA1\x88\xE4\xB8\xBA",  // da an wei
                                                                  "\xE7\xAD\x94\xE6\xA1\x88\xEF\xBC\x9A",
                                                                  "\xE7\xAD\x94\xEF\xBC\x9A",
                                                                  "\xE6\x95\x85\xE9\x80\x89"};  // gu xuan
    std::size_t best = std::string_view::npos;
    for (const auto phrase : kPhrases)
        if (const auto at = find_last(text, phrase); at != std::string_view::npos)
            best = best == std::string_view::npos ? at + phrase.size() : std::max(best, at + phrase.size());
    const std::size_t bold = find_bold_claim(text);
    for (const std::size_t at : {find_heading(text), bold})
        if (at != std::string_view::npos) best = best == std::string_view::npos ? at : std::max(best, at);
    if (best == std::string_view::npos && (text.starts_with("A:") || text.starts_with("a:"))) best = 2;
    if (best == std::string_view::npos) return std::nullopt;
    std::string_view rest = text.substr(best);
    for (const std::string_view colon : {":", "\xEF\xBC\x9A", "**", " ", "\n"})
        while (rest.starts_with(colon)) rest.remove_prefix(colon.size());
    if (best == bold) return std::string(rest.substr(0, rest.find("**")));
    const std::string answer = answer_of_sentence(first_sentence(without_emphasis(rest)));
    return trimmed(answer).empty() ? std::nullopt : std::optional(answer);
}

std::optional<std::string> hashes_answer(std::string_view text) {
    const auto at = text.rfind("####");
    if (at == std::string_view::npos) return std::nullopt;
    std::string_view line = text.substr(at + 4);
    line = trimmed(line.substr(0, trimmed(line).empty() ? 0 : line.find('\n', line.find_first_not_of(" \t\r\n"))));
    return line.empty() ? std::nullopt : std::optional(std::string(line));
}

/// The last <answer>...</answer>, and in it what any text would be searched for.
std::optional<std::string> tagged_answer(std::string_view text) {
    constexpr std::string_view kOpen = "<answer>", kClose = "</answer>";
    const std::size_t open = find_last(text, kOpen);
    if (open == std::string_view::npos) return std::nullopt;
    std::string_view content = text.substr(open + kOpen.size());
    if (const std::size_t close = find_last(content, kClose); close != std::string_view::npos)
        content = content.substr(0, close);
    content = trimmed(content);
    for (const AnswerPlace place : {AnswerPlace::boxed, AnswerPlace::hashes, AnswerPlace::phrase, AnswerPlace::whole,
                                    AnswerPlace::formula, AnswerPlace::number})
        if (auto answer = answer_at(place, content)) return answer;
    return std::string(content);
}

/// "There is no such number", "The correct option is B".
std::optional<std::string> sentence_answer(std::string_view text) {
    if (text.empty() || text.size() > kMaxWholeLength || text.find('\n') != std::string_view::npos) return std::nullopt;
    if (std::any_of(text.begin(), text.end(), is_digit)) return std::string(text);  // claims no number: words
    return answer_of_sentence(text);
}

std::optional<std::string> answer_at(AnswerPlace place, std::string_view text) {
    switch (place) {
        case AnswerPlace::tag:
            return tagged_answer(text);
        case AnswerPlace::boxed:
            return boxed_answer(text);
        case AnswerPlace::hashes:
            return hashes_answer(text);
        case AnswerPlace::phrase:
            return phrase_answer(text);
        case AnswerPlace::whole:
            return is_whole(text) ? std::optional(std::string(without_lead_in(without_emphasis(text)))) : std::nullopt;
        case AnswerPlace::formula:
        case AnswerPlace::number:
            if (auto claim = last_claim(text); claim && claim->formula == (place == AnswerPlace::formula))
                return std::move(claim->text);
            return std::nullopt;
        case AnswerPlace::sentence:
            return sentence_answer(text);
        case AnswerPlace::none:
            break;
    }
    return std::nullopt;
}

Extraction extract_from(std::string_view text, const ExtractOptions& options) {
    for (const AnswerPlace place : options.order)
        if (auto answer = answer_at(place, text))
            return {place, std::move(*answer), place == AnswerPlace::formula && has_several_formulas(text)};
    return {};
}

}  // namespace

const char* to_string(AnswerPlace place) {
    switch (place) {
        case AnswerPlace::tag:
            return "<answer>";
        case AnswerPlace::boxed:
            return "boxed";
        case AnswerPlace::hashes:
            return "####";
        case AnswerPlace::phrase:
            return "phrase";
        case AnswerPlace::whole:
            return "whole";
        case AnswerPlace::formula:
            return "formula";
        case AnswerPlace::number:
            return "number";
        case AnswerPlace::sentence:
            return "sentence";
        case AnswerPlace::none:
            break;
    }
    return "none";
}

Extraction extract_answer(std::string_view text, const ExtractOptions& options) {
    text = trimmed(text);
    constexpr std::string_view kEndOfThought = "</think>";
    if (const auto thought = text.rfind(kEndOfThought); thought != std::string_view::npos)
        if (auto answer = extract_from(trimmed(text.substr(thought + kEndOfThought.size())), options);
            answer.place != AnswerPlace::none)
            return answer;
    return extract_from(text, options);
}

}  // namespace tdrm::math
