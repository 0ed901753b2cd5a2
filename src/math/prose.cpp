// What a text of words, formulas and numbers claims in its last sentence.
#include <algorithm>
#include <array>

#include "extract_parts.hpp"
#include "tdrm/math/characters.hpp"
#include "tdrm/math/words.hpp"

namespace tdrm::math {
namespace {

constexpr std::size_t kMaxGap = 40;     // between two candidates
constexpr std::size_t kMaxPrefix = 60;  // before a candidate
constexpr std::size_t kMaxGroup = 300;
constexpr int kMaxSteps = 12;  // candidates that are passed over

struct Item {
    std::size_t begin, end;
    std::string text;
    bool formula;
};

std::string lower(std::string_view text) {
    std::string result(text);
    for (char& c : result) c = to_lower(c);
    return result;
}

// ---- numbers and plain mathematics outside of formulas

bool is_operator(char c) { return std::string_view("+-*/^=<>").find(c) != std::string_view::npos; }

/// Full-width digits, letters and signs, the root, pi, minus, times and the like.
bool is_wide_mathematics(std::string_view chunk, std::size_t at) {
    const auto byte = [&](std::size_t i) {
        return at + i < chunk.size() ? static_cast<unsigned char>(chunk[at + i]) : 0U;
    };
    if (byte(0) == 0xEF && (byte(1) == 0xBC || byte(1) == 0xBD)) {
        const bool punctuation = byte(1) == 0xBC && (byte(2) == 0x8C || byte(2) == 0x9A || byte(2) == 0x9B ||
                                                     byte(2) == 0x9F || byte(2) == 0x81);
        return !punctuation;
    }
    if (byte(0) == 0xE2)
        return (byte(1) >= 0x86 && byte(1) <= 0x8B) || (byte(1) == 0x80 && byte(2) >= 0x90 && byte(2) <= 0x95);
    return byte(0) == 0xC2 || byte(0) == 0xC3 || byte(0) == 0xCF || byte(0) == 0xCE;
}

/// A word without spaces: mathematics, or only its leading number, or nothing of the kind.
struct Chunk {
    std::size_t begin, end;
    bool mathematics = false;
    bool letters_only = false;  ///< "x": belongs to a formula only beside an operator
    bool ends = false;          ///< a comma or full stop follows: nothing is joined to it
};

/// Letters of a run in a chunk: a single variable, a command or a function.
bool is_mathematical_word(std::string_view chunk, std::size_t begin, std::size_t end) {
    if (begin > 0 && chunk[begin - 1] == '\\') return true;
    const std::string word = lower(chunk.substr(begin, end - begin));
    return word.size() == 1 || word == "pi" || !find_function(word).empty();
}

/// The brace that closes the one at `at`, within a bounded distance; npos if there is none.
std::size_t matching_brace(std::string_view text, std::size_t at) {
    int depth = 0;
    for (std::size_t i = at; i < text.size() && i < at + kMaxGroup; ++i) {
        depth += text[i] == '{' ? 1 : text[i] == '}' ? -1 : 0;
        if (depth == 0) return i;
    }
    return std::string_view::npos;
}

/// Whether \text or the like stands before the (closed) brace at `at`.
bool after_text_command(std::string_view chunk, std::size_t at) {
    std::size_t begin = at;
    while (begin > 0 && is_letter(chunk[begin - 1])) --begin;
    return begin > 0 && chunk[begin - 1] == '\\' && matching_brace(chunk, at) != std::string_view::npos &&
           find_command(chunk.substr(begin, at - begin)).use == Command::Use::text_group;
}

std::size_t length_of_number(std::string_view chunk) {
    std::size_t i = 0;
    while (i < chunk.size() && (chunk[i] == '$' || chunk[i] == '-' || chunk[i] == '\\')) ++i;
    const std::size_t digits = i;
    while (i < chunk.size() && (is_digit(chunk[i]) || ((chunk[i] == '.' || chunk[i] == ',') && i + 1 < chunk.size() &&
                                                       is_digit(chunk[i + 1]))))
        ++i;
    return i > digits ? i : 0;
}

/// A chunk between white space, cut at words of wide characters.
void classify(std::string_view text, std::size_t begin, std::size_t end, std::vector<Chunk>& chunks) {
    constexpr std::string_view kOpening = "*_`\"'", kClosing = "*_`\"'.,;:?";
    while (begin < end && kOpening.find(text[begin]) != std::string_view::npos) ++begin;
    if (starts(text, begin, "\\boxed{") && matching_brace(text, begin + 6) == std::string_view::npos) begin += 7;
    bool ends = false;
    while (begin < end && kClosing.find(text[end - 1]) != std::string_view::npos) {
        ends = ends || text[end - 1] == '.' || text[end - 1] == ',' || text[end - 1] == ';' || text[end - 1] == ':';
        --end;
    }
    if (begin == end) return chunks.push_back({begin, begin, false, false, true});
    const std::string_view chunk = text.substr(begin, end - begin);
    bool mathematics = true, letters_only = true;
    for (std::size_t i = 0; i < chunk.size() && mathematics;) {
        if (chunk[i] == '{' && after_text_command(chunk, i)) {
            i = matching_brace(chunk, i) + 1;
            letters_only = false;
            continue;
        }
        if (is_letter(chunk[i])) {
            std::size_t stop = i;
            while (stop < chunk.size() && is_letter(chunk[stop])) ++stop;
            mathematics = is_mathematical_word(chunk, i, stop);
            i = stop;
            continue;
        }
        if (is_wide(chunk[i])) {
            mathematics = is_wide_mathematics(chunk, i);
            letters_only = false;
            while (++i < chunk.size() && (static_cast<unsigned char>(chunk[i]) & 0xC0U) == 0x80U) continue;
            continue;
        }
        letters_only = false;
        mathematics = std::string_view("@#\"").find(chunk[i]) == std::string_view::npos;
        ++i;
    }
    if (mathematics) return chunks.push_back({begin, end, true, letters_only, ends});
    const std::size_t number = length_of_number(chunk);
    const std::string_view rest = chunk.substr(number);
    const bool ordinal =
        rest.starts_with("th") || rest.starts_with("st") || rest.starts_with("nd") || rest.starts_with("rd");
    const bool unit = number > 0 &&
                      std::all_of(rest.begin(), rest.end(), [](char c) { return is_letter(c) || c == '/'; }) &&
                      !ordinal;  // 18km
    chunks.push_back({begin, unit ? begin + number : end, unit, false, true});
}

/// Chunks of a part of the text that holds no formulas.
std::vector<Chunk> chunks_of(std::string_view text, std::size_t from, std::size_t to) {
    std::vector<Chunk> chunks;
    std::size_t begin = from;
    const auto flush = [&](std::size_t end) {
        if (begin < end) classify(text, begin, end, chunks);
    };
    for (std::size_t i = from; i < to;) {
        if (text[i] == '{') {
            const std::size_t close = matching_brace(text.substr(0, to), i);
            i = close == std::string_view::npos ? i + 1 : close;  // spaces in groups don't end a chunk
        } else if (is_space(text[i])) {
            flush(i);
            begin = ++i;
        } else if (is_wide(text[i]) && !is_wide_mathematics(text, i)) {
            flush(i);
            chunks.push_back({i, i, false, false, true});
            while (++i < to && (static_cast<unsigned char>(text[i]) & 0xC0U) == 0x80U) continue;
            begin = i;
        } else {
            const bool wide = is_wide(text[i]);
            ++i;
            while (wide && i < to && (static_cast<unsigned char>(text[i]) & 0xC0U) == 0x80U) ++i;
        }
    }
    flush(to);
    return chunks;
}

bool touches_operator(std::string_view text, const Chunk& chunk, bool before) {
    return chunk.mathematics && chunk.begin < chunk.end &&
           is_operator(before ? text[chunk.end - 1] : text[chunk.begin]);
}

bool holds_value(std::string_view run) {
    for (std::size_t i = 0; i < run.size(); ++i)
        if (is_digit(run[i]) || is_wide(run[i]) || (run[i] == '\\' && i + 1 < run.size() && is_letter(run[i + 1])))
            return true;
    return false;
}

void add_runs(std::string_view text, std::size_t from, std::size_t to, std::vector<Item>& items) {
    const std::vector<Chunk> chunks = chunks_of(text, from, to);
    const auto belongs = [&](std::size_t i) {
        if (!chunks[i].mathematics) return false;
        if (!chunks[i].letters_only) return true;
        return (i > 0 && !chunks[i - 1].ends && touches_operator(text, chunks[i - 1], true)) ||
               (i + 1 < chunks.size() && !chunks[i].ends && touches_operator(text, chunks[i + 1], false));
    };
    for (std::size_t i = 0; i < chunks.size(); ++i) {
        if (!belongs(i)) continue;
        const std::size_t first = i;
        while (!chunks[i].ends && i + 1 < chunks.size() && belongs(i + 1)) ++i;
        const std::string_view run = text.substr(chunks[first].begin, chunks[i].end - chunks[first].begin);
        if (holds_value(run)) items.push_back({chunks[first].begin, chunks[i].end, std::string(run), false});
    }
}

/// "9 * 2 = 18" says 18; "x = 18" keeps its name.
void take_last_side(Item& item) {
    const std::size_t sign = item.text.rfind('=');
    if (item.formula || sign == std::string::npos || sign == 0) return;
    const std::string_view left = std::string_view(item.text).substr(0, sign);
    if (std::any_of(left.begin(), left.end(), [](char c) { return is_letter(c) || is_wide(c); })) return;
    item.text = trimmed(std::string_view(item.text).substr(sign + 1));
}

/// "f(x)" is what is talked about, not a value.
bool is_function_alone(std::string_view formula) {
    return formula.size() >= 4 && is_letter(formula[0]) && formula[1] == '(' && formula.back() == ')' &&
           std::all_of(formula.begin() + 2, formula.end() - 1, [](char c) { return is_letter(c) || c == ','; });
}

std::vector<Item> items_of(std::string_view text) {
    std::vector<Item> items;
    std::size_t at = 0;
    for (const Formula& formula : find_formulas(text)) {
        add_runs(text, at, formula.begin, items);
        if (!is_letter_alone(formula) && !is_function_alone(formula.content))
            items.push_back({formula.begin, formula.end, std::string(formula.content), true});
        at = formula.end;
    }
    add_runs(text, at, text.size(), items);
    std::erase_if(items, [](const Item& item) { return trimmed(item.text).empty(); });
    return items;
}

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
    while (at < suffix.size() && (is_space(suffix[at]) || suffix[at] == '$' || suffix[at] == '*')) ++at;
    const std::string rest = lower(suffix.substr(at, kMaxGap));
    for (const std::string_view word :
         {"is wrong", "is not",   "isn't",      "is incorrect", "is false",    "or so",         "or more",
          "or less",  "or fewer", "or greater", "or larger",    "or maybe",    "or perhaps",    "is impossible",
          "squared",  "cubed",    "factorial",  "and a half",   "and a third", "and a quarter", "?",
          "does not", "doesn't",  "cannot",     "can't"})
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
    std::string letters;
    bool stop = false;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const char c = words[i];
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

/// The claim that ends with item `last`, joined to what stands before it; `last` becomes its first item.
std::string claim_of(std::string_view text, const std::vector<Item>& items, std::size_t& last) {
    std::string claim = items[last].text;
    while (last > 0) {
        const Item &before = items[last - 1], &here = items[last];
        const char joint = joined_by(text.substr(before.end, here.begin - before.end));
        if (joint == '\0') break;
        claim = before.text + (joint == ',' ? ", " : joint == 'o' ? " or " : " to ") + claim;
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
    std::vector<Item> items = items_of(text);
    std::for_each(items.begin(), items.end(), take_last_side);
    int steps = 0;
    for (std::size_t last = items.size(); last-- > 0 && steps < kMaxSteps; ++steps) {
        const std::size_t end = last;
        std::string claim = claim_of(text, items, last);
        const std::size_t start = last > 0 ? items[last - 1].end : 0;
        const std::string prefix = prefix_of(text, start, items[last].begin);
        const bool denied =
            is_denied(prefix) || is_negated(prefix) || is_doubted(prefix) || is_revoked(text.substr(items[end].end));
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
