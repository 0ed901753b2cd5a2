// Every gold answer of the data sets at hand equals itself and its LaTeX variants.
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>

#include "golds.hpp"

namespace tdrm::math::test {
namespace {

std::string replaced(std::string text, std::string_view from, std::string_view to) {
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
        text.replace(at, from.size(), to);
    return text;
}

std::string with_left_right(const std::string& text) {
    std::string result;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool escaped = (i > 0 && text[i - 1] == '\\') || (i >= 4 && text.compare(i - 4, 4, "left") == 0) ||
                             (i >= 5 && text.compare(i - 5, 5, "right") == 0) ||
                             (i >= 3 && (text.compare(i - 3, 3, "big") == 0 || text.compare(i - 3, 3, "Big") == 0)) ||
                             (i >= 4 && (text.compare(i - 4, 4, "bigg") == 0 || text.compare(i - 4, 4, "Bigg") == 0));
        if (text[i] == '(' && !escaped) result += "\\left";
        if (text[i] == ')' && !escaped) result += "\\right";
        result += text[i];
    }
    return result;
}

std::string without_left_right(std::string text) {
    for (const std::string bracket : {"(", ")", "[", "]"})
        for (const std::string side : {"\\left", "\\right"}) text = replaced(text, side + bracket, bracket);
    return text;
}

/// Space around every "+" and "=", whatever kind of space.
std::string with_spaces(const std::string& text, const std::string& space) {
    return replaced(replaced(text, "+", space + "+" + space), "=", space + "=" + space);
}

bool is_whole_number(const std::string& text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

std::string with_commas(std::string digits, const std::string& comma) {
    for (std::size_t at = digits.size(); at > 3;) digits.insert(at -= 3, comma);
    return digits;
}

/// The parts of a text between separators outside of brackets.
std::vector<std::string> split_outside(const std::string& text, const std::string& separator) {
    std::vector<std::string> parts(1);
    int depth = 0;
    for (std::size_t at = 0; at < text.size();) {
        if (depth == 0 && text.compare(at, separator.size(), separator) == 0) {
            parts.emplace_back();
            at += separator.size();
            continue;
        }
        depth += std::string_view("([{").find(text[at]) != std::string_view::npos ? 1 : 0;
        depth -= std::string_view(")]}").find(text[at]) != std::string_view::npos ? 1 : 0;
        parts.back() += text[at++];
    }
    return parts;
}

std::string reversed(const std::string& text, const std::string& separator) {
    std::vector<std::string> parts = split_outside(text, separator);
    std::string result = parts.back();
    for (parts.pop_back(); !parts.empty(); parts.pop_back()) result += separator + parts.back();
    return result;
}

/// p/q as a decimal of at most six places, or "" if it isn't one.
std::string exact_decimal(std::int64_t p, std::int64_t q) {
    for (std::int64_t scale = 1, places = 0; q > 0 && places <= 6; scale *= 10, ++places) {
        if (p * scale % q != 0) continue;
        std::string digits = std::to_string(p * scale / q);
        if (places == 0) return digits;
        if (digits.size() <= static_cast<std::size_t>(places))
            digits.insert(0, static_cast<std::size_t>(places) + 1 - digits.size(), '0');
        return digits.insert(digits.size() - static_cast<std::size_t>(places), ".");
    }
    return "";
}

/// Other ways to write a fraction or a decimal number.
void add_fractions(const std::string& gold, std::vector<std::string>& variants) {
    static const std::regex kFraction(R"((-?)\\[dt]?frac\{(\d{1,6})\}\{(\d{1,6})\}|(-?)(\d{1,6})/(\d{1,6}))"),
        kDecimal(R"((-?)(\d{1,6})\.(\d{1,5}))");
    std::smatch match;
    if (std::regex_match(gold, match, kFraction)) {
        const std::size_t at = match[2].matched ? 1 : 4;
        const std::string sign = match[at];
        const std::int64_t p = std::stoll(match[at + 1]), q = std::stoll(match[at + 2]);
        const auto text = [](std::int64_t n) { return std::to_string(n); };
        variants.insert(variants.end(),
                        {sign + text(p) + "/" + text(q), sign + "\\frac{" + text(p) + "}{" + text(q) + "}",
                         "\\frac{" + sign + text(p) + "}{" + text(q) + "}", sign + text(3 * p) + "/" + text(3 * q),
                         sign + "{" + text(p) + " \\over " + text(q) + "}", sign + text(p) + " \\div " + text(q)});
        if (p < 10 && q < 10) variants.push_back(sign + "\\frac" + text(p) + text(q));
        if (p > q && q > 0 && p % q != 0)
            variants.push_back(sign + text(p / q) + "\\frac{" + text(p % q) + "}{" + text(q) + "}");
        if (const auto decimal = exact_decimal(p, q); !decimal.empty()) variants.push_back(sign + decimal);
    } else if (std::regex_match(gold, match, kDecimal)) {
        const std::string sign = match[1], whole = match[2], places = match[3],
                          scale = "1" + std::string(places.size(), '0');
        variants.insert(variants.end(),
                        {gold + "0", sign + "\\frac{" + whole + places + "}{" + scale + "}",
                         sign + whole + places + "/" + scale, sign + whole + "{.}" + places,
                         sign + whole + places + " \\times 10^{-" + std::to_string(places.size()) + "}"});
        if (whole == "0") variants.push_back(sign + "." + places);
    }
}

/// Other signs for the same thing, and other orders where order means nothing.
void add_notations(const std::string& gold, std::vector<std::string>& variants) {
    constexpr std::pair<const char*, const char*> kSame[] = {{"\\%", "%"},
                                                             {"\\%", " \\%"},
                                                             {"\\%", "\\text{ percent}"},
                                                             {"^\\circ", "\xC2\xB0"},
                                                             {"^{\\circ}", "^\\circ"},
                                                             {"^\\circ", "\\text{ degrees}"},
                                                             {"\\le ", "\\leq "},
                                                             {"\\leq", "\\le"},
                                                             {"\\ge ", "\\geq "},
                                                             {"\\geq", "\\ge"},
                                                             {"\\leq", "\\leqslant"},
                                                             {"\\pi", "\xCF\x80"},
                                                             {"\\infty", "\xE2\x88\x9E"},
                                                             {"\\cup", "\xE2\x88\xAA"},
                                                             {"\\cup", "\\bigcup"},
                                                             {"(-\\infty", "(- \\infty"},
                                                             {",\\infty", ",+\\infty"},
                                                             {"\\cdot", "\\times"},
                                                             {"\\times", "\\cdot"},
                                                             {"\\sqrt", "\\displaystyle\\sqrt"},
                                                             {"pmatrix", "bmatrix"},
                                                             {"\\ne", "\\neq"},
                                                             {"\\pm", "\xC2\xB1"},
                                                             {"\\text{ or }", " or "},
                                                             {"\\text{ and }", " and "},
                                                             {"\\text", "\\textbf"},
                                                             {"\\text", "\\textrm"},
                                                             {"-", "\xE2\x88\x92"}};
    for (const auto& [from, to] : kSame) {
        const bool command =
            from[0] == '\\' && is_letter(from[1]) && is_letter(from[std::string_view(from).size() - 1]);
        const std::size_t at = gold.find(from);
        if (at == std::string::npos) continue;
        const std::size_t behind = at + std::string_view(from).size();
        if (command && behind < gold.size() && is_letter(gold[behind])) continue;  // \\text of \\textbf
        variants.push_back(replaced(gold, from, to));
    }
    if (gold.find("\\cup") != std::string::npos && gold.find('=') == std::string::npos &&
        gold.find("\\in") > gold.find("\\cup"))
        variants.push_back(reversed(gold, "\\cup "));
    if (gold.starts_with("\\{") && gold.ends_with("\\}") && gold.find("mid") == std::string::npos &&
        gold.find("dots") == std::string::npos && gold.find('|') == std::string::npos)
        variants.push_back("\\{" + reversed(gold.substr(2, gold.size() - 4), ",") + "\\}");
    static const std::regex kList(R"([-\d./ ]+(, ?[-\d./ ]+)+)");
    if (std::regex_match(gold, kList) && !std::regex_match(gold, std::regex(R"(\d{1,3}(,\d{3})+)")))
        variants.push_back(reversed(gold, ","));
}

std::vector<std::string> variants_of(const std::string& gold) {
    std::vector<std::string> variants = {gold,
                                         " " + gold + " ",
                                         gold + ".",
                                         "\\boxed{" + gold + "}",
                                         "Reasoning first.\nThe answer is \\boxed{" + gold + "}.",
                                         replaced(gold, "\\frac", "\\dfrac"),
                                         replaced(gold, "\\frac", "\\tfrac"),
                                         replaced(gold, "\\dfrac", "\\frac"),
                                         with_left_right(gold),
                                         without_left_right(gold),
                                         with_spaces(gold, " "),
                                         with_spaces(gold, "\\!"),
                                         with_spaces(gold, "\\, "),
                                         replaced(gold, "\\text{", "\\mathrm{"),
                                         replaced(gold, "\\mathrm{", "\\text{")};
    if (gold.find('$') == std::string::npos) {
        variants.push_back("$" + gold + "$");
        variants.push_back("$$" + gold + "$$");
        variants.push_back("\\(" + gold + "\\)");
        variants.push_back("So it is $\\boxed{" + gold + "}$.");
    }
    if (is_whole_number(gold) && gold.size() > 3) {
        variants.push_back(with_commas(gold, ","));
        variants.push_back(with_commas(gold, "{,}"));
        variants.push_back(with_commas(gold, ",\\!"));
    }
    if (is_whole_number(gold)) {
        variants.push_back("\\$" + gold);
        variants.push_back(gold + " \\text{ apples}");
        variants.push_back(gold + ".0");
        variants.push_back("x = " + gold);
        variants.push_back("+" + gold);
        variants.push_back("\\mathbf{" + gold + "}");
        variants.push_back("\\displaystyle " + gold);
    }
    add_fractions(gold, variants);
    add_notations(gold, variants);
    return variants;
}

TEST(Verifier, EveryGoldAnswerOfTheDataSetsEqualsItsVariants) {
    if (!std::filesystem::exists(shared_data()))
        GTEST_SKIP() << "no data sets; cases.jsonl holds every kind of variant";
    std::size_t golds = 0, pairs = 0, failures = 0;
    const auto use = [&](const DataSet& set, const std::string& gold) {
        ++golds;
        for (const std::string& variant : variants_of(gold)) {
            const Verdict verdict = verify(gold, variant), reverse = verify(variant, gold);
            pairs += 2;
            failures += verdict.equal && reverse.equal ? 0 : 1;
            if (failures > 60) continue;
            EXPECT_TRUE(verdict.equal && reverse.equal)
                << set.file << ": " << gold << "  |  " << variant << "\n  reason " << verdict.reason << ", gold "
                << verdict.gold << ", answer " << verdict.answer;
        }
    };
    for_each_gold(use, [](const DataSet& set, const std::string& solution) {
        EXPECT_TRUE(verify(solution, solution).equal) << set.file << ": " << solution;
    });
    EXPECT_EQ(failures, 0U);
    std::cout << golds << " gold answers, " << pairs << " verdicts, " << failures << " failures\n";
    EXPECT_GT(golds, 30000U);
}

}  // namespace
}  // namespace tdrm::math::test
