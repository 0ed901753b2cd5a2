#include <gtest/gtest.h>

#include "helpers.hpp"
#include "tdrm/base/random.hpp"

namespace tdrm::task {
namespace {

using Bytes = std::vector<std::uint8_t>;
using Floats = std::vector<float>;

struct Chain : testing::Test {
    std::unique_ptr<Task> task = chain();
    Problem problem = problem_of(*task, "3 + 4 * 7 - 2 ?", "7");

    [[nodiscard]] std::string reason(const std::string& answer) const {
        return std::string(name(verdict_of(*task, problem, answer).reason));
    }
    [[nodiscard]] Bytes step_right(const std::string& answer) const {
        const Tokens tokens = task->parse(answer);
        return task->step_right(problem, tokens, task->step_ends(tokens));
    }
    [[nodiscard]] Floats truth(const std::string& answer) const {
        const Tokens tokens = task->parse(answer);
        return task->truth(problem, tokens, task->step_ends(tokens));
    }
    [[nodiscard]] std::int64_t penultimate(const std::string& answer) const {
        const Tokens tokens = task->parse(answer);
        return task->penultimate(tokens, task->step_ends(tokens));
    }
};

const std::string kRight = "3 + 4 = 7 ; 7 * 7 = 9 ; 9 - 2 = 7 ; # 7 END";

TEST_F(Chain, JudgesTheAnswerAfterTheMarker) {
    EXPECT_EQ(reason(kRight), "correct");
    EXPECT_EQ(verdict_of(*task, problem, kRight).answer, "7");
    EXPECT_EQ(reason("3 + 4 = 7 ; 7 * 7 = 9 ; 9 - 2 = 7 ; # 6 END"), "wrong_answer");
    EXPECT_EQ(reason("3 + 4 = 7 ; END"), "no_answer");
    EXPECT_EQ(reason("# END"), "no_answer");
    EXPECT_EQ(reason("END"), "no_answer");
    EXPECT_EQ(reason(""), "truncated");
    EXPECT_EQ(reason("3 + 4 = 7 ; 7 * 7 = 9 ; 9 - 2 = 7 ; # 7"), "truncated");
    EXPECT_EQ(reason("# 7 7 END"), "trailing_tokens");
    EXPECT_EQ(reason(kRight + " END"), "trailing_tokens");
}

TEST_F(Chain, TellsRightAnswersWithAWrongStepApart) {
    EXPECT_EQ(reason("# 7 END"), "correct_despite_error");
    EXPECT_EQ(reason("3 + 4 = 7 ; 7 * 7 = 8 ; 9 - 2 = 7 ; # 7 END"), "correct_despite_error");
    EXPECT_TRUE(verdict_of(*task, problem, "# 7 END").correct);
    problem = problem_of(*task, "3 + 4 * 0 ?", "0");
    const std::string cancelling = "3 + 4 = 8 ; 8 * 0 = 0 ; # 0 END";
    EXPECT_EQ(reason(cancelling), "correct_despite_error");
    EXPECT_EQ(step_right(cancelling), (Bytes{0, 1, 1}));
    EXPECT_EQ(truth(cancelling), (Floats{1, 0, 0, 0}));
}

TEST_F(Chain, JudgesEachStepByWhatWasWrittenBefore) {
    EXPECT_EQ(step_right(kRight), (Bytes{1, 1, 1, 1}));
    EXPECT_EQ(truth(kRight), (Floats{1, 1, 1, 1, 1}));
    EXPECT_EQ(step_right("3 + 4 = 8 ; 8 * 7 = 6 ; 6 - 2 = 4 ; # 4 END"), (Bytes{0, 1, 1, 1}));
    EXPECT_EQ(step_right("3 + 4 = 7 ; 9 * 7 = 3 ; 3 - 2 = 1 ; # 2 END"), (Bytes{1, 0, 1, 0}));
    EXPECT_EQ(step_right("3 + 4 = 7 ; 7 + 7 = 4 ; 4 - 2 = 2 ; # 2 END"), (Bytes{1, 0, 1, 1}));
    EXPECT_EQ(step_right("3 + 4 = 7 ; * 7 = 9 ; 9 - 2 = 7 ; # 7 END"), (Bytes{1, 0, 0, 1}));
    EXPECT_EQ(step_right("3 + 4 = 7 ; # 7 END"), (Bytes{1, 0}));
    EXPECT_EQ(truth("3 + 4 = 7 ; 7 * 7"), (Floats{1, 1}));
    // One operation too many.
    EXPECT_EQ(step_right("3 + 4 = 7 ; 7 * 7 = 9 ; 9 - 2 = 7 ; 7 - 2 = 5 ; # 5 END"), (Bytes{1, 1, 1, 0, 0}));
}

TEST_F(Chain, PenultimateIsTheStateBeforeTheMarkerButAtLeastOneStep) {
    EXPECT_EQ(task->step_ends(task->parse(kRight)), (std::vector<std::int32_t>{6, 12, 18, 21}));
    EXPECT_EQ(penultimate(kRight), 3);
    EXPECT_EQ(penultimate("3 + 4 = 7 ; # 7 ; # 7 END"), 1);
    EXPECT_EQ(penultimate("# 7 ; 3 + 4 = 7 ; END"), 1);
    EXPECT_EQ(penultimate("# 7 END"), 1);
    EXPECT_EQ(penultimate("3 + 4 = 7 ; 7 * 7 = 9 ;"), 2);
    EXPECT_EQ(penultimate("3 + 4"), 0);
    EXPECT_EQ(penultimate("END"), 0);
}

TEST_F(Chain, DemonstrationsAreRightAndOfTheRightLength) {
    for (int i = 0; i < 1000; ++i) {
        const Problem drawn = task->problem("sft", i);
        const Tokens answer = task->demonstration(drawn, 1, 0);
        const Verdict verdict = task->verdict(drawn, answer);
        ASSERT_EQ(verdict.reason, Reason::correct) << task->text(answer);
        ASSERT_LE(std::ssize(drawn.prompt), task->max_prompt_tokens());
        ASSERT_LE(std::ssize(answer), task->max_answer_tokens());
        ASSERT_EQ(task->parse(task->text(answer)), answer);
    }
}

// Evaluates the text of a prompt from left to right.
int value_of(const std::vector<std::string>& words) {
    int value = std::stoi(words[0]);
    for (std::size_t i = 1; i + 1 < words.size(); i += 2) {
        const int b = std::stoi(words[i + 1]);
        value = words[i] == "+" ? value + b : words[i] == "*" ? value * b : value - b + 10;
        value %= 10;
    }
    return value;
}

TEST_F(Chain, AnswersAgreeWithATwinAndLengthsCoverTheirRange) {
    std::vector<int> lengths(9, 0);
    for (int i = 0; i < 2000; ++i) {
        const Problem drawn = task->problem("sft", i);
        const std::vector<std::string> words = words_of(task->text(drawn.prompt));
        ASSERT_EQ(drawn.answer, std::to_string(value_of(words)));
        ++lengths.at((words.size() - 2) / 2);
    }
    for (std::size_t k = 0; k < 3; ++k) EXPECT_EQ(lengths[k], 0);
    for (std::size_t k = 3; k <= 8; ++k) EXPECT_NEAR(lengths[k], 2000 / 6.0, 80);
}

TEST(NoisyChain, HasAsManyWrongStepsAsAskedAndSomeCancel) {
    const auto task = chain(0.2);
    int steps = 0;
    int wrong = 0;
    int despite_error = 0;
    for (int i = 0; i < 5000; ++i) {
        const Problem problem = task->problem("sft", i);
        const Tokens answer = task->demonstration(problem, 1, 0);
        const auto right = task->step_right(problem, answer, task->step_ends(answer));
        ASSERT_EQ(right.back(), 1);  // the answer is what the last step gave
        for (std::size_t t = 0; t + 1 < right.size(); ++t) wrong += right[t] == 0;
        steps += static_cast<int>(right.size()) - 1;
        const Verdict verdict = task->verdict(problem, answer);
        despite_error += verdict.reason == Reason::correct_despite_error;
        ASSERT_EQ(verdict.correct, verdict.answer == problem.answer);
    }
    EXPECT_NEAR(wrong / static_cast<double>(steps), 0.2, 0.01);  // four standard errors of 27,500 steps
    EXPECT_GT(despite_error, 100);
}

TEST(ChainModulus, MayBeAnother) {
    ChainOptions options;
    options.modulus = 97;
    options.max_steps = 16;
    options.splits = {{"sft", 100}};
    const auto task = make_chain(options, 4);
    const Problem problem = problem_of(*task, "3 - 90 * 96 ?", "87");
    EXPECT_TRUE(verdict_of(*task, problem, "3 - 90 = 10 ; 10 * 96 = 87 ; # 87 END").reason == Reason::correct);
    for (int i = 0; i < 100; ++i) {
        const Problem drawn = task->problem("sft", i);
        EXPECT_EQ(task->verdict(drawn, task->demonstration(drawn, 1, 0)).reason, Reason::correct);
    }
}

TEST_F(Chain, FirstProblemsOfSeedOneNeverChange) {
    EXPECT_EQ(task->text(task->problem("sft", 0).prompt), "1 + 6 - 7 - 6 + 5 - 8 * 3 - 6 ?");
    EXPECT_EQ(task->text(task->problem("sft", 1).prompt), "5 + 6 * 7 * 8 ?");
    EXPECT_EQ(task->problem("sft", 1).answer, "6");
}

TEST_F(Chain, RefusesAPromptOfAnotherTask) {
    for (const char* prompt : {"", "?", "3 + 4", "3 + ?", "+ 3 4 ?", "3 + 4 7 ?"})
        EXPECT_THROW((void)task->verdict(problem_of(*task, prompt, "7"), {}), DataError) << prompt;
}

}  // namespace
}  // namespace tdrm::task
