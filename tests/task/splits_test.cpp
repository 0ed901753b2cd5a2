#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "helpers.hpp"

namespace tdrm::task {
namespace {

/// Sorted numbers and target of a countdown prompt; the expression itself of a chain.
std::string canonical(const Task& task, const Problem& problem) {
    std::vector<std::string> words = words_of(task.text(problem.prompt));
    if (task.kind() == "countdown") std::sort(words.begin(), words.end() - 3);
    if (task.kind() == "walk") std::sort(words.begin() + 2, words.begin() + 5);
    std::string key;
    for (const std::string& word : words) key += word + ' ';
    return key;
}

TEST(Splits, ShareNoProblemAndIdsAreUnique) {
    std::vector<std::unique_ptr<Task>> tasks;
    for (const int numbers : {3, 4, 5}) tasks.push_back(countdown(numbers));
    tasks.push_back(chain());
    tasks.push_back(walk());
    for (const auto& task : tasks) {
        std::map<std::string, std::string> owner;
        std::set<std::uint64_t> ids;
        std::int64_t problems = 0;
        for (const std::string& split : task->split_names()) {
            std::int64_t distinct = 0;
            const std::int64_t size = std::min<std::int64_t>(task->split_size(split), 20'000);
            for (std::int64_t i = 0; i < size; ++i) {
                const Problem problem = task->problem(split, i);
                ids.insert(problem.id);
                const auto [place, is_new] = owner.emplace(canonical(*task, problem), split);
                ASSERT_EQ(place->second, split) << place->first;
                distinct += is_new;
            }
            problems += size;
            EXPECT_TRUE(distinct == size || split == "sft") << split;
            EXPECT_TRUE(distinct == task->distinct_problems(split) || size < task->split_size(split)) << split;
        }
        EXPECT_EQ(std::ssize(ids), problems);
    }
}

TEST(Splits, RepeatingOnesReportHowManyProblemsDiffer) {
    CountdownOptions options;
    options.numbers = 3;
    options.splits = {{"sft", 20'000}, {"test", 300}};
    const auto task = make_countdown(options, 1);
    std::set<std::string> seen;
    for (std::int64_t i = 0; i < 20'000; ++i) seen.insert(canonical(*task, task->problem("sft", i)));
    EXPECT_LT(seen.size(), 10'000U);
    EXPECT_EQ(task->distinct_problems("sft"), std::ssize(seen));
}

TEST(Splits, AHopelesslyLargeOneIsGivenUpSoon) {
    CountdownOptions options;
    options.numbers = 3;
    options.splits = {{"dev", 10'000'000}};
    try {
        (void)make_countdown(options, 1);
        FAIL() << "more problems than there are";
    } catch (const ConfigError& error) {
        const std::string text = error.what();
        const auto found = text.find("were found in ");
        ASSERT_NE(found, std::string::npos) << text;
        EXPECT_LT(std::stol(text.substr(found + 14)), 1'000'000) << "of 200 million draws allowed";
    }
}

TEST(Splits, OfEvaluationStayTheSameWhenTrainingSplitsGrow) {
    CountdownOptions options;
    options.splits = {{"sft", 1000}, {"train", 500}, {"test", 100}};
    const auto small = make_countdown(options, 1);
    options.splits = {{"sft", 1000}, {"train", 5000}, {"test", 100}};
    const auto large = make_countdown(options, 1);
    for (std::int64_t i = 0; i < 100; ++i) {
        EXPECT_EQ(small->problem("test", i).prompt, large->problem("test", i).prompt);
        EXPECT_EQ(small->problem("test", i).id, large->problem("test", i).id);
    }
}

TEST(Splits, DependOnTheSeedAlone) {
    ChainOptions options;
    options.splits = {{"a", 50}, {"b", 50}};
    const auto one = make_chain(options, 1);
    const auto again = make_chain(options, 1);
    const auto two = make_chain(options, 2);
    int same = 0;
    for (int i = 0; i < 50; ++i) {
        EXPECT_EQ(one->problem("b", i).prompt, again->problem("b", i).prompt);
        same += one->problem("b", i).prompt == two->problem("b", i).prompt;
    }
    EXPECT_LT(same, 5);
    EXPECT_EQ(one->fingerprint(), again->fingerprint());
    EXPECT_NE(one->fingerprint(), two->fingerprint());
    EXPECT_EQ(one->vocabulary_fingerprint(), two->vocabulary_fingerprint());
    EXPECT_NE(one->vocabulary_fingerprint(), countdown()->vocabulary_fingerprint());
}

TEST(Splits, AnUnknownNameIsMetWithTheNearest) {
    const auto task = chain();
    const std::string message = message_of<ConfigError>([&] { (void)task->split_size("tset"); });
    EXPECT_NE(message.find("sft, dev, test"), std::string::npos) << message;
    EXPECT_NE(message.find("Did you mean 'test'?"), std::string::npos) << message;
    EXPECT_THROW((void)task->problem("dev", 300), DataError);
    EXPECT_THROW((void)task->problem("dev", -1), DataError);
}

TEST(Splits, LargerThanTheSpaceAreRefused) {
    ChainOptions options;
    options.modulus = 2;
    options.min_steps = 1;
    options.max_steps = 1;
    options.splits = {{"all", 12}};  // 2 numbers, 3 operations, 2 numbers
    EXPECT_NO_THROW((void)make_chain(options, 1));
    options.splits = {{"most", 10}, {"rest", 3}};
    const std::string message = message_of<ConfigError>([&] { (void)make_chain(options, 1); });
    EXPECT_NE(message.find("'most' asks for 10 problems, but only 9"), std::string::npos) << message;
    options.splits = {{"sft", 5}, {"all", 12}};
    options.repeating = {"sft"};
    EXPECT_NE(
        message_of<ConfigError>([&] { (void)make_chain(options, 1); }).find("no problem is left for the split 'sft'"),
        std::string::npos);
}

TEST(TaskOptions, AllProblemsAreListedAtOnce) {
    CountdownOptions options;
    options.numbers = 6;
    options.max_number = 200;
    options.max_target = 145;
    options.noise = -0.5;
    options.splits = {{"sft", 0}, {"dev", 3}, {"dev", 3}, {"", 1}};
    EXPECT_EQ(options.validate().size(), 8U);
    const std::string message = message_of<ConfigError>([&] { (void)make_countdown(options, 1); });
    for (const char* part : {"numbers is 6", "max_number is 200", "can't exceed max_result", "max_target is 145",
                             "noise is -0.5", "'sft' has 0 problems", "'dev' is given twice", "no name"})
        EXPECT_NE(message.find(part), std::string::npos) << part;

    ChainOptions chain_options;
    chain_options.min_steps = 9;
    chain_options.modulus = 1;
    EXPECT_EQ(chain_options.validate().size(), 3U);  // max_steps below min_steps, modulus, no splits
    EXPECT_THROW((void)make_chain(chain_options, 1), ConfigError);
}

TEST(Reasons, HaveDistinctNamesAndFixedCodes) {
    std::set<std::string_view> names;
    for (int code = 0; code < kReasons; ++code) names.insert(name(static_cast<Reason>(code)));
    EXPECT_EQ(std::ssize(names), kReasons);
    EXPECT_EQ(name(static_cast<Reason>(0)), "correct");
    EXPECT_EQ(name(static_cast<Reason>(4)), "truncated");
    EXPECT_EQ(name(static_cast<Reason>(12)), "wrong_arithmetic");
    EXPECT_EQ(name(static_cast<Reason>(kReasons)), "unknown");
}

}  // namespace
}  // namespace tdrm::task
