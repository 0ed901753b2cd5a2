// Verdicts of answer pairs: our own cases, and those collected from other verifiers' suites where they are present.
#include <gtest/gtest.h>

#include "helpers.hpp"

namespace tdrm::math::test {
namespace {

struct Score {
    int right = 0, cases = 0, contested_right = 0, contested = 0;
};

Score score(const std::vector<Json>& rows) {
    Score score;
    for (const Json& row : rows) {
        const std::string gold = row.at("gold"), answer = row.contains("pred") ? row.at("pred") : row.at("answer");
        const Verdict verdict = verify(gold, answer, options_of(row));
        const bool right = verdict.equal == row.at("equal").get<bool>();
        if (row.contains("contested")) {
            ++score.contested;
            score.contested_right += right ? 1 : 0;
            if (!right) std::cout << "contested, judged otherwise: " << row.dump() << "\n";
            continue;
        }
        ++score.cases;
        score.right += right ? 1 : 0;
        EXPECT_TRUE(right) << (row.at("equal").get<bool>() ? "should be equal: " : "should differ: ")
                           << gold.substr(0, 300) << "  |  "
                           << (answer.size() > 300 ? "..." + answer.substr(answer.size() - 300) : answer)
                           << "\n  reason " << verdict.reason << ", gold " << verdict.gold << ", answer "
                           << verdict.answer;
    }
    std::cout << score.right << " of " << score.cases << " verdicts right, of the contested " << score.contested_right
              << " of " << score.contested << "\n";
    return score;
}

TEST(Verifier, JudgesOurCasesAsWritten) {
    const auto rows = read_jsonl(std::filesystem::path(TDRM_SOURCE_DIR) / "tests/math/cases.jsonl");
    EXPECT_GE(score(rows).cases, 150);
}

TEST(Verifier, JudgesTheCasesOfOtherVerifiersAsTheyDo) {
    const auto path = shared_data() / "verifier/cases.jsonl";
    if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path << "; our own cases cover the same classes";
    EXPECT_EQ(score(read_jsonl(path)).cases, 164);
}

}  // namespace
}  // namespace tdrm::math::test
