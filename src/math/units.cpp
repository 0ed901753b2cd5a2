// Units, counted things, number words.
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "tdrm/math/characters.hpp"
#include "tdrm/math/words.hpp"

namespace tdrm::math {
namespace {

using Spellings = std::unordered_map<std::string_view, std::string_view>;

const Spellings& unit_spellings() {
    static const std::pair<std::string_view, std::vector<std::string_view>> kUnits[] = {
        {"cm", {"cm", "centimeter", "centimetre", "\xE5\x8E\x98\xE7\xB1\xB3"}},
        {"m", {"m", "meter", "metre", "\xE7\xB1\xB3"}},
        {"mm", {"mm", "millimeter", "millimetre", "\xE6\xAF\xAB\xE7\xB1\xB3"}},
        {"km", {"km", "kilometer", "kilometre", "\xE5\x8D\x83\xE7\xB1\xB3"}},
        {"in", {"in", "inch", "inche"}},
        {"ft", {"ft", "foot", "feet"}},
        {"yd", {"yd", "yard"}},
        {"mi", {"mi", "mile"}},
        {"g", {"g", "gram", "\xE5\x85\x8B"}},
        {"kg", {"kg", "kilogram", "\xE5\x8D\x83\xE5\x85\x8B"}},
        {"mg", {"mg"}},
        {"lb", {"lb", "pound"}},
        {"oz", {"oz", "ounce"}},
        {"s", {"sec", "second", "s", "\xE7\xA7\x92"}},
        {"min", {"min", "minute", "\xE5\x88\x86\xE9\x92\x9F"}},
        {"h", {"hr", "hour", "h", "\xE5\xB0\x8F\xE6\x97\xB6"}},
        {"day", {"day", "\xE5\xA4\xA9"}},
        {"week", {"week"}},
        {"month", {"month"}},
        {"year", {"year", "\xE5\xB9\xB4"}},
        {"cent", {"cent"}},
        {"dollar", {"dollar", "usd"}},
        {"ml", {"ml", "milliliter"}},
        {"l", {"l", "liter", "litre"}},
        {"mi/ h", {"mph"}},
        {"rad", {"rad", "radian"}},
        {"deg", {"deg"}},
        {"\xC2\xB0"
         "C",
         {"celsius", "centigrade"}},
        {"\xC2\xB0"
         "F",
         {"fahrenheit"}},
        {"K", {"kelvin", "k"}},
        {"ton", {"ton", "tonne"}},
        {"gal", {"gallon"}},
        {"qt", {"quart"}},
        {"pt", {"pint"}},
        {"W", {"watt", "w"}},
        {"J", {"joule", "j"}},
        {"N", {"newton", "n"}},
        {"V", {"volt", "v"}},
        {"decade", {"decade"}},
        {"century", {"century", "centurie"}},
        {"ha", {"hectare"}},
        {"acre", {"acre"}},
        {"euro", {"euro", "eur"}},
        {"sterling", {"sterling", "gbp"}},
        {"yen", {"yen", "jpy"}},
        {"yuan", {"yuan", "rmb", "\xE5\x85\x83"}},
        {"rupee", {"rupee"}},
        {"peso", {"peso"}},
        {"am", {"am"}},
        {"pm", {"pm"}}};
    static const Spellings table = [] {
        Spellings result;
        for (const auto& [unit, spellings] : kUnits)
            for (const std::string_view spelling : spellings) result.emplace(spelling, unit);
        return result;
    }();
    return table;
}

std::string_view spelling_of(std::string_view word) {
    const auto& table = unit_spellings();
    if (const auto found = table.find(word); found != table.end()) return found->second;
    if (word.size() > 2 && word.back() == 's')
        if (const auto found = table.find(word.substr(0, word.size() - 1)); found != table.end()) return found->second;
    return {};
}

}  // namespace

bool is_short_word(std::string_view word) {
    static const std::unordered_set<std::string_view> words = {
        "old",  "yes", "no",  "odd",  "one", "two", "six", "ten", "the", "not",  "all", "is",   "are", "of",
        "to",   "sq",  "cu",  "per",  "for", "red", "cat", "dog", "any", "if",   "men", "boys", "box", "pen",
        "it",   "its", "pie", "day",  "am",  "pm",  "egg", "pts", "non", "east", "men", "cup",  "mph", "usd",
        "none", "min", "max", "ways", "as",  "on",  "at",  "by",  "be",  "that", "DNE", "dne",  "an"};
    return words.contains(word) || (word.size() > 1 && !spelling_of(word).empty());
}

std::string canonical_unit(std::string_view words) {
    std::string result, word;
    std::string power;
    const auto flush = [&] {
        if (word == "square" || word == "sq") power = "^2";
        if (word == "cubic" || word == "cu") power = "^3";
        if (const auto spelling = spelling_of(word); !spelling.empty()) {
            if (!result.empty()) result += ' ';
            result += std::string(spelling) + power;
            power.clear();
        } else if ((word == "unit" || word == "units") && !power.empty()) {
            result += "unit" + power;
            power.clear();
        } else if (word == "per") {
            result += '/';
        }
        word.clear();
    };
    for (std::size_t i = 0; i < words.size(); ++i) {
        const char c = words[i];
        if (is_letter(c) || is_wide(c)) {
            word += to_lower(c);
        } else if (c == '.') {
            continue;
        } else {
            flush();
            if (c == '/') result += '/';
            if (c == '^' && result.empty() && words.substr(0, i).ends_with("units")) result = "unit";
            if (c == '^' && i + 1 < words.size() && !result.empty()) result += std::string("^") + words[i + 1];
        }
    }
    flush();
    return result;
}

bool names_things(std::string_view words) {
    static const std::unordered_set<std::string_view> no_names = {
        "or",         "not",           "nor",         "xor",      "oder",      "either",     "neither",  "never",
        "no",         "but",           "except",      "unless",   "if",        "otherwise",  "else",     "is",
        "are",        "was",           "were",        "be",       "equals",    "equal",      "isn",      "aren",
        "cannot",     "wrong",         "incorrect",   "false",    "untrue",    "impossible", "invalid",  "maybe",
        "perhaps",    "possibly",      "probably",    "likely",   "unsure",    "instead",    "rather",   "versus",
        "vs",         "times",         "plus",        "minus",    "divided",   "multiplied", "over",     "modulo",
        "mod",        "choose",        "squared",     "cubed",    "factorial", "power",      "least",    "most",
        "between",    "half",          "one",         "two",      "three",     "four",       "five",     "six",
        "seven",      "eight",         "nine",        "ten",      "eleven",    "twelve",     "thirteen", "fourteen",
        "fifteen",    "sixteen",       "seventeen",   "eighteen", "nineteen",  "twenty",     "thirty",   "forty",
        "fifty",      "sixty",         "seventy",     "eighty",   "ninety",    "hundred",    "thousand", "million",
        "billion",    "trillion",      "dozen",       "lies",     "implies",   "therefore",  "because",  "when",
        "where",      "alternatively", "incorrectly", "doubled",  "tripled",   "halved",     "inverted", "negated",
        "extraneous", "rejected",      "discarded",   "sqrt",     "root"};
    static const std::unordered_set<std::string_view> no_first_names = {"score", "gross", "point", "and",  "to",
                                                                        "than",  "under", "above", "below"};
    static constexpr std::string_view kNoNames[] = {"\xE6\x88\x96", "\xE4\xB8\x8D", "\xE9\x9D\x9E", "\xE6\xB2\xA1",
                                                    "\xE9\x94\x99", "\xE5\x88\xB0", "\xE5\x8D\x8A"};
    for (const std::string_view wide : kNoNames)
        if (words.find(wide) != std::string_view::npos) return false;
    bool first = true;
    for (std::size_t i = 0; i < words.size();) {
        std::string word;
        const bool raised = i > 0 && words[i - 1] == '^';
        while (i < words.size() && (is_letter(words[i]) || is_digit(words[i]))) word += to_lower(words[i++]);
        if (word.empty()) {
            ++i;
            continue;
        }
        if (no_names.contains(word) || (is_digit(word[0]) && !raised)) return false;
        if (first && no_first_names.contains(word)) return false;
        first = false;
    }
    return true;
}

int number_word(std::string_view word) {
    static constexpr std::string_view kWords[] = {"zero",     "one",      "two",      "three",   "four",    "five",
                                                  "six",      "seven",    "eight",    "nine",    "ten",     "eleven",
                                                  "twelve",   "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
                                                  "eighteen", "nineteen", "twenty"};
    for (int i = 0; i <= 20; ++i)
        if (word == kWords[i]) return i;
    return -1;
}

Magnitude magnitude_word(std::string_view words) {
    static const std::pair<std::string_view, mpq_class> kWords[] = {{"\xE4\xB8\x87", 10000},
                                                                    {"\xE4\xBA\xBF", 100000000},
                                                                    {"\xE6\x89\x93", 12},
                                                                    {"\xE7\x99\xBE", 100},
                                                                    {"\xE5\x8D\x83", 1000},
                                                                    {"dozen", 12},
                                                                    {"dozens", 12},
                                                                    {"hundred", 100},
                                                                    {"thousand", 1000},
                                                                    {"million", 1000000},
                                                                    {"billion", mpq_class(1000000000)},
                                                                    {"trillion", mpq_class("1000000000000")},
                                                                    {"halves", mpq_class(1, 2)},
                                                                    {"thirds", mpq_class(1, 3)},
                                                                    {"fourths", mpq_class(1, 4)},
                                                                    {"fifths", mpq_class(1, 5)},
                                                                    {"sixths", mpq_class(1, 6)},
                                                                    {"sevenths", mpq_class(1, 7)},
                                                                    {"eighths", mpq_class(1, 8)},
                                                                    {"ninths", mpq_class(1, 9)},
                                                                    {"tenths", mpq_class(1, 10)},
                                                                    {"hundredths", mpq_class(1, 100)},
                                                                    {"thousandths", mpq_class(1, 1000)}};
    for (const auto& [word, factor] : kWords) {
        if (!words.starts_with(word)) continue;
        const bool ends = is_wide(word[0]) || words.size() == word.size() || !is_letter(words[word.size()]);
        // U+5343 is also the beginning of kilometres, kilograms and kilowatts.
        const bool unit = is_wide(word[0]) && !canonical_unit(words).empty();
        if (ends && !unit) return {factor, word.size()};
    }
    return {};
}

}  // namespace tdrm::math
