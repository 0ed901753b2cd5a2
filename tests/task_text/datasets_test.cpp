// Every file of problems that docs/text-tasks.md names: rows, gold answers, and that each gold answer is right.
#include <cstdio>

#include "helpers.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/math/verify.hpp"

namespace tdrm::task {
namespace {

TextFileOptions file(const std::string& path, const std::string& question, const std::string& answer,
                     GoldIn gold = GoldIn::field, const std::string& solution = "", const std::string& tolerance = "") {
    TextFileOptions options;
    options.path = path;
    options.question = question;
    options.answer = answer;
    options.gold = gold;
    options.solution = solution;
    options.tolerance = tolerance;
    return options;
}

struct Expected {
    TextFileOptions options;
    std::size_t rows;
};

/// At most 0.5 % of the gold answers are judged wrong where they are boxed, and of the solutions.
void check(const std::string& root, const Expected& expected) {
    std::vector<std::string> notes;
    const auto problems = read_problems("file", expected.options, root, notes);
    EXPECT_EQ(notes.empty(), expected.options.incomplete == Unusable::error);
    EXPECT_EQ(problems.size(), expected.rows) << expected.options.path;
    std::size_t wrong = 0;
    std::size_t unlike = 0;  // solutions that don't give the gold answer
    for (const auto& problem : problems) {
        math::VerifyOptions options;
        options.compare.abs_tolerance = problem.tolerance;
        const auto verdict = math::verify(problem.answer, "So the answer is \\boxed{" + problem.answer + "}.", options);
        unlike += !problem.solution.empty() && !math::verify(problem.answer, problem.solution, options).equal ? 1U : 0U;
        if (verdict.equal) continue;
        ++wrong;
        std::printf("%s: gold %s: %s\n", problem.name.c_str(), problem.answer.c_str(), verdict.reason.c_str());
    }
    std::printf("%s: %zu problems, %zu gold answers judged wrong, %zu solutions\n", expected.options.path.c_str(),
                problems.size(), wrong, unlike);
    // OlympiadBench's are proofs that needn't end with the answer.
    if (expected.options.path.find("olympiadbench") == std::string::npos) {
        EXPECT_LE(static_cast<double>(unlike), 0.005 * static_cast<double>(problems.size())) << expected.options.path;
    }
    EXPECT_LE(static_cast<double>(wrong), 0.005 * static_cast<double>(problems.size())) << expected.options.path;
}

TEST(Datasets, OfTheProjectHaveRightGoldAnswers) {
    const std::string root = kSource / "data/gsm8k_sample";
    check(root, {file("train.jsonl", "question", "answer", GoldIn::hashes, "answer"), 100});
    check(root, {file("test.jsonl", "question", "answer", GoldIn::hashes, "answer"), 50});
    std::vector<std::string> notes;
    for (const auto& problem :
         read_problems("file", file("train.jsonl", "question", "answer", GoldIn::hashes, "answer"), root, notes))
        EXPECT_TRUE(math::verify(problem.answer, problem.solution).equal) << problem.name;
}

TEST(Datasets, BesideTheProjectHaveRightGoldAnswers) {
    if (!std::filesystem::exists(kShared)) GTEST_SKIP() << "no " << kShared;
    const GoldIn field = GoldIn::field;
    const std::vector<Expected> all{
        {file("gsm8k/train.jsonl.gz", "question", "answer", GoldIn::hashes, "answer"), 7473},
        {file("gsm8k/test.jsonl", "question", "answer", GoldIn::hashes, "answer"), 1319},
        {file("math/train.json.gz", "problem", "answer"), 7470},
        {file("math/test.jsonl.gz", "problem", "solution", GoldIn::boxed, "solution"), 5000},
        {file("math500/test.jsonl", "problem", "answer", field, "solution"), 500},
        {file("aime/aime_1983_2023.json.gz", "problem", "answer", field, "solution"), 975},
        {file("aime/aime24.jsonl", "problem", "answer", field, "solution"), 30},
        {file("amc/amc23.jsonl", "problem", "answer"), 40},
        {file("amc/amc22_23.json", "problem", "answer"), 83},
        {file("olympiadbench/test.jsonl.gz", "{context}\n{question}", "final_answer", field, "solution", "error"), 675},
        {file("minerva_math/test.jsonl", "problem", "solution", GoldIn::boxed, "solution"), 272},
        {file("gaokao2023en/test.jsonl", "question", "answer"), 383},
        {file("college_math/test.jsonl.gz", "question", "answer"), 2818},
        {file("svamp/test.jsonl", "{Body}. {Question}", "Answer"), 1000},
        {file("asdiv/test.jsonl.gz", "{body}\n{question}", "answer"), 2215},
        {file("mawps/test.jsonl", "input", "target"), 2065},
        {file("cn/cmath.jsonl.gz", "question", "golden"), 1098},
        {file("cn/cn_middle_school.jsonl", "question", "answer"), 101},
        {file("cn/mgsm_zh.jsonl", "messages.0.content", "answer"), 250},
    };
    for (Expected each : all) {
        const bool gaps = each.options.path == "math/train.json.gz" || each.options.path == "gaokao2023en/test.jsonl";
        if (gaps) each.options.incomplete = Unusable::drop;  // some rows have no answer
        check(kShared, each);
    }
}

}  // namespace
}  // namespace tdrm::task
