// From answers to the advantages of their tokens, worked by hand.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
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

void expect_advantages(const CreditOptions& options, RlBatch batch, const std::vector<double>& expected) {
    assign_credit(batch, options);
    ASSERT_EQ(batch.advantage.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(batch.advantage[i], expected[i], 1e-6) << i;
}

TEST(AssignCredit, GivesEveryTokenTheAdvantageOfItsAnswerWithinTheGroup) {
    // 1, 0, 1: mean 2/3, deviation sqrt(1/3); the other group has equal rewards.
    const double right = (1.0 / 3) / (std::sqrt(1.0 / 3) + 1e-4), wrong = -2 * right;
    expect_advantages({}, example(), {right, right, right, right, wrong, wrong, right, 0, 0, 0});
    CreditOptions centred;
    centred.group.divide_by_std = false;
    expect_advantages(centred, example(), {1.0 / 3, 1.0 / 3, 1.0 / 3, 1.0 / 3, -2.0 / 3, -2.0 / 3, 1.0 / 3, 0, 0, 0});
}

TEST(AssignCredit, LeavesOneOutOfTheBaseline) {
    CreditOptions options;
    options.group = {.divide_by_std = false, .leave_one_out = true};
    expect_advantages(options, example(), {0.5, 0.5, 0.5, 0.5, -1, -1, 0.5, 0, 0, 0});
}

TEST(AssignCredit, GaeComparesTheRewardWithTheValueBeforeEachStep) {
    CreditOptions options;
    options.kind = AdvantageKind::gae;
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
    CreditOptions options;
    const ToyTask task;
    const auto value = [&](reward::ScoreAt at) {
        return value_reward(0.2, {.at = at, .scale = reward::ValueScale::probability}, task);
    };
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
    CreditOptions options;
    options.group = {.divide_by_std = false, .leave_one_out = true};
    options.whiten = true;
    // Five tokens of 0.5, two of -1, three of 0: mean 0.05, squares 10 (0.325 - 0.0025).
    const double deviation = std::sqrt(0.3225);
    const double a = 0.45 / deviation, b = -1.05 / deviation, c = -0.05 / deviation;
    expect_advantages(options, example(), {a, a, a, a, b, b, a, c, c, c});
}

/// Rows 0 and 3 are trunks; 1 leaves 0 behind its first token, 2 leaves 1 behind its second. Verdicts 1, 0, 1, 0.
RlBatch tree() {
    RlBatch batch;
    batch.answers.add_problem(0, {100, {1, 2}, ""});
    const std::array right{true, false, true, false};
    for (std::size_t row = 0; row < 4; ++row) {
        rollout::Trajectory t;
        t.ids.assign(3, static_cast<std::int32_t>(row));
        t.logprob.assign(3, -1);
        t.step_ends = {1, 2, 3};
        t.verdict.correct = right[row];
        batch.answers.add(t);
    }
    batch.forks = {{-1, 0}, {0, 1}, {1, 2}, {-1, 0}};
    return batch;
}

TEST(AssignCredit, GivesThePiecesOfATreeTheirMeansAgainstTheRootAndThePieceBefore) {
    // Rows 0, 1, 2 share the first token: mean (1 + 0 + 1) / 3 of three; rows 1 and 2 the second: mean 1/2 of two. The
    // trunk of row 3 stands alone. All four: 1/2.
    const RlBatch batch = tree();
    ASSERT_EQ(batch.answers.outcome, (std::vector<float>{1, 0, 1, 0}));
    CreditOptions options;
    options.kind = AdvantageKind::tree;
    const double root = 0.5, first = 2.0 / 3, second = 0.5;
    const auto advantage = [&](double mean, double before, double answers) {
        return (mean - root + mean - before) / std::sqrt(answers);
    };
    const double shared = advantage(first, root, 3), both = advantage(second, first, 2);
    expect_advantages(options, batch,
                      {shared, advantage(1, first, 1), advantage(1, first, 1),  // row 0
                       shared, both, advantage(0, second, 1),                   // row 1
                       shared, both, advantage(1, second, 1),                   // row 2
                       advantage(0, root, 1), advantage(0, root, 1), advantage(0, root, 1)});
}

TEST(AssignCredit, ShrinksThePiecesOfATreeTowardsTheValueWhereAnswersGoOn) {
    // The other problem, rewards 1, 1, 1, 0 and V(s_0) = 1/4: s2 = 1/4, tau2 = 1/4 - 1/16, so that means of 4, 3 and 2
    // answers weigh 3/4, 9/13 and 3/5. This one tells it tau2 = 0: it has V alone.
    RlBatch batch = tree();
    batch.answers.add_problem(1, {101, {1, 2}, ""});
    for (const bool right : {true, true, true, false}) {
        rollout::Trajectory t;
        t.ids = {1};
        t.logprob = {-1};
        t.step_ends = {1};
        t.verdict.correct = right;
        batch.answers.add(t);
        batch.forks.push_back({-1, 0});
    }
    const float up = std::log(3.0F);
    for (int row = 0; row < 4; ++row) batch.values.insert(batch.values.end(), {0, up, -up, 0});
    for (int row = 0; row < 4; ++row) batch.values.insert(batch.values.end(), {-up, up});
    CreditOptions options;
    options.kind = AdvantageKind::tree;
    options.bootstrap = true;
    const double root = 0.5, first = 9.0 / 13 * 2 / 3 + 4.0 / 13 * 3 / 4, second = 0.6 * 0.5 + 0.4 * 0.25;
    const auto advantage = [&](double value, double before, double answers) {
        return (value - root + value - before) / std::sqrt(answers);
    };
    const double shared = advantage(first, root, 3), both = advantage(second, first, 2), lost = advantage(0, root, 1);
    expect_advantages(options, batch,
                      {shared, advantage(1, first, 1), advantage(1, first, 1),  // row 0
                       shared, both, advantage(0, second, 1),                   // row 1
                       shared, both, advantage(1, second, 1),                   // row 2
                       lost, lost, lost, 1.5, 1.5, 1.5, -0.5});
}

TEST(AssignCredit, ShrinksTheBaselineBetweenTheOthersAndTheValue) {
    // Problem 0: rewards 1, 0, 1, V(s_0) = 1/2; problem 1: rewards 0, 0, V(s_0) = 1/2 and, of its second answer, 1/4.
    // The weight of each comes from the other: of 0 from 1: s2 = 0, tau2 = 1/4: w = 1. Of 1 from 0: s2 = 1/3, tau2 =
    // max(0, 1/36 - 1/9) = 0: w = 0.
    CreditOptions options;
    options.kind = AdvantageKind::shrinkage;
    const double one = 1 - 0.5, zero = 0 - 1.0;  // against the mean of the two others
    expect_advantages(options, example_with_values(), {one, one, one, one, zero, zero, one, -0.5, -0.25, -0.25});
}

TEST(AssignCredit, TakesValuesOfLaterStatesIntoTheShrunkBaselineWhereTheyExplainedTheLastBatch) {
    CreditOptions options;
    options.kind = AdvantageKind::shrinkage;
    RlBatch batch = example_with_values();
    batch.answers.outcome[3] = 1;  // of problem 1: s2 = 1/2, tau2 = 0, so problem 0 takes the value alone
    assign_credit(batch, options, 0);
    EXPECT_NEAR(batch.advantage[0], 1 - 0.5, 1e-6);
    EXPECT_NEAR(batch.advantage[1], 1 - 0.5, 1e-6) << "V(s_0) for the second step, too";
    assign_credit(batch, options, 0.2);
    EXPECT_NEAR(batch.advantage[0], 1 - 0.5, 1e-6);
    EXPECT_NEAR(batch.advantage[1], 1 - 0.75, 1e-6);
}

TEST(AssignCredit, ShrinkageComparesWhatStepsGetWithWhatTheOthersGetFromTheSameStepOn) {
    CreditOptions options;
    options.kind = AdvantageKind::shrinkage;
    options.rewards.push_back({"steps", 1, Grain::action, {}, [](const RlBatch&) {
                                   return std::vector<double>{-1, -1, 0, -1, 0, 0, 0, 0, 0, 0};
                               }});
    RlBatch batch = example_with_values();
    assign_credit(batch, options);
    // R + Q of problem 0: 1 - 2, 1 - 1, 1 | 0 - 1, 0 | 1, each against the mean of the two others' (w = 1, as above).
    const std::vector<double> expected{-1, -0.5, -0.5, 0.5, -1, -1, 2};
    for (std::size_t t = 0; t < expected.size(); ++t) EXPECT_NEAR(batch.advantage[t], expected[t], 1e-6) << t;
}

TEST(AssignCredit, OpensTheGateToValuesOnlyWhereTheyExplainedTheLastBatch) {
    CreditOptions gated, gae, leave_one_out;
    gated.kind = AdvantageKind::gated;
    gae.kind = AdvantageKind::gae;
    leave_one_out.group = {.divide_by_std = false, .leave_one_out = true};
    const auto advantages = [](const CreditOptions& options, double before) {
        RlBatch batch = example_with_values();
        assign_credit(batch, options, before);
        return batch.advantage;
    };
    EXPECT_EQ(advantages(gated, 0.1), advantages(gae, 0));
    EXPECT_EQ(advantages(gated, 0), advantages(leave_one_out, 0));
    EXPECT_EQ(advantages(gated, -3), advantages(leave_one_out, 0));
}

TEST(AssignCredit, AdaptsLambdaToTheNumberOfSteps) {
    CreditOptions options, fixed;
    options.kind = fixed.kind = AdvantageKind::gae;
    options.adaptive = 1;  // the first answer has two steps: 1 - 1/2
    fixed.lambda = 0.5;
    RlBatch batch = example_with_values(), expected = example_with_values();
    assign_credit(batch, options);
    assign_credit(expected, fixed);
    for (std::size_t t = 0; t < 4; ++t) EXPECT_EQ(batch.advantage[t], expected.advantage[t]) << t;
}

TEST(ExplainedVariance, IsOneForTheTruthAndNotPositiveForNoise) {
    RlBatch batch = example_with_values();
    std::fill(batch.values.begin(), batch.values.end(), 0.0F);
    EXPECT_NEAR(explained_variance(batch), 0, 1e-12) << "a constant says as much as the mean";
    const std::vector<float> outcome{1, 1, 1, 0, 0, 1, 0, 0, 0, 0};  // by state
    for (std::size_t s = 0; s < outcome.size(); ++s) batch.values[s] = outcome[s] > 0 ? 40.0F : -40.0F;
    EXPECT_NEAR(explained_variance(batch), 1, 1e-12);
    for (float& v : batch.values) v = -v;
    EXPECT_LT(explained_variance(batch), -1);
    for (float& y : batch.answers.outcome) y = 1;
    EXPECT_EQ(explained_variance(batch), 0) << "nothing to explain";
}

// Parts of the reward

TEST(Rewards, OfStepsCountForTheStepsBeforeThem) {
    // Progress in probability, of the first answer 0.25, -0.5; the others as their values go.
    CreditOptions options;
    const ToyTask task;
    const auto progress =
        value_reward(1, {.form = ValueForm::difference, .scale = reward::ValueScale::probability}, task);
    options.rewards = {rule_reward(0), progress};
    options.group = {.divide_by_std = false};
    RlBatch batch = example_with_values();
    assign_credit(batch, options);
    EXPECT_NEAR(batch.reward[0], -0.25, 1e-7);
    EXPECT_NEAR(batch.reward[1], 0.25, 1e-7);
    EXPECT_NEAR(batch.reward[2], 0, 1e-7) << "no step";
    // To go: -0.25, -0.5, 0 | 0.25, 0 | 0. Means over three answers: 0, -1/6, 0.
    const std::vector<double> expected{-0.25, -0.5 + 1.0 / 6, -0.5 + 1.0 / 6, 0, 0.25, 0.25, 0};
    for (std::size_t t = 0; t < expected.size(); ++t) EXPECT_NEAR(batch.advantage[t], expected[t], 1e-6) << t;
    // Without a group: rewards of steps in gae's differences, lambda 1.
    options.kind = AdvantageKind::gae;
    assign_credit(batch, options);
    EXPECT_NEAR(batch.advantage[0], 0.25 - 0.5 - 0.5, 1e-6) << "all that comes, less V(s_0)";
    EXPECT_NEAR(batch.advantage[1], -0.5 - 0.75, 1e-6);
}

TEST(Rewards, OfTheWorstStepAreNearlyItsValueAndNothingAfterIt) {
    const std::vector<float> logits{0, 2, -1, 3};
    const auto sharp = step_rewards(logits, {.form = ValueForm::minimum, .temperature = 0.01});
    EXPECT_NEAR(sharp[0], 0, 1e-9);
    EXPECT_NEAR(sharp[1], -1, 1e-9);
    EXPECT_NEAR(sharp[2], 0, 1e-9);
    EXPECT_EQ(sharp[3], 0);
    // By hand for temperature 1: r exp(-r) / sum exp(-r).
    const auto soft = step_rewards(logits, {.form = ValueForm::minimum, .temperature = 1});
    const double total = std::exp(-2.0) + std::exp(1.0) + std::exp(-3.0);
    EXPECT_NEAR(soft[0], 2 * std::exp(-2.0) / total, 1e-12);
    EXPECT_NEAR(soft[1], -1 * std::exp(1.0) / total, 1e-12);
}

TEST(Rewards, OfHazardsAddUpToTheLogOfSurvival) {
    const std::vector<float> logits{5, -1, 0.5F};  // s_0 has no error
    const auto rewards = step_rewards(logits, {.form = ValueForm::hazard});
    EXPECT_NEAR(rewards[0], std::log(1 - 1 / (1 + std::exp(1.0))), 1e-12);
    EXPECT_NEAR(rewards[0] + rewards[1] + rewards[2],
                std::log((1 - 1 / (1 + std::exp(1.0))) * (1 - 1 / (1 + std::exp(-0.5)))), 1e-12);
    EXPECT_EQ(step_rewards(std::vector<float>{0}, {.form = ValueForm::hazard}).size(), 1U);
}

TEST(Rewards, BreakTiesAmongAnswersOfEqualOutcomeAlone) {
    const ToyTask task;
    const auto ties = value_reward(
        1, {.form = ValueForm::tie_break, .at = reward::ScoreAt::last, .scale = reward::ValueScale::probability}, task);
    const auto score = ties.score(example_with_values());
    // Verdicts 1, 0, 1 with values 1/4, 3/4, 3/4; then 0, 0 with 1/4, 1/2.
    const std::vector<double> expected{-0.25, 0, 0.25, -0.125, 0.125};
    for (std::size_t row = 0; row < expected.size(); ++row) EXPECT_NEAR(score[row], expected[row], 1e-7) << row;
}

TEST(Rewards, OfLengthAreWorkedByHand) {
    const RlBatch batch = example();  // 4, 2, 1, 1, 2 tokens
    EXPECT_EQ(length_reward(1, 4).score(batch), (std::vector<double>{-1, -0.5, -0.25, -0.25, -0.5}));
    EXPECT_EQ(overlong_reward(1, 4, 2).score(batch), (std::vector<double>{-1, 0, 0, 0, 0}));
    EXPECT_EQ(overlong_reward(1, 5, 4).score(batch), (std::vector<double>{-0.75, -0.25, 0, 0, -0.25}));
    // All tokens are alike: of four runs of one, three occurred before.
    EXPECT_EQ(repetition_reward(1, 1).score(batch), (std::vector<double>{-0.75, -0.5, 0, 0, -0.5}));
    EXPECT_EQ(repetition_reward(1, 4).score(batch), (std::vector<double>{0, 0, 0, 0, 0}));
}

TEST(Rewards, AreNormalisedWithinGroupsOrTheBatchDownToAFloor) {
    RewardPart part = rule_reward(2);
    part.normalisation = {Normalise::group, 1e-4};
    const auto by_group = scores_of(part, example());
    // 1, 0, 1: mean 2/3, deviation sqrt(2)/3; then 0, 0.
    EXPECT_NEAR(by_group.answer[0], 2 * (1.0 / 3) / (std::sqrt(2.0) / 3), 1e-12);
    EXPECT_NEAR(by_group.answer[1], -2 * (2.0 / 3) / (std::sqrt(2.0) / 3), 1e-12);
    EXPECT_EQ(by_group.answer[3], 0);
    EXPECT_EQ(by_group.score[0], 1) << "as it was given";
    part.normalisation = {Normalise::batch, 1e-4};
    const auto by_batch = scores_of(part, example());  // mean 0.4, deviation sqrt(0.24)
    EXPECT_NEAR(by_batch.answer[3], -2 * 0.4 / std::sqrt(0.24), 1e-12);
    part.normalisation.floor = 10;
    EXPECT_NEAR(scores_of(part, example()).answer[3], -2 * 0.4 / 10, 1e-12);
}

TEST(Rewards, OfTokensCountForTheTokensUpToThem) {
    CreditOptions options;
    options.rewards = {rule_reward(0), kl_reward(0.5)};
    RlBatch batch = example();
    batch.divergence = {1, 0, 2, 1, 0, 4, 0, 0, 0, 0};
    expect_advantages(options, batch, {-2, -1.5, -1.5, -0.5, -2, -2, 0, 0, 0, 0});
    assign_credit(batch, options);
    EXPECT_NEAR(batch.reward[0], -2, 1e-12);
}

}  // namespace
}  // namespace tdrm::train
