#include "tdrm/task/walk.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "helpers.hpp"
#include "tdrm/base/random.hpp"

namespace tdrm::task {
namespace {

class WalkTest : public testing::Test {
protected:
    std::unique_ptr<Task> task = walk(3);
    Problem problem = problem_of(*task, "10 + 1 4 9 ? 2 A", "2");

    [[nodiscard]] std::string reason(const std::string& answer) const {
        return std::string(name(verdict_of(*task, problem, answer).reason));
    }
    [[nodiscard]] std::vector<float> value(const std::string& answer) const {
        const Tokens tokens = task->parse(answer);
        return task->scripted_value(problem, tokens, task->step_ends(tokens));
    }
};

const std::string kHit = "1 = 11 ; 9 = 8 ; 4 = 0 ; END";

TEST_F(WalkTest, JudgesByTheNumberAfterTheLastStep) {
    problem = problem_of(*task, "10 + 1 4 9 ? 0 A", "0");
    const Verdict verdict = verdict_of(*task, problem, kHit);
    EXPECT_TRUE(verdict.correct);
    EXPECT_EQ(verdict.answer, "1 = 11 ; 9 = 8 ; 4 = 0 ;");
    EXPECT_EQ(reason("1 = 11 ; 9 = 8 ; 9 = 5 ; END"), "wrong_answer");
}

TEST_F(WalkTest, NamesWhyAWalkIsWrong) {
    EXPECT_EQ(reason("2 = 0 ; END"), "number_unavailable");
    EXPECT_EQ(reason("1 = 10 ; END"), "wrong_arithmetic");
    EXPECT_EQ(reason("1 11 ; END"), "malformed_step");
    EXPECT_EQ(reason("1 = 11 END"), "malformed_step");
    EXPECT_EQ(reason(""), "truncated");
    EXPECT_EQ(reason("1 = 11 ; 9 ="), "truncated");
    EXPECT_EQ(reason("1 = 11 ; 9 = 8 ; 4 = 0 ;"), "truncated");
    EXPECT_EQ(reason("1 = 11 ; END"), "no_answer");
    EXPECT_EQ(reason("END"), "no_answer");
    EXPECT_EQ(reason("1 = 11 ; 9 = 8 ; 4 = 0 ; 1 = 1 ; END"), "trailing_tokens");
    EXPECT_EQ(reason(kHit + " END"), "trailing_tokens");
}

TEST_F(WalkTest, ValuesAreThoseCountedByHand) {
    // From 10 to 2 a walk must add 4 (mod 12). Three of 1, 4 and 9 add 3, 6, 9, 12, 11, 14, 17, 19, 22 or 27: none
    // does.
    EXPECT_EQ(value("")[0], 0);
    // To 1 it must add 3: 1+1+1 and 9+9+9, two of 27 orders.
    problem = problem_of(*task, "10 + 1 4 9 ? 1 A", "1");
    EXPECT_FLOAT_EQ(value("")[0], 2.0F / 27);
    // After 1 it must add 2: 1+1, one of 9 orders; after another 1 one of 3; then it is there.
    const auto values = value("1 = 11 ; 1 = 0 ; 1 = 1 ; END");
    ASSERT_EQ(values.size(), 4U);
    EXPECT_FLOAT_EQ(values[1], 1.0F / 9);
    EXPECT_FLOAT_EQ(values[2], 1.0F / 3);
    EXPECT_EQ(values[3], 1);
    // An illegal step is the end.
    EXPECT_EQ(value("1 = 11 ; 2 = 1 ; 1 = 2 ;"), (std::vector<float>{values[0], values[1], 0, 0}));
    const Tokens answer = task->parse("4 = 2 ; 4 = 6 ; 4 = 10 ; END");
    EXPECT_EQ(task->truth(problem, answer, task->step_ends(answer)), (std::vector<float>{1, 0, 0, 0}));
    EXPECT_EQ(task->step_right(problem, answer, task->step_ends(answer)), (std::vector<std::uint8_t>{1, 1, 1}));
}

TEST_F(WalkTest, PenultimateIsTheStateBeforeTheLastStep) {
    const auto penultimate = [&](const std::string& text) {
        const Tokens tokens = task->parse(text);
        return task->penultimate(tokens, task->step_ends(tokens));
    };
    EXPECT_EQ(penultimate(kHit), 2);
    EXPECT_EQ(penultimate("1 = 11 ; END"), 1);
    EXPECT_EQ(penultimate("END"), 0);
}

/// Plays on from a number in every way: the share of the 3^steps ways that end at the target.
double share_of_hits(const std::vector<int>& offsets, int number, int target, int steps) {
    if (steps == 0) return number == target ? 1 : 0;
    double sum = 0;
    for (const int offset : offsets) sum += share_of_hits(offsets, (number + offset) % 12, target, steps - 1);
    return sum / 3;
}

TEST(WalkAgainstTwin, ValuesAndVerdictsAreThoseOfAllContinuations) {
    Random random(random_key(3, "walks"));
    std::map<std::string, int> seen;
    for (const int steps : {1, 4, 8}) {
        const auto task = walk(steps);
        for (std::int64_t i = 0; i < 120; ++i) {
            const Problem problem = task->problem("test", i);
            const auto words = words_of(task->text(problem.prompt));
            const std::vector<int> offsets{std::stoi(words[2]), std::stoi(words[3]), std::stoi(words[4])};
            ASSERT_EQ(std::set<int>(offsets.begin(), offsets.end()).size(), 3U);
            const int target = std::stoi(words[6]);
            // A walk of which a step is now and then wrong in its offset or its sum.
            std::string text;
            int number = std::stoi(words[0]);
            bool legal = true;
            std::vector<double> expected{share_of_hits(offsets, number, target, steps)};
            ASSERT_GT(expected[0], 0) << "a problem without a solution";
            for (int t = 0; t < steps; ++t) {
                const bool strange = random.next_uniform() < 0.05, wrong = random.next_uniform() < 0.05;
                int offset = offsets[random.next_below(3)];
                if (strange) offset = static_cast<int>(random.next_below(12));
                legal = legal && !wrong && std::count(offsets.begin(), offsets.end(), offset) == 1;
                number = (number + offset + (wrong ? 1 : 0)) % 12;
                text += cat(offset, " = ", number, " ; ");
                expected.push_back(legal ? share_of_hits(offsets, number, target, steps - 1 - t) : 0);
            }
            const Tokens answer = task->parse(text + "END");
            const auto ends = task->step_ends(answer);
            const auto value = task->scripted_value(problem, answer, ends);
            const auto truth = task->truth(problem, answer, ends);
            ASSERT_EQ(value.size(), expected.size());
            for (std::size_t t = 0; t < value.size(); ++t) {
                EXPECT_NEAR(value[t], expected[t], 1e-6) << text << t;
                EXPECT_EQ(truth[t], expected[t] > 0 ? 1.0F : 0.0F);
            }
            const Verdict verdict = task->verdict(problem, answer);
            EXPECT_EQ(verdict.correct, legal && number == target) << text;
            ++seen[std::string(name(verdict.reason))];
        }
    }
    EXPECT_EQ(seen.size(), 4U) << "right, missed, a strange offset, a wrong sum";
}

/// The same for the policy that with probability 1 - noise takes an offset that can still hit.
double scripted_share(const std::vector<int>& offsets, int number, int target, int steps, double noise) {
    if (steps == 0) return number == target ? 1 : 0;
    double all = 0, hopeful = 0;
    int count = 0;
    for (const int offset : offsets) {
        const int next = (number + offset) % 12;
        const double share = scripted_share(offsets, next, target, steps - 1, noise);
        all += share / 3;
        if (share_of_hits(offsets, next, target, steps - 1) > 0) hopeful += share, ++count;
    }
    return count > 0 ? noise * all + (1 - noise) * hopeful / count : 0;
}

TEST(WalkAgainstTwin, ValuesOfThePolicyThatAimsAreThoseOfAllItsContinuations) {
    for (const double noise : {0.0, 0.5}) {
        const auto task = walk(5, noise);
        int between = 0;
        for (std::int64_t i = 0; i < 40; ++i) {
            const Problem problem = task->problem("test", i);
            const auto words = words_of(task->text(problem.prompt));
            const std::vector<int> offsets{std::stoi(words[2]), std::stoi(words[3]), std::stoi(words[4])};
            const Tokens answer = walk(5)->demonstration(problem, 3, 0);  // also states that can't hit any more
            const auto steps = words_of(task->text(answer));
            const auto value = task->scripted_value(problem, answer, task->step_ends(answer));
            int number = std::stoi(words[0]);
            for (std::size_t t = 0; t < value.size(); ++t) {
                const int left = 5 - static_cast<int>(t);
                EXPECT_NEAR(value[t], scripted_share(offsets, number, std::stoi(words[6]), left, noise), 1e-6);
                between += value[t] > 0 && value[t] < 1 ? 1 : 0;
                if (t + 1 < value.size()) number = std::stoi(steps[4 * t + 2]);
            }
            EXPECT_TRUE(noise > 0 || task->verdict(problem, task->demonstration(problem, 3, 0)).correct);
        }
        EXPECT_EQ(between > 0, noise > 0);
    }
}

TEST(WalkDemonstrations, AreUniformWalksThatHitAsOftenAsTheyShould) {
    const auto task = walk(4);
    double expected = 0, hits = 0;
    std::map<std::string, int> offsets;
    for (std::int64_t i = 0; i < 400; ++i) {
        const Problem problem = task->problem("test", i);
        ASSERT_LE(std::ssize(problem.prompt), task->max_prompt_tokens());
        for (std::uint64_t visit = 0; visit < 25; ++visit) {
            const Tokens answer = task->demonstration(problem, 7, visit);
            ASSERT_EQ(std::ssize(answer), task->max_answer_tokens());
            const auto ends = task->step_ends(answer);
            ASSERT_EQ(ends.size(), 4U);
            const auto right = task->step_right(problem, answer, ends);
            ASSERT_EQ(std::count(right.begin(), right.end(), 1), 4);
            expected += double{task->scripted_value(problem, answer, ends)[0]};
            hits += task->verdict(problem, answer).correct ? 1 : 0;
        }
    }
    EXPECT_NEAR(hits, expected, 4 * std::sqrt(expected));
}

TEST(WalkProblems, MayAllHaveZeroAsTarget) {
    WalkOptions options;
    options.to_zero = true;
    options.splits = {{"dev", 300}};
    const auto task = make_walk(options, 1);
    std::set<std::string> starts;
    for (std::int64_t i = 0; i < 300; ++i) {
        const Problem problem = task->problem("dev", i);
        const auto words = words_of(task->text(problem.prompt));
        starts.insert(words[0]);
        EXPECT_EQ(words[6], "0");
        EXPECT_GT(task->scripted_value(problem, {}, {})[0], 0);
    }
    EXPECT_EQ(starts.size(), 12U);
    EXPECT_NE(task->fingerprint(), walk()->fingerprint());
}

TEST(WalkOptions, AreCheckedAllAtOnce) {
    WalkOptions options;
    options.modulus = 3;
    options.steps = 31;
    options.noise = 2;
    EXPECT_EQ(options.validate().size(), 4U);  // no splits
    EXPECT_THROW((void)make_walk(options, 1), ConfigError);
    EXPECT_THROW((void)walk()->verdict(problem_of(*walk(), "1 + 2 3 ? 4 A", ""), {}), DataError);
}

TEST(WalkProblems, OfSeedOneNeverChange) {
    const auto task = walk();
    EXPECT_EQ(task->text(task->problem("test", 0).prompt), "5 + 1 5 8 ? 4 A");
    EXPECT_EQ(task->text(task->demonstration(task->problem("test", 0), 1, 0)),
              "8 = 1 ; 1 = 2 ; 1 = 3 ; 8 = 11 ; 1 = 0 ; 1 = 1 ; 8 = 9 ; 8 = 5 ; END");
}

}  // namespace
}  // namespace tdrm::task
