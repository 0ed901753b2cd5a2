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
    add(Use::drop,
        {"left",        "right",   "big",      "Big",      "bigg",      "Bigg",    "bigl",         "bigr",
         "Bigl",        "Bigr",    "biggl",    "biggr",    "Biggl",     "Biggr",   "displaystyle", "textstyle",
         "scriptstyle", "limits",  "nolimits", "quad",     "qquad",     "hfill",   "mathstrut",    "noindent",
         "boxed",       "fbox",    "angle",    "triangle", "euro",      "pounds",  "yen",          "cent",
         "mathop",      "mathrel", "mathbin",  "enspace",  "thinspace", "nobreak", "allowbreak",   "middle",
         "bf",          "rm",      "it",       "small",    "large",     "Large",   "tiny",         "bm",
         "boldsymbol",  "mathbf",  "mathcal",  "mathfrak", "mathscr",   "mathsf",  "ensuremath",   "pmb",
         "square",      "hspace",  "vspace"});
    add(Use::sign,
        {"frac",  "sqrt",  "binom", "cup",    "cap",      "setminus", "pm",     "mp",     "lfloor", "rfloor", "lceil",
         "rceil", "begin", "end",   "mathbb", "overline", "dot",      "langle", "rangle", "pmod",   "bigcup"});
    map(Use::sign, {{"dfrac", "frac"},
                    {"tfrac", "frac"},
                    {"cfrac", "frac"},
                    {"dbinom", "binom"},
                    {"tbinom", "binom"},
                    {"cdot", "*"},
                    {"times", "*"},
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
                    {"approx", "="},
                    {"equiv", "="},
                    {"simeq", "="},
                    {"sim", "="},
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
                    {"land", "and"},
                    {"wedge", "and"},
                    {"lor", "or"},
                    {"vee", "or"},
                    {"bar", "overline"},
                    {"overrightarrow", "accent"},
                    {"vec", "accent"},
                    {"hat", "accent"},
                    {"widehat", "accent"},
                    {"tilde", "accent"},
                    {"widetilde", "accent"},
                    {"overset", "accent"},
                    {"underline", "accent"},
                    {"percent", "%"},
                    {"newline", "\\\\"}});
    add(Use::text_group, {"text", "mbox", "hbox", "textbf", "textit", "textrm", "textsf", "texttt", "textnormal",
                          "emph", "mathrm", "mathit", "operatorname", "mathtt", "textsc"});
    add(Use::symbol, {"alpha", "beta",   "gamma",      "delta",   "epsilon", "zeta",  "eta",   "theta",    "iota",
                      "kappa", "lambda", "mu",         "nu",      "xi",      "rho",   "sigma", "tau",      "upsilon",
                      "phi",   "chi",    "psi",        "omega",   "Gamma",   "Delta", "Theta", "Lambda",   "Xi",
                      "Pi",    "Sigma",  "Upsilon",    "Phi",     "Psi",     "Omega", "hbar",  "ell",      "pi",
                      "odot",  "oplus",  "star",       "partial", "nabla",   "dots",  "aleph", "parallel", "perp",
                      "cong",  "to",     "Rightarrow", "forall",  "exists",  "oint"});
    map(Use::symbol, {{"varepsilon", "epsilon"},
                      {"vartheta", "theta"},
                      {"varphi", "phi"},
                      {"varrho", "rho"},
                      {"varsigma", "sigma"},
                      {"varpi", "varpi"},
                      {"infty", "infinity"},
                      {"infin", "infinity"},
                      {"emptyset", "empty"},
                      {"varnothing", "empty"},
                      {"imath", "i"},
                      {"jmath", "j"},
                      {"ldots", "dots"},
                      {"cdots", "dots"},
                      {"dotsc", "dots"},
                      {"dotsb", "dots"},
                      {"vdots", "dots"},
                      {"ddots", "dots"},
                      {"rightarrow", "to"},
                      {"implies", "Rightarrow"},
                      {"R", "reals"},
                      {"reals", "reals"}});
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
            if (c == '^' && i + 1 < words.size() && !result.empty()) result += std::string("^") + words[i + 1];
        }
    }
    flush();
    return result;
}

int magnitude_word(std::string_view words) {
    if (words.starts_with("\xE4\xB8\x87")) return 4;
    if (words.starts_with("\xE4\xBA\xBF")) return 8;
    if (words.starts_with("thousand")) return 3;
    if (words.starts_with("million")) return 6;
    if (words.starts_with("billion")) return 9;
    return 0;
}

}  // namespace tdrm::math
