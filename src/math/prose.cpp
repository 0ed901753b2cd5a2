// What a text of words, formulas and numbers claims in its last sentence.
#include <algorithm>
#include <array>

#include "extract_parts.hpp"
#include "prose_items.hpp"
#include "tdrm/math/characters.hpp"
#include "tdrm/math/words.hpp"

namespace tdrm::math {
namespace {

constexpr std::size_t kMaxGap = 40;     // between two candidates
constexpr std::size_t kMaxPrefix = 60;  // before a candidate
constexpr int kMaxSteps = 12;           // candidates that are passed over

// ---- what the words around a candidate say

bool ends_with_any(std::string_view text, std::initializer_list<std::string_view> words) {
    for (const std::string_view word : words) {
        if (!text.ends_with(word)) continue;
        const std::size_t before = text.size() - word.size();
        if (before == 0 || !is_letter(word[0]) || !is_letter(text[before - 1])) return true;
    }
    return false;
}

/// The sentence up to a candidate, without what ends sentences before it.
std::string prefix_of(std::string_view text, std::size_t from, std::size_t at) {
    from = std::max(from, at > kMaxPrefix ? at - kMaxPrefix : 0);
    std::string_view prefix = text.substr(from, at - from);
    for (const std::string_view end : {". ", "\n", "! ", "? ", "\xE3\x80\x82"})
        if (const auto stop = prefix.rfind(end); stop != std::string_view::npos)
            prefix = prefix.substr(stop + end.size());
    while (!prefix.empty() &&
           (is_space(prefix.back()) || std::string_view("$*_`\"'(:").find(prefix.back()) != std::string_view::npos))
        prefix.remove_suffix(1);
    return lower(prefix);
}

/// "not 7", "at most 7", "divided by 7": the number isn't what is claimed.
bool is_denied(std::string_view prefix) {
    return ends_with_any(prefix, {"not",
                                  "isn't",
                                  "aren't",
                                  "wasn't",
                                  "can't",
                                  "doesn't",
                                  "won't",
                                  "log",
                                  "ln",
                                  "sin",
                                  "cos",
                                  "tan",
                                  "sine of",
                                  "cosine of",
                                  "not be",
                                  "not equal",
                                  "not equal to",
                                  "n't be",
                                  "n't equal",
                                  "cannot be",
                                  "cannot equal",
                                  "can't be",
                                  "never",
                                  "never be",
                                  "neither",
                                  "nor",
                                  "rather than",
                                  "instead of",
                                  "other than",
                                  "anything but",
                                  "except",
                                  "except for",
                                  "less than",
                                  "greater than",
                                  "more than",
                                  "fewer than",
                                  "smaller than",
                                  "larger than",
                                  "bigger than",
                                  "higher than",
                                  "lower than",
                                  "at most",
                                  "at least",
                                  "between",
                                  "exceeds",
                                  "exceed",
                                  "up to",
                                  "below",
                                  "above",
                                  "under",
                                  "over",
                                  "almost",
                                  "nearly",
                                  "beyond",
                                  "unlikely to be",
                                  "or",
                                  "no",
                                  "unlike",
                                  "versus",
                                  "but not",
                                  "far from",
                                  "different from",
                                  "root of",
                                  "half of",
                                  "twice",
                                  "double",
                                  "triple",
                                  "third of",
                                  "quarter of",
                                  "multiple of",
                                  "times",
                                  "factorial of",
                                  "square of",
                                  "cube of",
                                  "plus",
                                  "minus",
                                  "negative",
                                  "logarithm of",
                                  "reciprocal of",
                                  "divided by",
                                  "divisible by",
                                  "multiplied by",
                                  "modulo",
                                  "mod",
                                  "inverse of",
                                  "multiples of",
                                  "power of",
                                  "percent of",
                                  "% of",
                                  "\xE4\xB8\x8D\xE6\x98\xAF",
                                  "\xE4\xB8\x8D\xE7\xAD\x89\xE4\xBA\x8E",
                                  "\xE4\xB8\x8D\xE4\xB8\xBA",
                                  "\xE4\xB8\x8D",
                                  "\xE9\x9D\x9E",
                                  "\xE5\xA4\xA7\xE4\xBA\x8E",
                                  "\xE5\xB0\x8F\xE4\xBA\x8E",
                                  "\xE8\x87\xB3\xE5\xB0\x91",
                                  "\xE8\x87\xB3\xE5\xA4\x9A",
                                  "\xE8\xB6\x85\xE8\xBF\x87",
                                  "\xE9\x99\xA4\xE4\xBB\xA5",
                                  "\xE5\x9C\xA8"});
}

/// "doesn't have 7", "not equal 7": a negation and one word.
bool is_negated(std::string_view prefix) {
    std::size_t end = prefix.size();
    while (end > 0 && is_letter(prefix[end - 1])) --end;
    return ends_with_any(trimmed(prefix.substr(0, end)), {"not", "doesn't", "don't", "didn't", "can't", "cannot",
                                                          "couldn't", "won't", "never", "isn't"});
}

/// "I doubt that it is 7".
bool is_doubted(std::string_view prefix) {
    for (const std::string_view doubt : {"doubt", "impossible that", "unlikely that", "not true that", "false that",
                                         "not the case", "wrong that", "not sure"})
        if (prefix.find(doubt) != std::string_view::npos) return true;
    return false;
}

/// "for x > 4", "attained at x = 2", "in 4 hours": a condition, not the claim, if there is another candidate.
bool is_condition(std::string_view prefix, const std::string& item) {
    if (ends_with_any(prefix, {"when",
                               "whenever",
                               "if",
                               "where",
                               "for all",
                               "for any",
                               "for every",
                               "for each",
                               "for some",
                               "for all integers",
                               "for all positive integers",
                               "since",
                               "because",
                               "given",
                               "given that",
                               "such that",
                               "provided",
                               "provided that",
                               "assuming",
                               "as long as",
                               "unless",
                               "for all real numbers",
                               "for every integer",
                               "for integers",
                               "for integer",
                               "with respect to",
                               "per",
                               "within",
                               "every",
                               "than"}))
        return true;
    const bool relation = item.find_first_of("=<>") != std::string::npos || item.find("\\in") != std::string::npos ||
                          item.find("\\ge") != std::string::npos || item.find("\\le") != std::string::npos ||
                          item.find("\\ne") != std::string::npos;
    if (relation && ends_with_any(prefix, {"at", "for", "with", "in", "under", "setting"})) return true;
    return ends_with_any(prefix, {"in", "after", "during"}) &&
           !ends_with_any(prefix, {"result in", "results in", "resulting in", "resulted in"});
}

/// "20 workers are needed to produce 720/K of them".
bool is_purpose(std::string_view prefix) {
    std::size_t word = prefix.size();
    while (word > 0 && is_letter(prefix[word - 1])) --word;
    const std::string_view verb = prefix.substr(word), before = trimmed(prefix.substr(0, word));
    if (verb.size() < 3 || !ends_with_any(before, {"to"})) return false;
    for (const std::string_view result : {"get", "obtain", "give", "equal", "find", "have", "exactly", "about", "reach",
                                          "conclude", "simplify", "approximately", "yield", "the", "show", "see"})
        if (verb == result) return false;
    return true;
}

/// "7 is wrong", "7 or so".
bool is_revoked(std::string_view suffix) {
    std::size_t at = 0;
    while (at < suffix.size() && (is_space(suffix[at]) || suffix[at] == '$' || suffix[at] == '*' || suffix[at] == ','))
        ++at;
    const std::string rest = lower(suffix.substr(at, kMaxGap));
    for (const std::string_view word :
         {"is wrong",      "is not",   "isn't",      "is incorrect", "is false",  "or so",      "or more",
          "or less",       "or fewer", "or greater", "or larger",    "or maybe",  "or perhaps", "is impossible",
          "to the",        "doubled",  "tripled",    "halved",       "at most",   "at least",   "or not",
          "if not",        "or else",  "squared",    "cubed",        "factorial", "and a half", "and a third",
          "and a quarter", "?",        "does not",   "doesn't",      "cannot",    "can't"})
        if (rest.starts_with(word)) return true;
    return false;
}

/// " million" of "3 million people".
std::string magnitude_behind(std::string_view suffix) {
    if (suffix.empty() || (suffix[0] != ' ' && !is_wide(suffix[0]))) return {};
    const std::string_view words = trimmed(suffix.substr(0, kMaxGap));
    const Magnitude magnitude = magnitude_word(words);
    return magnitude.length > 0 ? " " + std::string(words.substr(0, magnitude.length)) : std::string();
}

/// How the words between two candidates join them: '\0' not at all, ',' both, 'o' one of them, 't' a range.
char joined_by(std::string_view gap) {
    if (gap.size() > kMaxGap || gap.find('\n') != std::string_view::npos) return '\0';
    const std::string words = lower(trimmed(gap));
    const bool only_operators = !words.empty() && std::all_of(words.begin(), words.end(), [](char c) {
        return (is_operator(c) && c != '=' && c != '<' && c != '>') || is_wide(c) || c == ' ';
    });
    if (only_operators && words.find_first_of("+-*/^") != std::string::npos) return 't';
    for (const std::string_view dash : {"\xE2\x80\x93", "\xE2\x88\x92", "\xE2\x80\x94"})
        if (words == dash) return 't';
    std::string letters;
    bool stop = false;
    for (const char c : words) {
        stop = stop || c == '.' || c == ':' || is_operator(c);
        if (is_letter(c) || is_wide(c)) letters += c;
        if (is_space(c) && !letters.empty() && letters.back() != ' ') letters += ' ';
    }
    letters = trimmed(letters);
    for (const std::string_view alternative :
         {"or", "\xE6\x88\x96", "\xE6\x88\x96\xE8\x80\x85", "perhaps", "maybe", "possibly"}) {
        const std::size_t at = letters.find(alternative);
        if (at == std::string::npos || stop) continue;
        const std::size_t end = at + alternative.size();
        const bool apart = is_wide(alternative[0]) ||
                           ((at == 0 || letters[at - 1] == ' ') && (end == letters.size() || letters[end] == ' '));
        if (apart) return 'o';
    }
    if (stop) return '\0';
    if (letters.empty()) return words.find_first_of(",;&") != std::string::npos ? ',' : '\0';
    for (const std::string_view both :
         {"and", "\xE5\x92\x8C", "\xE4\xB8\x8E", "\xE3\x80\x81", "\xEF\xBC\x8C", "as well as", "and also"})
        if (letters == both) return ',';
    for (const std::string_view operation :
         {"to", "through", "to the", "to the power of", "plus", "minus", "times", "divided by", "multiplied by", "mod",
          "modulo", "choose", "over", "out of"})
        if (letters == operation) return 't';
    return letters == "\xE5\x88\xB0" || letters == "\xE8\x87\xB3" ? 't' : '\0';
}

/// "2 \\times" before the next candidate.
bool ends_open(std::string_view text) {
    for (text = trimmed(text); text.ends_with("\\,") || text.ends_with("\\!"); text = trimmed(text))
        text.remove_suffix(2);
    return !text.empty() && (std::string_view("+-*/^").find(text.back()) != std::string_view::npos ||
                             text.ends_with("\\times") || text.ends_with("\\cdot"));
}

/// An operator between a candidate and a letter or bracket before it: "$x$ + 3", "-$3$".
bool is_operand(std::string_view text, const Item& item) {
    std::string_view before = text.substr(0, item.begin);
    if (item.formula) return !before.empty() && std::string_view("+-*/^").find(before.back()) != std::string_view::npos;
    before = trimmed(before);
    return !item.text.empty() && std::string_view("+-*/^").find(item.text[0]) != std::string_view::npos &&
           !before.empty() && (before.back() == '$' || before.back() == ')');
}

/// The claim that ends with item `last`, joined to what stands before it; `last` becomes its first item.
std::string claim_of(std::string_view text, const std::vector<Item>& items, std::size_t& last) {
    std::string claim = items[last].text;
    while (last > 0) {
        const Item &before = items[last - 1], &here = items[last];
        const char joint = joined_by(text.substr(before.end, here.begin - before.end));
        if (ends_open(before.text) && here.formula) {  // one expression in two formulas
            claim = before.text + " " + claim;
            --last;
            continue;
        }
        if (joint == '\0' && !ends_open(before.text)) break;
        claim = before.text + (joint == ',' ? ", " : joint == 'o' ? " or " : joint == 't' ? " to " : " ") + claim;
        --last;
    }
    return claim;
}

bool same_sentence(std::string_view text, const Item& first, const Item& second) {
    const std::string_view gap = text.substr(first.end, second.begin - first.end);
    return gap.find(". ") == std::string_view::npos && gap.find('\n') == std::string_view::npos &&
           gap.find("\xE3\x80\x82") == std::string_view::npos;
}

}  // namespace

std::optional<Claim> last_claim(std::string_view text) {
    const std::vector<Item> items = items_of(text);
    int steps = 0;
    for (std::size_t last = items.size(); last-- > 0 && steps < kMaxSteps; ++steps) {
        const std::size_t end = last;
        std::string claim = claim_of(text, items, last);
        const std::size_t start = last > 0 ? items[last - 1].end : 0;
        const std::string prefix = prefix_of(text, start, items[last].begin);
        const bool denied =
            is_denied(prefix) || is_negated(prefix) || is_doubted(prefix) || is_revoked(text.substr(items[end].end));
        if (is_operand(text, items[last])) return std::nullopt;
        const bool another = last > 0 && same_sentence(text, items[last - 1], items[last]);
        if (denied && !another) return std::nullopt;
        const bool aside = items[last].begin > 0 && text[items[last].begin - 1] == '(' && items[last].formula;
        if (denied || (another && (aside || is_condition(prefix, items[last].text) || is_purpose(prefix)))) continue;
        claim += magnitude_behind(text.substr(items[end].end));
        if (percent_follows(text.substr(items[end].end)) && claim.find('%') == std::string::npos) claim += "\\%";
        return Claim{std::move(claim), items[end].formula};
    }
    return std::nullopt;
}

}  // namespace tdrm::math
