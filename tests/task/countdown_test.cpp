#include <gtest/gtest.h>

#include <set>

#include "helpers.hpp"

namespace tdrm::task {
namespace {

struct Countdown : testing::Test {
    std::unique_ptr<Task> task = countdown();
    Problem problem = problem_of(*task, "1 2 3 4 ? 24 A", "24");

    [[nodiscard]] std::string reason(const std::string& answer) const {
        return std::string(name(verdict_of(*task, problem, answer).reason));
    }
    [[nodiscard]] std::vector<float> truth(const std::string& answer) const {
        const Tokens tokens = task->parse(answer);
        return task->truth(problem, tokens, task->step_ends(tokens));
    }
    [[nodiscard]] std::vector<std::uint8_t> step_right(const std::string& answer) const {
        const Tokens tokens = task->parse(answer);
        return task->step_right(problem, tokens, task->step_ends(tokens));
    }
    [[nodiscard]] std::int64_t penultimate(const std::string& answer) const {
        const Tokens tokens = task->parse(answer);
        return task->penultimate(tokens, task->step_ends(tokens));
    }
};

const std::string kRight = "4 * 3 = 12 ; 12 * 2 = 24 ; 24 * 1 = 24 ; END";

TEST_F(Countdown, JudgesARightSolutionCorrect) {
    const Verdict verdict = verdict_of(*task, problem, kRight);
    EXPECT_TRUE(verdict.correct);
    EXPECT_EQ(verdict.answer, "4 * 3 = 12 ; 12 * 2 = 24 ; 24 * 1 = 24 ;");
    EXPECT_EQ(verdict.reason, Reason::correct);
    EXPECT_TRUE(verdict_of(*task, problem, "4 * 3 = 12 ; 2 / 1 = 2 ; 12 * 2 = 24 ; END").correct);
}

TEST_F(Countdown, NamesWhyASolutionIsWrong) {
    const std::string two_steps = "4 * 3 = 12 ; 12 * 2 = 24 ; ";
    EXPECT_EQ(reason("4 + 3 = 7 ; 7 + 2 = 9 ; 9 + 1 = 10 ; END"), "wrong_answer");
    EXPECT_EQ(reason("4 * 3 = 12 ; 4 * 2 = 8 ; END"), "number_reused");
    EXPECT_EQ(reason("4 * 4 = 16 ; END"), "number_reused");
    EXPECT_EQ(reason("4 * 3 = 12 ; 12 * 12 = 144 ; END"), "number_reused");
    EXPECT_EQ(reason("9 - 4 = 5 ; END"), "number_unavailable");
    EXPECT_EQ(reason("4 + 5 = 9 ; END"), "number_unavailable");
    EXPECT_EQ(reason("3 * 4 = 12 ; END"), "smaller_first");
    EXPECT_EQ(reason("3 + 4 = 7 ; END"), "smaller_first");
    EXPECT_EQ(reason("4 / 3 = 1 ; END"), "inexact_division");
    EXPECT_EQ(reason("4 * 3 = 11 ; END"), "wrong_arithmetic");
    EXPECT_EQ(reason(""), "truncated");
    EXPECT_EQ(reason(two_steps + "24 * 1 = 24 ;"), "truncated");
    EXPECT_EQ(reason(two_steps + "24 * 1"), "truncated");
    EXPECT_EQ(reason(kRight + " END"), "trailing_tokens");
    EXPECT_EQ(reason(two_steps + "24 * 1 = 24 ; 24 * 1 = 24 ; END"), "trailing_tokens");
    EXPECT_EQ(reason("END"), "no_answer");
    EXPECT_EQ(reason(two_steps + "END"), "no_answer");
    EXPECT_EQ(reason("4 * = 12 ; END"), "malformed_step");
    EXPECT_EQ(reason("; " + kRight), "malformed_step");
    EXPECT_EQ(reason("4 * 3 END"), "malformed_step");
}

TEST_F(Countdown, KeepsResultsWithinTheirBounds) {
    problem = problem_of(*task, "12 12 11 2 ? 23 A", "23");
    EXPECT_EQ(reason("12 - 12 = 1 ; END"), "result_out_of_bounds");
    EXPECT_EQ(reason("12 * 12 = 144 ; 144 + 11 = 144 ; END"), "result_out_of_bounds");
    EXPECT_EQ(reason("12 * 12 = 144 ; 144 / 2 = 72 ; 72 - 11 = 61 ; END"), "wrong_answer");
}

TEST_F(Countdown, VotesAreOnWholeSolutionsRightOrWrong) {
    const std::string wrong = "4 + 3 = 8 ; 8 + 2 = 10 ; 10 + 1 = 11 ;";
    EXPECT_EQ(verdict_of(*task, problem, wrong + " END").answer, wrong);
    EXPECT_EQ(verdict_of(*task, problem, wrong).answer, "");
    EXPECT_EQ(verdict_of(*task, problem, "END").answer, "");
}

TEST_F(Countdown, TruthFallsWhenTheTargetIsOutOfReachAndStaysDown) {
    using Floats = std::vector<float>;
    EXPECT_EQ(truth(kRight), (Floats{1, 1, 1, 1}));
    EXPECT_EQ(truth(""), (Floats{1}));
    // 7, 1 and 2 don't give 24 in any way; the steps themselves are legal.
    EXPECT_EQ(truth("4 + 3 = 7 ; 7 * 2 = 14 ; 14 + 1 = 15 ; END"), (Floats{1, 0, 0, 0}));
    EXPECT_EQ(step_right("4 + 3 = 7 ; 7 * 2 = 14 ; 14 + 1 = 15 ; END"), (std::vector<std::uint8_t>{1, 1, 1}));
    // After an illegal step nothing is right.
    EXPECT_EQ(truth("4 * 3 = 12 ; 12 * 2 = 25 ; 25 - 1 = 24 ; END"), (Floats{1, 1, 0, 0}));
    EXPECT_EQ(step_right("4 * 3 = 12 ; 12 * 2 = 25 ; 25 - 1 = 24 ; END"), (std::vector<std::uint8_t>{1, 0, 0}));
    // A tail after the last step end is no state.
    EXPECT_EQ(truth("4 * 3 = 12 ; 12 * 2"), (Floats{1, 1}));
}

TEST_F(Countdown, StepsEndAtTheirDelimiterAndAreBounded) {
    using Ends = std::vector<std::int32_t>;
    const auto ends = [&](const std::string& text) { return task->step_ends(task->parse(text)); };
    EXPECT_EQ(ends(kRight), (Ends{6, 12, 18}));
    EXPECT_EQ(ends(""), Ends{});
    EXPECT_EQ(ends("; ; 4 * 3 ; ;"), (Ends{6}));
    EXPECT_EQ(ends("4 * 3 = 12 ; END 12 * 2 = 24 ;"), (Ends{6}));
    EXPECT_EQ(task->step_ends(Tokens(30, task->parse("4")[0])), (Ends{12, 24}));
    Tokens many;
    for (int i = 0; i < 50; ++i) many.insert(many.end(), {task->parse("4")[0], task->parse(";")[0]});
    ASSERT_EQ(task->step_ends(many).size(), 32U);
    EXPECT_EQ(task->step_ends(many).back(), 100);
}

TEST_F(Countdown, PenultimateIsTheStateBeforeTheStepThatLeavesOneNumber) {
    EXPECT_EQ(penultimate(kRight), 2);
    EXPECT_EQ(penultimate("4 * 3 = 12 ; 12 * 2 = 24 ; END"), 2);
    EXPECT_EQ(penultimate("4 * 3 = 12 ; END"), 1);
    EXPECT_EQ(penultimate("END"), 0);
    EXPECT_EQ(penultimate(kRight.substr(0, kRight.size() - 3) + "24 * 1 = 24 ; END"), 2);
}

TEST(CountdownDemonstrations, AreRightForEveryNumberOfNumbersAndDifferBetweenVisits) {
    for (const int numbers : {3, 4, 5}) {
        const auto task = countdown(numbers);
        int varied = 0;
        for (int i = 0; i < 300; ++i) {
            const Problem problem = task->problem("value", i);
            ASSERT_LE(std::ssize(problem.prompt), task->max_prompt_tokens());
            std::set<Tokens> solutions;
            for (std::uint64_t visit = 0; visit < 5; ++visit) {
                const Tokens answer = task->demonstration(problem, 7, visit);
                ASSERT_EQ(answer, task->demonstration(problem, 7, visit));
                ASSERT_EQ(std::ssize(answer), task->max_answer_tokens());
                ASSERT_EQ(answer.back(), task->end_token());
                ASSERT_TRUE(task->verdict(problem, answer).correct) << task->text(answer);
                for (const float value : task->truth(problem, answer, task->step_ends(answer))) ASSERT_EQ(value, 1.0F);
                solutions.insert(answer);
            }
            varied += solutions.size() > 1;
        }
        EXPECT_GT(varied, 200) << numbers << " numbers";
    }
}

TEST(CountdownDemonstrations, NoiseMakesSomeWrongButKeepsThemLegal) {
    std::vector<double> right;
    for (const double noise : {0.0, 0.2, 1.0}) {
        const auto task = countdown(4, noise);
        int correct = 0;
        for (int i = 0; i < 500; ++i) {
            const Problem problem = task->problem("sft", i);
            const Verdict verdict = task->verdict(problem, task->demonstration(problem, 7, 0));
            ASSERT_TRUE(verdict.reason == Reason::correct || verdict.reason == Reason::wrong_answer);
            correct += verdict.correct;
        }
        right.push_back(correct / 500.0);
    }
    EXPECT_EQ(right[0], 1.0);
    EXPECT_GT(right[1], 0.5);  // at least 0.8^3 of them have no step in error
    EXPECT_LT(right[1], 0.95);
    EXPECT_LT(right[2], 0.2);  // random play
}

TEST(CountdownDemonstrations, FirstProblemsOfSeedOneNeverChange) {
    const auto task = countdown();
    EXPECT_EQ(task->text(task->problem("sft", 0).prompt), "5 4 10 9 ? 31 A");
    EXPECT_EQ(task->text(task->problem("sft", 1).prompt), "1 10 10 5 ? 20 A");
    const Problem problem = task->problem("sft", 2);
    EXPECT_EQ(task->text(problem.prompt), "9 10 7 3 ? 15 A");
    EXPECT_EQ(problem.id, 4802U);
    EXPECT_EQ(problem.answer, "15");
    EXPECT_EQ(task->text(task->demonstration(problem, 1, 0)), "9 - 7 = 2 ; 10 / 2 = 5 ; 5 * 3 = 15 ; END");
}

TEST_F(Countdown, RefusesAPromptOfAnotherTask) {
    for (const char* prompt : {"", "1 2 3 ? 24 A", "1 2 3 4 24 ? A", "1 2 3 4 ? 24", "1 2 + 4 ? 24 A"}) {
        const Problem wrong = problem_of(*task, prompt, "24");
        EXPECT_THROW((void)task->verdict(wrong, {}), DataError) << prompt;
    }
    EXPECT_THROW((void)task->demonstration(problem_of(*task, "1 1 1 1 ? 100 A", "100"), 1, 0), DataError);
}

TEST_F(Countdown, TextAndIdsAreInversesOfEachOther) {
    std::set<std::string> words;
    Tokens all;
    for (Token id = 0; id < task->vocab_size(); ++id) {
        words.insert(task->token_text(id));
        all.push_back(id);
    }
    EXPECT_EQ(std::ssize(words), task->vocab_size());
    EXPECT_EQ(task->vocab_size(), 11 + 144);
    EXPECT_EQ(task->parse(task->text(all)), all);
    EXPECT_EQ(task->parse("  4\n*\t3 "), task->parse("4 * 3"));
    EXPECT_NE(message_of<DataError>([&] { (void)task->parse("4 * 145"); }).find("'145'"), std::string::npos);
    EXPECT_THROW((void)task->text(Tokens{-1}), DataError);
    EXPECT_THROW((void)task->token_text(task->vocab_size()), DataError);
}

}  // namespace
}  // namespace tdrm::task
