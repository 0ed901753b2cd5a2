// Whatever a model writes, the verifier answers within its budget, and the same way each time.
#include <gtest/gtest.h>

#include "helpers.hpp"
#include "tdrm/base/random.hpp"
#include "tdrm/math/parser.hpp"

namespace tdrm::math::test {
namespace {

std::string repeated(const std::string& text, int times) {
    std::string result;
    for (int i = 0; i < times; ++i) result += text;
    return result;
}

void expect_within_budget(const std::string& gold, const std::string& answer) {
    const VerifyOptions options;
    const Verdict verdict = verify(gold, answer, options), again = verify(gold, answer, options);
    const std::string shown = answer.substr(0, 60);
    EXPECT_LE(verdict.operations, options.budget) << shown;
    EXPECT_FALSE(verdict.reason.empty()) << shown;
    EXPECT_EQ(verdict.equal, again.equal) << shown;
    EXPECT_EQ(verdict.reason, again.reason) << shown;
    EXPECT_EQ(verdict.operations, again.operations) << shown;
}

const std::vector<std::string>& hostile_answers() {
    static const std::vector<std::string> answers = {
        repeated("(", 2000) + "1" + repeated(")", 2000),
        repeated("{", 3000),
        repeated("}", 3000),
        repeated("\\boxed{", 20000),
        repeated("\\boxed{", 200) + "1" + repeated("}", 200),
        repeated("\\frac{1}{", 400) + "2" + repeated("}", 400),
        repeated("\\sqrt{", 40) + "2" + repeated("}", 40),
        repeated("-", 3000) + "1",
        repeated("|", 3001),
        repeated("[", 500) + "," + repeated("]", 500),
        repeated("\\left(", 500),
        repeated("\\text{", 800) + "a" + repeated("}", 800),
        repeated("\\begin{pmatrix}", 300),
        repeated("\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", 100),
        repeated("$", 5000),
        repeated("\\(", 5000),
        "9^9^9^9",
        "9^{9^{9^{9^{9}}}}",
        "((((9^99)^99)^99)^99)^99",
        "10^{10^{10^{10}}}",
        "2^{-10^{20}}",
        "10^{-301}x<1",
        "1e999999999",
        "1e400 + 1e-400",
        "0^{-1}",
        "0/0",
        "1000000!",
        "(((10!)!)!)!",
        "170!/169!",
        "\\binom{1000000}{500000}",
        "\\binom{n}{10^{30}}",
        "(-1)^{10^{50}}",
        "i^{i^{i^{i}}}",
        "\\tan(10^{100})",
        "\\log(0)",
        "\\sqrt{-10^{400}}",
        repeated("9", 4000),
        repeated("9", 4000) + "/" + repeated("7", 90),
        repeated("9", 100000),
        repeated("x+", 2000) + "x",
        repeated("(x+1)", 800),
        repeated("x^", 1500) + "x",
        repeated("1,", 2000) + "1",
        repeated("\\pm 1,", 600) + "2",
        repeated("1/", 2000) + "1",
        repeated("a\\cup ", 600) + "a",
        repeated("x<", 1000) + "x",
        repeated("\\{", 1000) + repeated("\\}", 1000),
        repeated("the answer is ", 5000),
        repeated("\\", 5001),
        repeated("\xE7\xAD\x94\xE6\xA1\x88\xE6\x98\xAF", 3000),
        repeated("\xFF\xFE", 2000),
        std::string(3000, '\0'),
        "",
        " ",
        "\\",
        "_",
        "x_",
        "x^",
        "\\frac",
        "\\frac{1}",
        "\\sqrt[",
        "\\begin{",
        "\\end{pmatrix}",
        "1_{8}_{8}",
        "99_8",
        "0.\\overline{",
        "0.\\overline{" + repeated("7", 3000) + "}",
        "{,}{,}",
        "\\boxed{}",
        "####",
        "The answer is",
        "A:",
    };
    return answers;
}

TEST(Verifier, StaysWithinItsBudgetOnHostileAnswers) {
    for (const std::string& answer : hostile_answers()) {
        expect_within_budget("\\frac{1}{2}", answer);
        expect_within_budget("(x+1)^2", answer);
        expect_within_budget("[1,2)\\cup\\{3\\}", answer);
        expect_within_budget(answer, answer + " ");
        expect_within_budget(answer, answer + "+1");
        expect_within_budget(answer, "\\boxed{" + answer + "}");
    }
}

TEST(Verifier, StopsAtTheBudgetAndSaysSo) {
    VerifyOptions options;
    options.budget = 50;
    const Verdict verdict = verify("\\frac{1}{2}+\\frac{1}{3}+\\frac{1}{5}", "\\frac{31}{30}", options);
    EXPECT_FALSE(verdict.equal);
    EXPECT_EQ(verdict.reason, "budget");
    EXPECT_EQ(verdict.operations, options.budget);
}

TEST(Verifier, SpendsMoreOnHarderPairsButNeverAboveTheBudget) {
    const Verdict easy = verify("3", "4"), hard = verify("\\sin^2 x+\\cos^2 x", "\\tan x\\cot x");
    EXPECT_LT(easy.operations, hard.operations);
    EXPECT_TRUE(hard.equal);
}

TEST(Verifier, DecidesGiantIntegerPowersWithoutWritingThemOut) {
    EXPECT_TRUE(verify("2^{1000000}", "4^{500000}").equal);
    EXPECT_FALSE(verify("2^{1000000}", "2^{1000000}+1").equal);
    EXPECT_EQ(verify("10^{10^{10^{10}}}", "10^{10^{10^{11}}}").equal, false);
}

TEST(Verifier, DoesNotTakeUndefinedForEqual) {
    EXPECT_FALSE(verify("1/0", "2/0").equal);
    EXPECT_FALSE(verify("5", "0/0").equal);
    EXPECT_FALSE(verify("\\tan 90^\\circ", "5").equal);
}

TEST(Verifier, ParsesNoDeeperThanItsLimit) {
    Budget budget(1'000'000);
    EXPECT_TRUE(parse(repeated("(", 20) + "1" + repeated(")", 20), Comma::thousands, budget));
    EXPECT_FALSE(parse(repeated("(", 500) + "1" + repeated(")", 500), Comma::thousands, budget));
}

TEST(Verifier, GivesTheSameVerdictInBothDirections) {
    for (const Json& row : read_jsonl(std::filesystem::path(TDRM_SOURCE_DIR) / "tests/math/cases.jsonl")) {
        if (row.contains("allow_set_relation")) continue;  // the one option that tells gold from answer
        const std::string gold = row.at("gold"), answer = row.at("answer");
        if (extract_answer(gold).place != AnswerPlace::whole || extract_answer(answer).place != AnswerPlace::whole)
            continue;
        EXPECT_EQ(verify(answer, gold, options_of(row)).equal, row.at("equal").get<bool>())
            << answer << "  |  " << gold;
    }
}

}  // namespace
}  // namespace tdrm::math::test
