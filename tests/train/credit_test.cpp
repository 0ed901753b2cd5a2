// From answers to the advantages of their tokens, worked by hand.
#include <gtest/gtest.h>

#include <cmath>

#include "fixture.hpp"

namespace tdrm::train {
namespace {

/// Two problems: answers with verdicts 1, 0, 1 and 0, 0. The third is cut; the first has two steps and a tail.
RlBatch example() {
    RlBatch batch;
    const auto add = [&](std::size_t tokens, std::vector<std::int32_t> ends, bool right, bool cut = false) {
        rollout::Trajectory t;
        t.ids.assign(tokens, 1);
        t.logprob.assign(tokens, -1);
        t.step_ends = std::move(ends);
        t.finish = cut ? task::Finish::length : task::Finish::stop;
        t.verdict.correct = right;
        batch.answers.add(t);
    };
    batch.answers.add_problem(0, {100, {1, 2}, ""});
    add(4, {1, 3}, true);
    add(2, {2}, false);
    add(1, {}, true, true);
    batch.answers.add_problem(1, {101, {1, 2}, ""});
    add(1, {1}, false);
    add(2, {2}, false);
    return batch;
}

/// Values 0.5, 0.75, 0.25 | 0.5, 0.75 | 0.75 | 0.5, 0.25 | 0.25, 0.5 of the states of these answers, as logits.
RlBatch example_with_values() {
    RlBatch batch = example();
    const float up = std::log(3.0F);
    batch.values = {0, up, -up, 0, up, up, 0, -up, -up, 0};
    return batch;
}

void expect_advantages(const RlOptions& options, RlBatch batch, const std::vector<double>& expected) {
    assign_credit(batch, options);
    ASSERT_EQ(batch.advantage.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(batch.advantage[i], expected[i], 1e-6) << i;
}

TEST(AssignCredit, GivesEveryTokenTheAdvantageOfItsAnswerWithinTheGroup) {
    // 1, 0, 1: mean 2/3, deviation sqrt(1/3); the other group has equal rewards.
    const double right = (1.0 / 3) / (std::sqrt(1.0 / 3) + 1e-4), wrong = -2 * right;
    expect_advantages({}, example(), {right, right, right, right, wrong, wrong, right, 0, 0, 0});
    RlOptions centred;
    centred.group.divide_by_std = false;
    expect_advantages(centred, example(), {1.0 / 3, 1.0 / 3, 1.0 / 3, 1.0 / 3, -2.0 / 3, -2.0 / 3, 1.0 / 3, 0, 0, 0});
}

TEST(AssignCredit, LeavesOneOutOfTheBaseline) {
    RlOptions options;
    options.group = {.divide_by_std = false, .leave_one_out = true};
    expect_advantages(options, example(), {0.5, 0.5, 0.5, 0.5, -1, -1, 0.5, 0, 0, 0});
}

TEST(AssignCredit, GaeComparesTheRewardWithTheValueBeforeEachStep) {
    RlOptions options;
    options.advantage = AdvantageKind::gae;
    expect_advantages(options, example_with_values(),
                      {1 - 0.5, 1 - 0.75, 1 - 0.75, 1 - 0.25, -0.5, -0.5, 1 - 0.75, -0.5, -0.25, -0.25});
    // Steps of the first answer: d_0 = 0.9 0.75 - 0.5, d_1 = 0.9 - 0.75; A_0 = d_0 + 0.9 0.5 d_1. One step has only R.
    options.gamma = 0.9;
    options.lambda = 0.5;
    const double d0 = 0.9 * 0.75 - 0.5, d1 = 0.9 - 0.75;
    expect_advantages(options, example_with_values(),
                      {d0 + 0.45 * d1, d1, d1, 1 - 0.25, -0.5, -0.5, 1 - 0.75, -0.5, -0.25, -0.25});
}

TEST(AssignCredit, MixesTheValueOfTheChosenStateIntoTheReward) {
    RlOptions options;
    const ToyTask task;
    const auto value = [&](reward::ScoreAt at) { return value_reward(0.2, at, reward::ValueScale::probability, task); };
    options.rewards = {rule_reward(0.8), value(reward::ScoreAt::penultimate)};
    RlBatch batch = example_with_values();
    assign_credit(batch, options);
    // Penultimate of the toy task: s_{T-1}, but at least s_1; s_0 where there is no step.
    for (const auto& [row, expected] :
         {std::pair{0, 0.8 + 0.2 * 0.75}, {1, 0.2 * 0.75}, {2, 0.8 + 0.2 * 0.75}, {3, 0.2 * 0.25}, {4, 0.2 * 0.5}})
        EXPECT_NEAR(batch.reward[static_cast<std::size_t>(row)], expected, 1e-7) << row;
    options.rewards[1] = value(reward::ScoreAt::last);
    assign_credit(batch, options);
    EXPECT_NEAR(batch.reward[0], 0.8 + 0.2 * 0.25, 1e-7);
}

TEST(AssignCredit, WhitensOverTheTokensOfTheWholeBatch) {
    RlOptions options;
    options.group = {.divide_by_std = false, .leave_one_out = true};
    options.whiten = true;
    // Five tokens of 0.5, two of -1, three of 0: mean 0.05, squares 10 (0.325 - 0.0025).
    const double deviation = std::sqrt(0.3225);
    const double a = 0.45 / deviation, b = -1.05 / deviation, c = -0.05 / deviation;
    expect_advantages(options, example(), {a, a, a, a, b, b, a, c, c, c});
}

TEST(AssignCredit, TrainsWhatHasAnAdvantageOrAPenaltyAndIsntMasked) {
    const auto trains = [](bool mask, double beta) {
        RlOptions options;
        options.mask_truncated = mask;
        options.grpo.beta = beta;
        RlBatch batch = example();
        assign_credit(batch, options);
        return batch.trains;
    };
    using Flags = std::vector<std::uint8_t>;
    EXPECT_EQ(trains(false, 0), (Flags{1, 1, 1, 0, 0}));
    EXPECT_EQ(trains(true, 0), (Flags{1, 1, 0, 0, 0}));
    EXPECT_EQ(trains(false, 0.1), (Flags{1, 1, 1, 1, 1}));
    EXPECT_EQ(trains(true, 0.1), (Flags{1, 1, 0, 1, 1}));
}

}  // namespace
}  // namespace tdrm::train
