#include "tdrm/rollout/value_reader.hpp"

#include <gtest/gtest.h>

#include "../task/helpers.hpp"
#include "toy.hpp"

namespace tdrm::rollout {
namespace {

/// A task in words whose ids the toy models know, an answer to it, and a folder of somebody else without a tokenizer.
class ValueReader : public testing::Test {
protected:
    [[nodiscard]] std::vector<std::vector<float>> score(Scorer scorer) const {
        return scorer.score(problem.prompt, answers);
    }

    const std::unique_ptr<task::Task> task = task::chain();
    const task::Problem problem = task->problem("dev", 0);
    const task::Tokens ids = task->demonstration(problem, 1, 0);
    const std::vector<ScoredAnswer> answers{{ids, {0, task->step_ends(ids).front()}}};
    const std::filesystem::path folder = "nowhere";
    const std::unique_ptr<engine::Engine> value = toy_model(model::Head::value);
};

TEST_F(ValueReader, OwnModelsAreReadBehindTheTasksProbeWhateverTheOptionsSay) {
    ReadOutOptions options;
    options.tag = "=";
    const auto expected = score(Scorer(*value, task->probe(), 1000));
    EXPECT_EQ(score(value_scorer(*task, *value, std::nullopt, options, 1000)), expected);
    EXPECT_EQ(score(value_scorer(*task, *value, folder, {}, 1000)), expected) << "no tag: the probe";
    EXPECT_NE(score(value_scorer(*task, *value, folder, options, 1000)), expected);
}

TEST_F(ValueReader, TextsOfAReadOutAreWordsOfATaskWithoutATokenizer) {
    ReadOutOptions options;
    options.tag = "= ;";
    const auto tag = task->parse("= ;");
    EXPECT_EQ(score(value_scorer(*task, *value, folder, options, 1000)), score(Scorer(*value, tag, 1000)));
    options.positive = "+ -";
    EXPECT_THROW((void)value_scorer(*task, *toy_model(), folder, options, 1000), ConfigError) << "two tokens";
}

TEST_F(ValueReader, OnlyATaskWithATokenizerHasATextToShow) {
    ReadOutOptions options;
    Problems problems;
    check_read_out(options, *task, "read_out", problems);
    EXPECT_TRUE(problems.empty());
    options.reads = Shown::text;
    check_read_out(options, *task, "read_out", problems);
    ASSERT_EQ(problems.size(), 1U);
    EXPECT_NE(problems[0].message.find("no text"), std::string::npos);
}

}  // namespace
}  // namespace tdrm::rollout
