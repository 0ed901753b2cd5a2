// Finding the answer in a solution, quantities and the file of pairs.
#include <gtest/gtest.h>
#include <unistd.h>

#include <sstream>

#include "helpers.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::math::test {
namespace {

struct Expected {
    const char* solution;
    AnswerPlace place;
    const char* answer;
};

TEST(ExtractAnswer, FindsTheAnswerWhereItStands) {
    const Expected cases[] = {
        {"so \\boxed{3}, no, \\boxed{\\frac{1}{2}} is it", AnswerPlace::boxed, "\\frac{1}{2}"},
        {"\\boxed{1} and \\boxed{2}", AnswerPlace::boxed, "1, 2"},
        {"\\boxed{1} then $x=2$ gives \\boxed{2}", AnswerPlace::boxed, "2"},
        {"\\boxed{\\text{a} \\boxed{5}}", AnswerPlace::boxed, "\\text{a} \\boxed{5}"},
        {"that is \\boxed{20} percent", AnswerPlace::boxed, "20\\%"},
        {"24 clips\n#### 1,072", AnswerPlace::hashes, "1,072"},
        {"So the answer is $x = 3$. It took 5 steps.", AnswerPlace::phrase, "$x = 3$"},
        {"Final Answer: The area of $ABC$ is 12. I hope it is correct.", AnswerPlace::phrase, "12"},
        {"Total: 5*8 = 40\nA: 40", AnswerPlace::phrase, "40"},
        {"\xE7\xAD\x94\xE6\xA1\x88\xE6\x98\xAF"
         "12\xE3\x80\x82",
         AnswerPlace::phrase, "12"},
        {"x^2 + 1", AnswerPlace::whole, "x^2 + 1"},
        {"Therefore $x \\ge 5$ holds for all such numbers", AnswerPlace::formula, "x \\ge 5"},
        {"Then we get 3 more and so it makes 17 of them", AnswerPlace::number, "17"},
        {"", AnswerPlace::none, ""},
    };
    for (const Expected& expected : cases) {
        const Extraction found = extract_answer(expected.solution);
        EXPECT_EQ(found.text, expected.answer) << expected.solution;
        EXPECT_STREQ(to_string(found.place), to_string(expected.place)) << expected.solution;
    }
}

TEST(ExtractAnswer, FollowsTheOrderThatIsAskedFor) {
    const std::string text = "We have \\boxed{3}.\n#### 4";
    EXPECT_EQ(extract_answer(text).text, "3");
    EXPECT_EQ(extract_answer(text, {{AnswerPlace::hashes, AnswerPlace::boxed}}).text, "4");
    EXPECT_EQ(extract_answer("just 5", {{AnswerPlace::boxed}}).place, AnswerPlace::none);
}

std::filesystem::path written(const std::string& name, const std::string& text) {
    const auto path = std::filesystem::temp_directory_path() / ("tdrm_verify_" + std::to_string(getpid()) + name);
    std::ofstream(path) << text;
    return path;
}

TEST(VerifyFile, PrintsOneVerdictPerPair) {
    const auto path = written("pairs",
                              "{\"gold\": \"1/2\", \"answer\": \"0.5\"}\n\n{\"gold\": 3, \"answer\": \"so 4\"}\n"
                              "{\"gold\": \"0.33\", \"answer\": \"1/3\", \"precision\": 2}\n");
    std::ostringstream out;
    const VerifyCounts counts = verify_file(path, out);
    std::filesystem::remove(path);
    EXPECT_EQ(counts.pairs, 3U);
    EXPECT_EQ(counts.equal, 2U);
    std::istringstream lines(out.str());
    std::vector<Json> verdicts;
    for (std::string line; std::getline(lines, line);) verdicts.push_back(Json::parse(line));
    ASSERT_EQ(verdicts.size(), 3U);
    EXPECT_EQ(verdicts[0]["equal"], true);
    EXPECT_EQ(verdicts[0]["reason"], "same value");
    EXPECT_EQ(verdicts[1]["line"], 3);
    EXPECT_EQ(verdicts[1]["equal"], false);
}

TEST(VerifyFile, NamesTheLineThatIsBrokenAndJudgesTheOthers) {
    for (const std::string bad :
         {"{\"gold\": \"1\"", "[1]", "{\"gold\": \"1\"}", "{\"gold\": null, \"answer\": \"1\"}",
          "{\"gold\": \"1\", \"answer\": \"1 \\ud83d\"}", "{\"gold\": \"\\udc00\", \"answer\": \"1\"}",
          "{\"gold\": \"1\", \"answer\": \"\xFF\"}", "{\"gold\": \"1\", \"answer\": \"1\", \"precision\": \"x\"}",
          "{\"gold\": \"1\", \"answer\": \"1\", \"precision\": 1000}",
          "{\"gold\": \"1\", \"answer\": \"1\", \"abs_tolerance\": -1}"}) {
        const std::string good = "{\"gold\": \"1\", \"answer\": \"1\"}\n";
        const auto path = written("broken", good + bad + "\n" + good);
        std::ostringstream out;
        try {
            verify_file(path, out);
            ADD_FAILURE() << "accepted: " << bad;
        } catch (const DataError& error) {
            EXPECT_NE(std::string(error.what()).find("line 2"), std::string::npos) << error.what();
        }
        std::istringstream lines(out.str());
        std::vector<Json> verdicts;
        for (std::string line; std::getline(lines, line);) verdicts.push_back(Json::parse(line));
        ASSERT_EQ(verdicts.size(), 3U) << bad;
        EXPECT_EQ(verdicts[0]["equal"], true);
        EXPECT_EQ(verdicts[1]["reason"], "error") << bad;
        EXPECT_EQ(verdicts[1]["equal"], false);
        EXPECT_EQ(verdicts[1]["line"], 2);
        EXPECT_EQ(verdicts[2]["equal"], true) << "the lines behind a broken one are judged too";
        std::filesystem::remove(path);
    }
    std::ostringstream out;
    EXPECT_THROW(verify_file("/nowhere/pairs.jsonl", out), IoError);
}

}  // namespace
}  // namespace tdrm::math::test
