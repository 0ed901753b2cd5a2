// Exact values of the scripted policies of countdown and chain against exhaustive twins that share no code with them,
// and against what the policies do.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "helpers.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/random.hpp"

namespace tdrm::task {
namespace {

std::vector<float> value_of(const Task& task, const Problem& problem, const std::string& answer) {
    const Tokens tokens = task.parse(answer);
    return task.scripted_value(problem, tokens, task.step_ends(tokens));
}

/// All plays of countdown, move by move on plain lists; what is left is the state.
double play_twin(const std::vector<int>& left, int target, double noise) {
    if (left.size() == 1) return left[0] == target ? 1 : 0;
    std::vector<double> values;
    for (std::size_t i = 0; i < left.size(); ++i)
        for (std::size_t j = 0; j < left.size(); ++j) {
            if (j == i || left[j] > left[i] || (left[j] == left[i] && j < i)) continue;  // the larger one comes first
            std::vector<int> results{left[i] + left[j], left[i] - left[j], left[i] * left[j]};
            if (left[i] % left[j] == 0) results.push_back(left[i] / left[j]);
            for (const int result : results) {
                if (result < 1 || result > 144) continue;
                std::vector<int> next{result};
                for (std::size_t k = 0; k < left.size(); ++k)
                    if (k != i && k != j) next.push_back(left[k]);
                values.push_back(play_twin(next, target, noise));
            }
        }
    double all = 0, best = 0, winning = 0;
    for (const double value : values) {
        all += value / static_cast<double>(values.size());
        if (value > 0) best += value, winning += 1;
    }
    return winning > 0 ? noise * all + (1 - noise) * best / winning : 0;
}

TEST(CountdownValue, IsThatOfAllPlaysOfTheScriptedPolicy) {
    int between = 0;
    for (const double noise : {0.0, 0.3, 1.0})
        for (const int numbers : {3, 4}) {
            const auto task = countdown(numbers, noise);
            const auto player = countdown(numbers, 0.5);  // visits states of all kinds
            for (std::int64_t i = 0; i < (numbers == 3 ? 60 : 12); ++i) {
                const Problem problem = task->problem("dev", i);
                const Tokens answer = player->demonstration(problem, 5, 0);
                const auto ends = task->step_ends(answer);
                const auto values = task->scripted_value(problem, answer, ends);
                const auto words = words_of(task->text(problem.prompt));
                std::vector<int> left;
                for (int k = 0; k < numbers; ++k) left.push_back(std::stoi(words[static_cast<std::size_t>(k)]));
                const int target = std::stoi(problem.answer);
                const auto steps = words_of(task->text(answer));
                for (std::size_t t = 0; t < values.size(); ++t) {
                    ASSERT_NEAR(values[t], play_twin(left, target, noise), 1e-6) << task->text(answer) << ' ' << t;
                    between += values[t] > 0 && values[t] < 1 ? 1 : 0;
                    if (t == ends.size()) break;
                    for (const std::size_t operand : {0, 2})
                        left.erase(std::find(left.begin(), left.end(), std::stoi(steps[6 * t + operand])));
                    left.push_back(std::stoi(steps[6 * t + 4]));
                }
            }
        }
    EXPECT_GT(between, 100);
}

TEST(CountdownValue, FallsToZeroAfterAnIllegalStepAndOneNumberIsRightOrWrong) {
    const auto task = countdown(4, 0.5);
    const Problem problem = problem_of(*task, "1 2 3 4 ? 24 A", "24");
    const auto right = value_of(*task, problem, "4 * 3 = 12 ; 12 * 2 = 24 ; 24 * 1 = 24 ; END");
    EXPECT_EQ(right[3], 1);
    EXPECT_GT(right[0], 0);
    EXPECT_LT(right[0], right[1]);
    // 24 and 1 are left: 24 * 1 and 24 / 1 of four legal moves.
    EXPECT_FLOAT_EQ(right[2], 0.5F * 2 / 4 + 0.5F);
    EXPECT_EQ(value_of(*task, problem, "4 * 3 = 11 ; 11 * 2 = 22 ;"), (std::vector<float>{right[0], 0, 0}));
}

TEST(CountdownValue, IsHowOftenTheScriptedPolicyIsRight) {
    for (const int numbers : {4, 5}) {
        const auto task = countdown(numbers, 0.5);
        double expected = 0, right = 0;
        for (std::int64_t i = 0; i < 40; ++i) {
            const Problem problem = task->problem("dev", i);
            expected += 20 * double{task->scripted_value(problem, {}, {})[0]};
            for (std::uint64_t visit = 0; visit < 20; ++visit)
                right += task->verdict(problem, task->demonstration(problem, 3, visit)).correct ? 1 : 0;
        }
        EXPECT_NEAR(right, expected, 4 * std::sqrt(expected)) << numbers << " numbers";
        EXPECT_GT(right, 100);
    }
}

/// P(the chain ends at `goal`) by all results that the steps may have.
double chain_twin(const std::vector<std::string>& words, std::size_t at, int value, int goal, double noise) {
    if (words[at] == "?") return value == goal ? 1 : 0;
    const int b = std::stoi(words[at + 1]);
    const int right = (((words[at] == "+" ? value + b : words[at] == "-" ? value - b : value * b) % 10) + 10) % 10;
    double sum = 0;
    for (int c = 0; c < 10; ++c) {
        const double chance = c == right ? 1 - noise : noise / 9;
        if (chance > 0) sum += chance * chain_twin(words, at + 2, c, goal, noise);
    }
    return sum;
}

TEST(ChainValue, IsThatOfAllResultsThatTheScriptedPolicyMayWrite) {
    Random random(random_key(3, "chains"));
    for (const double noise : {0.0, 0.2}) {
        ChainOptions options;
        options.max_steps = 4;
        options.noise = noise;
        options.splits = {{"test", 200}};
        const auto task = make_chain(options, 1);
        for (std::int64_t i = 0; i < 60; ++i) {
            const Problem problem = task->problem("test", i);
            const auto words = words_of(task->text(problem.prompt));
            std::string text;
            int value = std::stoi(words[0]);
            std::vector<double> expected{chain_twin(words, 1, value, std::stoi(problem.answer), noise)};
            for (std::size_t at = 1; words[at] != "?"; at += 2) {
                const int c = static_cast<int>(random.next_below(10));
                text += cat(value, ' ', words[at], ' ', words[at + 1], " = ", c, " ; ");
                value = c;
                expected.push_back(chain_twin(words, at + 2, value, std::stoi(problem.answer), noise));
            }
            expected.push_back(std::to_string(value) == problem.answer ? 1 : 0);
            const auto values = value_of(*task, problem, text + cat("# ", value, " END"));
            ASSERT_EQ(values.size(), expected.size());
            for (std::size_t t = 0; t < values.size(); ++t) ASSERT_NEAR(values[t], expected[t], 1e-6) << text << t;
        }
    }
}

TEST(ChainValue, IsNotKnownWhereTheScriptedPolicyNeverStands) {
    const auto task = chain(0.1);
    const Problem problem = problem_of(*task, "3 + 4 * 7 - 2 ?", "7");
    const auto broken = value_of(*task, problem, "3 + 4 = 7 ; 7 * 7 ; 9 - 2 = 7 ; # 7 END");
    ASSERT_EQ(broken.size(), 5U);
    EXPECT_GT(broken[1], 0.8);
    for (std::size_t t = 2; t < 5; ++t) EXPECT_TRUE(std::isnan(broken[t])) << t;
    EXPECT_EQ(value_of(*task, problem, "3 + 4 = 7 ; 7 * 7 = 9 ; 9 - 2 = 7 ; # 8 END").back(), 0);
    EXPECT_EQ(value_of(*task, problem, "3 + 4 = 7 ; 7 * 7 = 9 ; 9 - 2 = 7 ; # 7 END").back(), 1);
}

TEST(ScriptedPolicy, GoesOnFromItsStatesAndIsRightAsOftenAsTheirValuesSay) {
    const auto tasks = {walk(4), walk(4, 0.5), countdown(4, 0.5), chain(0.3)};
    for (const auto& task : tasks) {
        double expected = 0, right = 0, spread = 0;
        for (std::int64_t i = 0; i < 30; ++i) {
            const Problem problem = task->problem("dev", i);
            const Tokens answer = task->demonstration(problem, 5, 0);
            const auto ends = task->step_ends(answer);
            const auto values = task->scripted_value(problem, answer, ends);
            for (const std::size_t t : {std::size_t{0}, std::size_t{1}, ends.size() - 1}) {
                const TokenSpan begun = TokenSpan(answer).first(t == 0 ? 0 : static_cast<std::size_t>(ends[t - 1]));
                expected += 40 * double{values[t]};
                spread += 40 * double{values[t]} * (1 - double{values[t]});
                for (std::uint64_t visit = 0; visit < 40; ++visit) {
                    Tokens whole(begun.begin(), begun.end());
                    const Tokens rest = task->scripted_rest(problem, begun, 3, visit);
                    whole.insert(whole.end(), rest.begin(), rest.end());
                    right += task->verdict(problem, whole).correct ? 1 : 0;
                }
            }
        }
        EXPECT_NEAR(right, expected, 4 * std::sqrt(spread)) << task->kind();
        EXPECT_GT(spread, 20) << task->kind();
    }
}

TEST(ScriptedPolicy, DoesntGoOnBehindWhatItNeverWrites) {
    const auto expect_refusal = [](const Task& task, const std::string& prompt, const std::string& begun) {
        const Problem problem = problem_of(task, prompt, "0");
        EXPECT_THROW((void)task.scripted_rest(problem, task.parse(begun), 1, 0), DataError) << begun;
    };
    const auto walk = task::walk(2);
    for (const char* begun : {"1 = 0 ;", "1 = 11", "1 = 11 ; 1 = 0 ; 1 = 1 ;", "END"})
        expect_refusal(*walk, "10 + 1 4 9 ? 1 A", begun);
    for (const char* begun : {"4 * 3 = 11 ;", "4 * 3", "4 * 3 = 12 ; 4 * 2 = 8 ;", "END"})
        expect_refusal(*countdown(4, 0.5), "1 2 3 4 ? 24 A", begun);
    for (const char* begun : {"3 + 4 7 =", "3 + 4 = 7 ; 7 * 7 = 9 ; 9 - 2 = 7 ; # 7 END"})
        expect_refusal(*chain(0.1), "3 + 4 * 7 - 2 ?", begun);
}

TEST(ScriptedPolicy, SaysWhoseValuesItsValuesAre) {
    EXPECT_EQ(countdown(4, 1)->scripted_policy(), "random legal play");
    EXPECT_EQ(countdown(4, 0.5)->scripted_policy(),
              "play that keeps the target within reach, 0.5 of the steps random legal play");
    EXPECT_EQ(chain(0.1)->scripted_policy(), "a wrong result in 0.1 of the steps");
    EXPECT_EQ(walk()->scripted_policy(), "uniform offsets");
    EXPECT_EQ(walk(4, 0.5)->scripted_policy(),
              "offsets that can still hit the target, 0.5 of the steps uniform offsets");
}

}  // namespace
}  // namespace tdrm::task
