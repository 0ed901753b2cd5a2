#include "tdrm/math/words.hpp"

#include <unordered_map>
#include <unordered_set>

#include "tdrm/math/characters.hpp"

namespace tdrm::math {
namespace {

using Use = Command::Use;
using Table = std::unordered_map<std::string_view, Command>;

Table make_commands() {
    Table table;
    const auto add = [&](Use use, std::initializer_list<std::string_view> names) {
        for (const auto name : names) table[name] = {use, name};
    };
    const auto map = [&](Use use, std::initializer_list<std::pair<std::string_view, std::string_view>> names) {
        for (const auto& [name, value] : names) table[name] = {use, value};
    };
    add(Use::drop, {"left",         "right",
                    "big",          "Big",
                    "bigg",         "Bigg",
                    "bigl",         "bigr",
                    "Bigl",         "Bigr",
                    "biggl",        "biggr",
                    "Biggl",        "Biggr",
                    "displaystyle", "textstyle",
                    "scriptstyle",  "limits",
                    "nolimits",     "quad",
                    "qquad",        "hfill",
                    "mathstrut",    "noindent",
                    "boxed",        "fbox",
                    "triangle",     "mathop",
                    "mathrel",      "mathbin",
                    "enspace",      "thinspace",
                    "nobreak",      "allowbreak",
                    "middle",       "bf",
                    "rm",           "it",
                    "small",        "large",
                    "Large",        "tiny",
                    "bm",           "boldsymbol",
                    "mathbf",       "mathcal",
                    "mathfrak",     "mathscr",
                    "mathsf",       "ensuremath",
                    "pmb",          "square",
                    "underline",    "smash",
                    "LARGE",        "huge",
                    "Huge",         "normalsize",
                    "scriptsize",   "nonumber",
                    "bfseries",     "itshape",
                    "normalfont",   "enskip",
                    "medspace",     "thickspace",
                    "negthinspace", "strut",
                    "hline",        "footnotesize",
                    "cal",          "tt",
                    "sf",           "displaylimits",
                    "blacksquare",  "qed",
                    "checkmark",    "scriptscriptstyle",
                    "kern",         "mkern",
                    "hskip",        "mskip",
                    "mathnormal",   "rlap",
                    "llap"});
    add(Use::drop_next, {"color", "textcolor", "colorbox", "tag", "label", "phantom", "hphantom", "vphantom", "bbox",
                         "hspace", "vspace"});
    add(Use::reserved, {"neg",
                        "lnot",
                        "not",
                        "nexists",
                        "top",
                        "bot",
                        "leftarrow",
                        "Leftarrow",
                        "gets",
                        "iff",
                        "leftrightarrow",
                        "Leftrightarrow",
                        "longleftrightarrow",
                        "triangleleft",
                        "triangleright",
                        "pitchfork",
                        "rightharpoonup",
                        "rightharpoondown",
                        "leftharpoonup",
                        "rightleftharpoons",
                        "approxeq",
                        "nmid",
                        "nparallel",
                        "ll",
                        "gg",
                        "lll",
                        "ggg",
                        "prec",
                        "succ",
                        "preceq",
                        "succeq",
                        "models",
                        "vdash",
                        "dashv",
                        "mapsto",
                        "longmapsto",
                        "ominus",
                        "otimes",
                        "oslash",
                        "odot",
                        "oplus",
                        "star",
                        "partial",
                        "nabla",
                        "forall",
                        "exists",
                        "oint",
                        "cancel",
                        "bcancel",
                        "xcancel",
                        "sout",
                        "therefore",
                        "because",
                        "propto",
                        "ltimes",
                        "rtimes",
                        "sqcup",
                        "sqcap",
                        "sqsubset",
                        "sqsupset",
                        "amalg",
                        "wr",
                        "bigoplus",
                        "bigotimes",
                        "hookrightarrow",
                        "nearrow",
                        "searrow",
                        "uparrow",
                        "downarrow",
                        "Uparrow",
                        "Downarrow",
                        "leadsto",
                        "lessgtr",
                        "gtrless",
                        "between",
                        "bowtie",
                        "ncong",
                        "nsim",
                        "nless",
                        "ngtr",
                        "nleq",
                        "ngeq",
                        "infer",
                        "doteq",
                        "stackrel",
                        "underbrace",
                        "overbrace",
                        "substack",
                        "lessdot",
                        "subsetneq",
                        "supsetneq",
                        "nsubseteq",
                        "nsupseteq",
                        "upharpoonright",
                        "complement",
                        "uplus",
                        "diamond",
                        "bullet",
                        "lozenge",
                        "intercal",
                        "veebar",
                        "barwedge",
                        "ngtr",
                        "inplus",
                        "coprod",
                        "injlim"});
    add(Use::sign, {"frac",   "sqrt",  "binom",  "cup",   "cap",   "setminus", "pm",       "mp",  "lfloor",
                    "rfloor", "lceil", "rceil",  "begin", "end",   "mathbb",   "overline", "dot", "langle",
                    "rangle", "pmod",  "bigcup", "bmod",  "angle", "vec",      "land",     "lor", "times"});
    map(Use::sign, {{"dfrac", "frac"},
                    {"tfrac", "frac"},
                    {"cfrac", "frac"},
                    {"dbinom", "binom"},
                    {"tbinom", "binom"},
                    {"cdot", "*"},
                    {"mod", "bmod"},
                    {"measuredangle", "angle"},
                    {"ast", "*"},
                    {"div", "/"},
                    {"over", "over"},
                    {"choose", "choose"},
                    {"slash", "/"},
                    {"le", "l"},
                    {"leq", "l"},
                    {"leqslant", "l"},
                    {"leqq", "l"},
                    {"ge", "g"},
                    {"geq", "g"},
                    {"geqslant", "g"},
                    {"geqq", "g"},
                    {"lt", "<"},
                    {"gt", ">"},
                    {"ne", "n"},
                    {"neq", "n"},
                    {"in", "i"},
                    {"notin", "o"},
                    {"approx", "a"},
                    {"equiv", "="},
                    {"simeq", "a"},
                    {"thickapprox", "a"},
                    {"sim", "~"},
                    {"cong", "~"},
                    {"parallel", "p"},
                    {"perp", "P"},
                    {"to", "t"},
                    {"rightarrow", "t"},
                    {"longrightarrow", "t"},
                    {"Rightarrow", "T"},
                    {"implies", "T"},
                    {"Longrightarrow", "T"},
                    {"subset", "s"},
                    {"subseteq", "S"},
                    {"supset", "u"},
                    {"supseteq", "U"},
                    {"ni", "N"},
                    {"colon", ":"},
                    {"union", "cup"},
                    {"backslash", "setminus"},
                    {"lbrace", "\\{"},
                    {"rbrace", "\\}"},
                    {"lbrack", "["},
                    {"rbrack", "]"},
                    {"lparen", "("},
                    {"rparen", ")"},
                    {"vert", "|"},
                    {"lvert", "|"},
                    {"rvert", "|"},
                    {"mid", "|"},
                    {"Vert", "|"},
                    {"lVert", "|"},
                    {"rVert", "|"},
                    {"circ", "deg"},
                    {"degree", "deg"},
                    {"prime", "'"},
                    {"wedge", "land"},
                    {"vee", "lor"},
                    {"bar", "overline"},
                    {"overrightarrow", "vec"},
                    {"vec", "vec"},
                    {"hat", "hat"},
                    {"widehat", "hat"},
                    {"tilde", "tilde"},
                    {"widetilde", "tilde"},
                    {"overset", "accent"},
                    {"overarc", "accent"},
                    {"euro", "currency euro"},
                    {"pounds", "currency sterling"},
                    {"yen", "currency yen"},
                    {"cent", "currency cent"},
                    {"percent", "%"},
                    {"newline", "\\\\"}});
    add(Use::text_group, {"text", "mbox", "hbox", "textbf", "textit", "textrm", "textsf", "texttt", "textnormal",
                          "emph", "mathrm", "mathit", "operatorname", "mathtt", "textsc"});
    add(Use::symbol, {"alpha",  "beta",  "gamma", "delta", "epsilon", "zeta",   "eta",  "theta",   "iota",  "kappa",
                      "lambda", "mu",    "nu",    "xi",    "rho",     "sigma",  "tau",  "upsilon", "phi",   "chi",
                      "psi",    "omega", "Gamma", "Delta", "Theta",   "Lambda", "Xi",   "Pi",      "Sigma", "Upsilon",
                      "Phi",    "Psi",   "Omega", "hbar",  "ell",     "pi",     "dots", "aleph"});
    map(Use::symbol, {{"varepsilon", "epsilon"}, {"vartheta", "theta"},   {"varphi", "phi"},     {"varrho", "rho"},
                      {"varsigma", "sigma"},     {"varpi", "varpi"},      {"infty", "infinity"}, {"infin", "infinity"},
                      {"emptyset", "empty"},     {"varnothing", "empty"}, {"imath", "i"},        {"jmath", "j"},
                      {"ldots", "dots"},         {"cdots", "dots"},       {"dotsc", "dots"},     {"dotsb", "dots"},
                      {"vdots", "dots"},         {"ddots", "dots"},       {"R", "reals"},        {"reals", "reals"}});
    for (const auto name :
         {"sin",    "cos",    "tan", "cot", "sec", "csc",  "sinh", "cosh", "tanh", "coth", "arcsin", "arccos",
          "arctan", "arccot", "log", "ln",  "lg",  "exp",  "gcd",  "lcm",  "max",  "min",  "det",    "Re",
          "Im",     "arg",    "deg", "dim", "sum", "prod", "int",  "lim",  "iint", "sup",  "inf"})
        table[name] = {Use::function, name};
    return table;
}

Table make_words() {
    const auto sign = [](std::string_view value) { return Command{Use::sign, value}; };
    const auto symbol = [](std::string_view value) { return Command{Use::symbol, value}; };
    Table table = {{"and", sign("and")},
                   {"or", sign("or")},
                   {"percent", sign("%")},
                   {"pct", sign("%")},
                   {"percents", sign("%")},
                   {"degrees", sign("deg")},
                   {"degree", sign("deg")},
                   {"pi", symbol("pi")},
                   {"inf", symbol("infinity")},
                   {"infty", symbol("infinity")},
                   {"infinity", symbol("infinity")},
                   {"oo", symbol("infinity")},
                   {"mod", sign("bmod")},
                   {"modulo", sign("bmod")},
                   {"union", sign("cup")},
                   {"intersection", sign("cap")}};
    for (const auto name : {"alpha", "beta", "gamma", "delta", "theta", "lambda", "sigma", "omega", "phi", "rho", "mu"})
        table[name] = symbol(name);
    return table;
}

const std::unordered_map<std::string_view, std::string_view>& unit_spellings() {
    static const std::unordered_map<std::string_view, std::string_view> table = {{"cm", "cm"},
                                                                                 {"centimeter", "cm"},
                                                                                 {"centimetre", "cm"},
                                                                                 {"m", "m"},
                                                                                 {"meter", "m"},
                                                                                 {"metre", "m"},
                                                                                 {"mm", "mm"},
                                                                                 {"millimeter", "mm"},
                                                                                 {"millimetre", "mm"},
                                                                                 {"km", "km"},
                                                                                 {"kilometer", "km"},
                                                                                 {"kilometre", "km"},
                                                                                 {"in", "in"},
                                                                                 {"inch", "in"},
                                                                                 {"inche", "in"},
                                                                                 {"ft", "ft"},
                                                                                 {"foot", "ft"},
                                                                                 {"feet", "ft"},
                                                                                 {"yd", "yd"},
                                                                                 {"yard", "yd"},
                                                                                 {"mi", "mi"},
                                                                                 {"mile", "mi"},
                                                                                 {"g", "g"},
                                                                                 {"gram", "g"},
                                                                                 {"kg", "kg"},
                                                                                 {"kilogram", "kg"},
                                                                                 {"mg", "mg"},
                                                                                 {"lb", "lb"},
                                                                                 {"pound", "lb"},
                                                                                 {"oz", "oz"},
                                                                                 {"ounce", "oz"},
                                                                                 {"sec", "s"},
                                                                                 {"second", "s"},
                                                                                 {"s", "s"},
                                                                                 {"min", "min"},
                                                                                 {"minute", "min"},
                                                                                 {"hr", "h"},
                                                                                 {"hour", "h"},
                                                                                 {"h", "h"},
                                                                                 {"day", "day"},
                                                                                 {"week", "week"},
                                                                                 {"month", "month"},
                                                                                 {"year", "year"},
                                                                                 {"cent", "cent"},
                                                                                 {"dollar", "dollar"},
                                                                                 {"usd", "dollar"},
                                                                                 {"ml", "ml"},
                                                                                 {"milliliter", "ml"},
                                                                                 {"l", "l"},
                                                                                 {"liter", "l"},
                                                                                 {"litre", "l"},
                                                                                 {"mph", "mi/ h"},
                                                                                 {"rad", "rad"},
                                                                                 {"radian", "rad"},
                                                                                 {"deg", "deg"},
                                                                                 {"celsius",
                                                                                  "\xC2\xB0"
                                                                                  "C"},
                                                                                 {"centigrade",
                                                                                  "\xC2\xB0"
                                                                                  "C"},
                                                                                 {"fahrenheit",
                                                                                  "\xC2\xB0"
                                                                                  "F"},
                                                                                 {"kelvin", "K"},
                                                                                 {"k", "K"},
                                                                                 {"ton", "ton"},
                                                                                 {"tonne", "ton"},
                                                                                 {"gallon", "gal"},
                                                                                 {"quart", "qt"},
                                                                                 {"pint", "pt"},
                                                                                 {"watt", "W"},
                                                                                 {"w", "W"},
                                                                                 {"joule", "J"},
                                                                                 {"j", "J"},
                                                                                 {"newton", "N"},
                                                                                 {"n", "N"},
                                                                                 {"volt", "V"},
                                                                                 {"v", "V"},
                                                                                 {"decade", "decade"},
                                                                                 {"century", "century"},
                                                                                 {"centurie", "century"},
                                                                                 {"hectare", "ha"},
                                                                                 {"acre", "acre"},
                                                                                 {"euro", "euro"},
                                                                                 {"eur", "euro"},
                                                                                 {"sterling", "sterling"},
                                                                                 {"gbp", "sterling"},
                                                                                 {"yen", "yen"},
                                                                                 {"jpy", "yen"},
                                                                                 {"yuan", "yuan"},
                                                                                 {"rmb", "yuan"},
                                                                                 {"rupee", "rupee"},
                                                                                 {"peso", "peso"},
                                                                                 {"\xE5\x85\x83", "yuan"},
                                                                                 {"am", "am"},
                                                                                 {"pm", "pm"},
                                                                                 {"\xE5\x8E\x98\xE7\xB1\xB3", "cm"},
                                                                                 {"\xE5\x8D\x83\xE7\xB1\xB3", "km"},
                                                                                 {"\xE7\xB1\xB3", "m"},
                                                                                 {"\xE6\xAF\xAB\xE7\xB1\xB3", "mm"},
                                                                                 {"\xE5\x85\x8B", "g"},
                                                                                 {"\xE5\x8D\x83\xE5\x85\x8B", "kg"},
                                                                                 {"\xE5\xB0\x8F\xE6\x97\xB6", "h"},
                                                                                 {"\xE5\x88\x86\xE9\x92\x9F", "min"},
                                                                                 {"\xE7\xA7\x92", "s"},
                                                                                 {"\xE5\xA4\xA9", "day"},
                                                                                 {"\xE5\xB9\xB4", "year"}};
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

Command find_command(std::string_view name) {
    static const Table table = make_commands();
    const auto found = table.find(name);
    return found == table.end() ? Command{} : found->second;
}

std::string_view find_function(std::string_view word) {
    static const std::unordered_map<std::string_view, std::string_view> plain = {
        {"sqrt", "sqrt"},   {"abs", "abs"},     {"floor", "floor"}, {"ceil", "ceil"}, {"asin", "arcsin"},
        {"acos", "arccos"}, {"atan", "arctan"}, {"cosec", "csc"},   {"cotan", "cot"}, {"arctg", "arctan"},
        {"tg", "tan"},      {"ctg", "cot"},     {"sgn", "sgn"}};
    if (const auto found = plain.find(word); found != plain.end()) return found->second;
    if (word == "inf" || word == "min" || word == "deg" || word == "max" || word == "int") return {};
    const Command command = find_command(word);
    return command.use == Use::function ? command.value : std::string_view{};
}

Command find_word(std::string_view word) {
    static const Table table = make_words();
    const auto found = table.find(word);
    return found == table.end() ? Command{} : found->second;
}

bool is_short_word(std::string_view word) {
    static const std::unordered_set<std::string_view> words = {
        "yes", "no",  "odd",  "one", "two", "six", "ten", "the", "not",  "all", "is",   "are", "of",  "to",
        "sq",  "cu",  "per",  "for", "red", "cat", "dog", "any", "if",   "men", "boys", "box", "pen", "it",
        "its", "pie", "day",  "am",  "pm",  "egg", "pts", "non", "east", "men", "cup",  "mph", "usd", "none",
        "min", "max", "ways", "as",  "on",  "at",  "by",  "be",  "that", "DNE", "dne",  "an"};
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
        "or",      "not",           "nor",         "xor",        "oder",      "either",     "neither",  "never",
        "no",      "but",           "except",      "unless",     "if",        "otherwise",  "else",     "is",
        "are",     "was",           "were",        "be",         "equals",    "equal",      "isn",      "aren",
        "cannot",  "wrong",         "incorrect",   "false",      "untrue",    "impossible", "invalid",  "maybe",
        "perhaps", "possibly",      "probably",    "likely",     "unsure",    "instead",    "rather",   "versus",
        "vs",      "times",         "plus",        "minus",      "divided",   "multiplied", "over",     "modulo",
        "mod",     "choose",        "squared",     "cubed",      "factorial", "power",      "least",    "most",
        "between", "half",          "one",         "two",        "three",     "four",       "five",     "six",
        "seven",   "eight",         "nine",        "ten",        "eleven",    "twelve",     "thirteen", "fourteen",
        "fifteen", "sixteen",       "seventeen",   "eighteen",   "nineteen",  "twenty",     "thirty",   "forty",
        "fifty",   "sixty",         "seventy",     "eighty",     "ninety",    "hundred",    "thousand", "million",
        "billion", "trillion",      "dozen",       "lies",       "implies",   "therefore",  "because",  "when",
        "where",   "alternatively", "incorrectly", "extraneous", "rejected",  "discarded",  "sqrt",     "root"};
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
