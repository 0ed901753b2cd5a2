// Countdown against slow readable twins that share no code with it: a judge that reads text, and the set of all numbers
// that a multiset can be combined to.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <regex>
#include <set>

#include "helpers.hpp"
#include "tdrm/base/random.hpp"

namespace tdrm::task {
namespace {

constexpr int kMaxResult = 144;

/// Everything that all of these numbers can be combined to.
const std::set<int>& combinations(std::vector<int> numbers) {
    static std::map<std::vector<int>, std::set<int>> memo;
    std::sort(numbers.begin(), numbers.end());
    if (const auto known = memo.find(numbers); known != memo.end()) return known->second;
    std::set<int> results;
    if (numbers.size() == 1) results.insert(numbers[0]);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        for (std::size_t j = 0; j < numbers.size(); ++j) {
            if (i == j || numbers[i] < numbers[j]) continue;
            std::vector<int> rest;
            for (std::size_t k = 0; k < numbers.size(); ++k)
                if (k != i && k != j) rest.push_back(numbers[k]);
            std::vector<int> values{numbers[i] + numbers[j], numbers[i] - numbers[j], numbers[i] * numbers[j]};
            if (numbers[i] % numbers[j] == 0) values.push_back(numbers[i] / numbers[j]);
            for (const int value : values) {
                if (value < 1 || value > kMaxResult) continue;
                std::vector<int> next = rest;
                next.push_back(value);
                const std::set<int>& more = combinations(next);
                results.insert(more.begin(), more.end());
            }
        }
    }
    return memo[numbers] = results;
}

struct Twin {
    std::vector<int> left;
    std::set<int> seen;
    int target = 0;

    explicit Twin(const std::string& prompt) {
        const std::vector<std::string> words = words_of(prompt);
        for (std::size_t i = 0; i + 3 < words.size(); ++i) left.push_back(std::stoi(words[i]));
        seen.insert(left.begin(), left.end());
        target = std::stoi(words[words.size() - 2]);
    }

    /// Plays `a op b = c ;`; the reason if it's illegal, else "".
    std::string step(int a, char op, int b, int c) {
        for (const int operand : {a, b}) {
            const auto found = std::find(left.begin(), left.end(), operand);
            if (found == left.end()) return seen.count(operand) ? "number_reused" : "number_unavailable";
            left.erase(found);
        }
        if (a < b) return "smaller_first";
        if (op == '/' && a % b != 0) return "inexact_division";
        const int result = op == '+' ? a + b : op == '-' ? a - b : op == '*' ? a * b : a / b;
        if (result < 1 || result > kMaxResult) return "result_out_of_bounds";
        if (result != c) return "wrong_arithmetic";
        left.push_back(c);
        seen.insert(c);
        return "";
    }

    std::string judge(std::string text) {
        static const std::regex kStep(R"(^(\d+) ([-+*/]) (\d+) = (\d+) ;( |$))");
        static const std::regex kBegunStep(R"(^\d+( [-+*/]( \d+( =( \d+)?)?)?)?$)");
        std::smatch match;
        for (;;) {
            if (text.empty()) return "truncated";
            if (text.rfind("END ", 0) == 0) return "trailing_tokens";
            if (text == "END") return left.size() > 1 ? "no_answer" : left[0] == target ? "correct" : "wrong_answer";
            if (left.size() == 1) return "trailing_tokens";
            if (!std::regex_search(text, match, kStep))
                return std::regex_match(text, kBegunStep) ? "truncated" : "malformed_step";
            const std::string reason =
                step(std::stoi(match[1]), match.str(2)[0], std::stoi(match[3]), std::stoi(match[4]));
            if (!reason.empty()) return reason;
            text = match.suffix();
        }
    }
};

Tokens mutated(Tokens answer, const Task& task, Random& random) {
    const auto any = [&] {
        const bool number = random.next_uniform() < 0.5;
        return static_cast<Token>(number ? 11 + random.next_below(30)
                                         : random.next_below(static_cast<std::uint64_t>(task.vocab_size())));
    };
    for (std::uint64_t n = random.next_below(3); n > 0; --n) {
        const auto at = static_cast<std::ptrdiff_t>(random.next_below(answer.size()));
        const auto other = static_cast<std::ptrdiff_t>(random.next_below(answer.size()));
        switch (random.next_below(7)) {
            case 0:
                answer[static_cast<std::size_t>(at)] = any();
                break;
            case 1:
                answer.insert(answer.begin() + at, any());
                break;
            case 2:
                answer.erase(answer.begin() + at);
                break;
            case 3:
                std::iter_swap(answer.begin() + at, answer.begin() + other);
                break;
            case 4:  // the operation of the first step
                answer[1] = static_cast<Token>(7 + random.next_below(4));
                break;
            case 5:  // the last step
                if (answer.size() > 7) answer.erase(answer.end() - 7, answer.end() - 1);
                break;
            default:
                answer[static_cast<std::size_t>(at)] = answer[static_cast<std::size_t>(other)];
        }
        if (answer.size() < 2) break;
    }
    return answer;
}

TEST(CountdownAgainstTwin, JudgesMutatedSolutionsTheSame) {
    std::map<std::string, int> seen;
    for (const int numbers : {3, 4, 5}) {
        const auto task = countdown(numbers, 0.2);
        Random random(random_key(3, "mutate", static_cast<std::uint64_t>(numbers)));
        for (int i = 0; i < 4000; ++i) {
            const Problem problem = task->problem("test", i % 1000);
            const Tokens answer =
                mutated(task->demonstration(problem, 5, static_cast<std::uint64_t>(i)), *task, random);
            const std::string text = task->text(answer);
            const Verdict verdict = task->verdict(problem, answer);
            const std::string expected = Twin(task->text(problem.prompt)).judge(text);
            ASSERT_EQ(name(verdict.reason), expected) << task->text(problem.prompt) << " | " << text;
            ASSERT_EQ(verdict.correct, expected == "correct");
            ++seen[expected];
        }
    }
    EXPECT_EQ(seen.size(), 12U) << "the mutations don't reach every reason";
}

TEST(CountdownAgainstTwin, TruthIsReachabilityOnFourHundredProblems) {
    int dead = 0;
    int alive = 0;
    for (const int numbers : {3, 4}) {
        const auto noisy = countdown(numbers, 0.5);  // random legal play meets states of both kinds
        for (int i = 0; i < 200; ++i) {
            const Problem problem = noisy->problem("dev", i);
            const Tokens answer = noisy->demonstration(problem, 5, 0);
            const auto ends = noisy->step_ends(answer);
            const std::vector<float> truth = noisy->truth(problem, answer, ends);
            Twin twin(noisy->text(problem.prompt));
            const std::vector<std::string> words = words_of(noisy->text(answer));
            for (std::size_t t = 0; t <= ends.size(); ++t) {
                const bool expected = combinations(twin.left).count(twin.target) > 0;
                ASSERT_EQ(truth[t], expected ? 1.0F : 0.0F)
                    << noisy->text(problem.prompt) << " | " << noisy->text(answer) << " state " << t;
                ++(expected ? alive : dead);
                if (t == ends.size()) break;
                const std::string* w = &words[6 * t];
                ASSERT_EQ(twin.step(std::stoi(w[0]), w[1][0], std::stoi(w[2]), std::stoi(w[4])), "");
            }
        }
    }
    EXPECT_GT(dead, 100);
    EXPECT_GT(alive, 100);
}

TEST(CountdownAgainstTwin, TruthOfFirstStepsAgreesForFiveNumbers) {
    const auto task = countdown(5);
    for (int i = 0; i < 3; ++i) {
        const Problem problem = task->problem("dev", i);
        for (const char* op : {"+", "-", "*"}) {
            Twin twin(task->text(problem.prompt));
            const int a = std::max(twin.left[0], twin.left[1]);
            const int b = std::min(twin.left[0], twin.left[1]);
            const int c = *op == '+' ? a + b : *op == '-' ? a - b : a * b;
            if (!twin.step(a, *op, b, c).empty()) continue;
            const Tokens answer = task->parse(cat(a, ' ', op, ' ', b, " = ", c, " ;"));
            const float expected = combinations(twin.left).count(twin.target) ? 1.0F : 0.0F;
            EXPECT_EQ(task->truth(problem, answer, task->step_ends(answer)), (std::vector<float>{1.0F, expected}));
        }
    }
}

TEST(AnyTokens, NeverBreakATask) {
    std::vector<std::unique_ptr<Task>> tasks;
    tasks.push_back(countdown());
    tasks.push_back(chain());
    tasks.push_back(walk());
    for (const auto& task : tasks) {
        Random random(random_key(3, "any tokens"));
        for (int i = 0; i < 5000; ++i) {
            const Problem problem = task->problem("dev", i % 300);
            Tokens answer(random.next_below(200));
            const auto range = static_cast<std::uint64_t>(i % 2 ? task->vocab_size() : 14);  // short: more structure
            for (Token& token : answer) token = static_cast<Token>(random.next_below(range + 4)) - 2;
            const Verdict verdict = task->verdict(problem, answer);
            const auto ends = task->step_ends(answer);
            ASSERT_LE(ends.size(), 32U);
            for (std::size_t t = 1; t < ends.size(); ++t) ASSERT_LT(ends[t - 1], ends[t]);
            ASSERT_TRUE(ends.empty() || ends.back() <= std::ssize(answer));
            ASSERT_EQ(task->truth(problem, answer, ends).size(), ends.size() + 1);
            ASSERT_EQ(task->scripted_value(problem, answer, ends).size(), ends.size() + 1);
            ASSERT_EQ(task->step_right(problem, answer, ends).size(), ends.size());
            ASSERT_LE(task->penultimate(answer, ends), std::ssize(ends));
            ASSERT_EQ(verdict.correct, verdict.reason <= Reason::correct_despite_error);
        }
    }
}

}  // namespace
}  // namespace tdrm::task
