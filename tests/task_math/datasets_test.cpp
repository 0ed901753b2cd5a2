// Every gold answer of the data sets at hand equals itself and its LaTeX variants.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <sstream>

#include "helpers.hpp"
#include "tdrm/task/math/characters.hpp"

namespace tdrm::task::math::test {
namespace {

/// Rows of a JSON array or JSONL file, gzipped or not.
std::vector<Json> rows_of(const std::filesystem::path& path) {
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(("gzip -dcf '" + path.string() + "'").c_str(), "r"), pclose);
    std::string text;
    char buffer[65536];
    while (const std::size_t bytes = fread(buffer, 1, sizeof buffer, pipe.get())) text.append(buffer, bytes);
    if (const Json whole = Json::parse(text, nullptr, false); whole.is_array()) return whole;
    std::vector<Json> rows;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        if (!line.empty()) rows.push_back(Json::parse(line));
    return rows;
}

struct DataSet {
    const char* file;
    const char* field;
    bool solution = false;  ///< the field is a solution that ends in the answer
};

constexpr DataSet kDataSets[] = {{"gsm8k/train.jsonl.gz", "answer", true},
                                 {"gsm8k/test.jsonl", "answer", true},
                                 {"math/train.json.gz", "answer"},
                                 {"math/test.jsonl.gz", "solution", true},
                                 {"math500/test.jsonl", "answer"},
                                 {"aime/aime24.jsonl", "answer"},
                                 {"aime/aime_1983_2023.json.gz", "answer"},
                                 {"amc/amc23.jsonl", "answer"},
                                 {"amc/amc22_23.json", "answer"},
                                 {"olympiadbench/test.jsonl.gz", "final_answer"},
                                 {"minerva_math/test.jsonl", "solution", true},
                                 {"gaokao2023en/test.jsonl", "answer"},
                                 {"college_math/test.jsonl.gz", "answer"},
                                 {"svamp/test.jsonl", "Answer"},
                                 {"asdiv/test.jsonl.gz", "answer"},
                                 {"mawps/test.jsonl", "target"},
                                 {"cn/cn_middle_school.jsonl", "answer"},
                                 {"cn/cmath.jsonl.gz", "golden"},
                                 {"cn/mgsm_zh.jsonl", "answer"}};

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
    }
    return variants;
}

TEST(Verifier, EveryGoldAnswerOfTheDataSetsEqualsItsVariants) {
    if (!std::filesystem::exists(shared_data())) return;  // cases.jsonl holds every kind of variant
    std::size_t golds = 0, pairs = 0, failures = 0;
    for (const DataSet& set : kDataSets) {
        for (const Json& row : rows_of(shared_data() / set.file)) {
            const Json& field = row.at(set.field);
            const Json& value = field.is_array() ? field.at(0) : field;
            std::string gold = value.is_string() ? value.get<std::string>() : value.dump();
            if (set.solution) {
                EXPECT_TRUE(verify(gold, gold).equal) << set.file << ": " << gold;
                gold = extract_answer(gold).text;
            }
            if (trimmed(gold).empty()) continue;  // four rows have none
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
        }
    }
    EXPECT_EQ(failures, 0U);
    std::cout << golds << " gold answers, " << pairs << " verdicts, " << failures << " failures\n";
    EXPECT_GT(golds, 30000U);
}

}  // namespace
}  // namespace tdrm::task::math::test
