#include "tdrm/math/words.hpp"

#include <unordered_map>

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

}  // namespace tdrm::math
