#include "tdrm/train/value_data.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace tdrm::train {
namespace {

const float kUnknown = std::nanf("");

/// Problems with ids 100, 101, ... and two answers each, of one and of two steps; the second is right.
rollout::Trajectories answers_of(std::int64_t problems) {
    rollout::Trajectories table;
    for (std::int64_t p = 0; p < problems; ++p) {
        table.add_problem(p, {static_cast<std::uint64_t>(100 + p), {1}, ""});
        for (std::int32_t s = 0; s < 2; ++s) {
            rollout::Trajectory t;
            t.sample = s;
            t.ids = {2, 3, static_cast<std::int32_t>(p)};
            t.logprob = {0, 0, 0};
            t.step_ends = s == 0 ? std::vector<std::int32_t>{3} : std::vector<std::int32_t>{1, 3};
            t.verdict.correct = s == 1;
            table.add(t);
        }
    }
    return table;
}

TEST(TruthOf, IsTheOutcomeAtEveryStateWhereItIsKnown) {
    const auto data = answers_of(1);
    rollout::StateLabels labels;
    EXPECT_EQ(truth_of(data, labels, reward::TargetKind::td_lambda), (std::vector<float>{0, 0, 1, 1, 1}));
    labels.outcome_known = {0, 1};
    const auto truth = truth_of(data, labels, reward::TargetKind::outcome);
    EXPECT_TRUE(std::isnan(truth[0]) && std::isnan(truth[1]));
    EXPECT_EQ(truth[2], 1);
    EXPECT_TRUE(any_known(truth));
    EXPECT_FALSE(any_known(std::span(truth).first(2)));
}

TEST(TruthOf, IsTheLabelsWhereTheyAreTheTarget) {
    rollout::StateLabels labels;
    labels.truth = {0.5F, 0, 1, 1, 0.25F};
    EXPECT_EQ(truth_of(answers_of(1), labels, reward::TargetKind::step_label), labels.truth);
}

TEST(Partition, PutsEachProblemWithAllItsAnswersIntoOnePart) {
    const auto data = answers_of(400);
    const auto truth = truth_of(data, {}, reward::TargetKind::outcome);
    const Partition part = partition(data, truth, false, 0.25, 7);
    std::set<std::int64_t> held(part.held_out.problem_id.begin(), part.held_out.problem_id.end()), trained;
    for (const std::size_t row : part.training_rows)
        trained.insert(data.problem_id[static_cast<std::size_t>(data.problem[row])]);
    EXPECT_EQ(held.size() + trained.size(), 400U);
    for (const std::int64_t id : held) EXPECT_FALSE(trained.contains(id));
    EXPECT_EQ(part.held_out.size() + part.training_rows.size(), 800U);
    EXPECT_NEAR(static_cast<double>(held.size()), 100, 35);  // four deviations
    ASSERT_EQ(part.held_out_truth.size(), rollout::state_offsets(part.held_out).back());
    EXPECT_EQ(part.held_out_truth, truth_of(part.held_out, {}, reward::TargetKind::outcome));
}

TEST(Partition, OfAProblemDependsOnSeedAndIdAlone) {
    const auto few = answers_of(50), many = answers_of(400);
    const auto held = [](const rollout::Trajectories& data, std::uint64_t seed) {
        return partition(data, truth_of(data, {}, reward::TargetKind::outcome), false, 0.5, seed).held_out.problem_id;
    };
    const auto all = held(many, 1), first = held(few, 1);
    ASSERT_LT(first.size(), all.size());
    EXPECT_TRUE(std::equal(first.begin(), first.end(), all.begin()));
    EXPECT_NE(held(few, 2), first);
    EXPECT_TRUE(held(few, 1) == first && held(few, 1).size() > 5);
}

TEST(Partition, WithoutAHoldoutTrainsOnEverythingOrOnWhatHasALabel) {
    const auto data = answers_of(2);
    std::vector<float> truth(rollout::state_offsets(data).back(), kUnknown);
    truth[3] = 1;  // in the second answer of the first problem
    EXPECT_EQ(partition(data, truth, false, 0, 1).training_rows, (std::vector<std::size_t>{0, 1, 2, 3}));
    EXPECT_EQ(partition(data, truth, true, 0, 1).training_rows, (std::vector<std::size_t>{1}));
}

}  // namespace
}  // namespace tdrm::train
