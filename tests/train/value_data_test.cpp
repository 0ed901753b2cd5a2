#include "tdrm/train/value_data.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "tdrm/train/value.hpp"

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
    EXPECT_EQ(truth_of(data, labels, {.kind = reward::TargetKind::td_lambda}, {}), (std::vector<float>{0, 0, 1, 1, 1}));
    labels.outcome_known = {0, 1};
    const auto truth = truth_of(data, labels, {.kind = reward::TargetKind::outcome}, {});
    EXPECT_TRUE(std::isnan(truth[0]) && std::isnan(truth[1]));
    EXPECT_EQ(truth[2], 1);
    EXPECT_TRUE(any_known(truth));
    EXPECT_FALSE(any_known(std::span(truth).first(2)));
}

TEST(TruthOf, IsTheLabelsWhereTheyAreTheTarget) {
    rollout::StateLabels labels;
    labels.truth = {0.5F, 0, 1, 1, 0.25F};
    EXPECT_EQ(truth_of(answers_of(1), labels, {.kind = reward::TargetKind::step_label}, labels.truth), labels.truth);
}

TEST(TruthOf, OfHazardsIsTheOutcomeAtTheEndOrWhetherAnErrorHasHappened) {
    const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
        return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                          [](float x, float y) { return x == y || (std::isnan(x) && std::isnan(y)); });
    };
    reward::TargetOptions hazard{.kind = reward::TargetKind::hazard};
    const float u = kUnknown;
    EXPECT_TRUE(same(truth_of(answers_of(1), {}, hazard, {}), {u, 0, u, u, 1}));
    hazard.errors = reward::Errors::labels;
    const std::vector<float> labels{u, u, 1, 0.9F, 0.4F}, recovered{1, 1, 0, 0.2F, 1};
    EXPECT_TRUE(same(truth_of(answers_of(1), {}, hazard, labels), {u, u, u, 1, 0}));
    EXPECT_TRUE(same(truth_of(answers_of(1), {}, hazard, recovered), {u, 1, u, 0, 0}));
}

TEST(ValueLabels, AreOfTheSourceThatIsAskedFor) {
    rollout::StateLabels labels;
    labels.truth = {1, 0};
    labels.v_pi = {0.5F, 0.25F};
    labels.successes = {3, 0};
    labels.tries = {4, 0};
    EXPECT_EQ(value_labels(labels, LabelSource::truth).label, labels.truth);
    EXPECT_EQ(value_labels(labels, LabelSource::v_pi).label, labels.v_pi);
    const auto sampled = value_labels(labels, LabelSource::sampled);
    EXPECT_EQ(sampled.label[0], 0.75F);
    EXPECT_TRUE(std::isnan(sampled.label[1]));
    EXPECT_EQ(sampled.tries, (std::vector<float>{4, 0}));
    EXPECT_TRUE(value_labels({}, LabelSource::sampled).label.empty());
}

TEST(StateValues, AreChancesOrOfHazardsTheSurvival) {
    const auto data = answers_of(1);  // states 0, 1 and 0, 1, 2
    const std::vector<float> logits(5, 0.0F);
    EXPECT_EQ(state_values(data, logits, false), std::vector<double>(5, 0.5));
    const auto survival = state_values(data, logits, true);
    const std::vector<double> expected{1, 0.5, 1, 0.5, 0.25};
    for (std::size_t s = 0; s < 5; ++s) EXPECT_NEAR(survival[s], expected[s], 1e-12);
}

TEST(ValueFigures, AreNamedByWhatTheyAreComparedWith) {
    const auto data = answers_of(2);
    rollout::StateLabels labels;
    labels.kind = "reachable";
    labels.truth = {1, 0, 1, 1, 1, 0, 0, 1, 0, 1};
    labels.v_pi = std::vector<float>(10, 0.5F);
    labels.v_pi_policy = "chance";
    labels.true_outcome = {1, 1, 0, 1};
    const auto known = rollout::estimands(data, labels);
    std::vector<std::string> names;
    for (const auto& each : known) names.push_back(each.name);
    EXPECT_EQ(names, (std::vector<std::string>{"outcome", "true_outcome", "reachable", "v_pi"}));
    EXPECT_EQ(known[3].meaning, "V^pi, exact: chance");
    EXPECT_EQ(known[1].truth_S, (std::vector<float>{1, 1, 1, 1, 1, 0, 0, 1, 1, 1}));
    Metrics figures;
    add_value_figures(data, std::vector<double>(10, 0.25), known, figures);
    EXPECT_DOUBLE_EQ(figures.get("v_pi/mse"), 0.0625);
    EXPECT_DOUBLE_EQ(figures.get("v_pi/ece"), 0.25);
    EXPECT_DOUBLE_EQ(figures.get("reachable/mse"), (6 * 0.5625 + 4 * 0.0625) / 10);
    EXPECT_DOUBLE_EQ(figures.get("reachable/auc_within"), 0.5);
    EXPECT_TRUE(std::isnan(figures.get("v_pi/explained_variance")));  // the truth is one number
    // Survival is no V^pi, and at the end alone says what the verdict says.
    const auto of_hazards = rollout::estimands(data, labels, true);
    ASSERT_EQ(of_hazards.size(), 3U);
    EXPECT_EQ(of_hazards[0].name, "outcome_at_end");
    EXPECT_TRUE(std::isnan(of_hazards[0].truth_S[0]) && of_hazards[0].truth_S[1] == 0);
}

TEST(MemberRows, DealWholeProblemsToMembersByIdentity) {
    const auto data = answers_of(300);
    std::vector<std::size_t> rows(600), few{0, 1, 2, 3};
    std::iota(rows.begin(), rows.end(), 0);
    const auto parts = member_rows(data, rows, 3, 5);
    std::set<std::size_t> seen;
    for (const auto& part : parts) {
        EXPECT_NEAR(static_cast<double>(part.size()), 200, 70);  // four deviations
        for (std::size_t i = 0; i < part.size(); i += 2) EXPECT_EQ(part[i] + 1, part[i + 1]) << "both answers";
        seen.insert(part.begin(), part.end());
    }
    EXPECT_EQ(seen.size(), 600U);
    const auto of_few = member_rows(data, few, 3, 5);
    for (std::size_t m = 0; m < 3; ++m)
        EXPECT_TRUE(std::includes(parts[m].begin(), parts[m].end(), of_few[m].begin(), of_few[m].end()));
    EXPECT_EQ(member_rows(data, rows, 1, 5), std::vector<std::vector<std::size_t>>{rows});
    EXPECT_NE(member_rows(data, rows, 3, 6), parts);
}

TEST(StatesOf, CutOutTheRowsThatAreNamed) {
    const auto data = answers_of(2);
    const std::vector<float> numbers{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    EXPECT_EQ(states_of(data, numbers, std::vector<std::size_t>{1, 2}), (std::vector<float>{2, 3, 4, 5, 6}));
}

TEST(KeepFirstProblems, LeavesWholeProblemsInTheirOrder) {
    const auto data = answers_of(5);
    std::vector<std::size_t> rows{2, 3, 6, 8, 9};  // of problems 1, 3 and 4
    keep_first_problems(rows, data, 2);
    EXPECT_EQ(rows, (std::vector<std::size_t>{2, 3, 6}));
    keep_first_problems(rows, data, 9);
    EXPECT_EQ(rows.size(), 3U);
}

TEST(Partition, PutsEachProblemWithAllItsAnswersIntoOnePart) {
    const auto data = answers_of(400);
    const auto truth = truth_of(data, {}, {.kind = reward::TargetKind::outcome}, {});
    const Partition part = partition(data, truth, false, 0.25, 7);
    std::set<std::int64_t> held(part.held_out.problem_id.begin(), part.held_out.problem_id.end()), trained;
    for (const std::size_t row : part.training_rows)
        trained.insert(data.problem_id[static_cast<std::size_t>(data.problem[row])]);
    EXPECT_EQ(held.size() + trained.size(), 400U);
    for (const std::int64_t id : held) EXPECT_FALSE(trained.contains(id));
    EXPECT_EQ(part.held_out.size() + part.training_rows.size(), 800U);
    EXPECT_NEAR(static_cast<double>(held.size()), 100, 35);  // four deviations
    EXPECT_EQ(states_of(data, truth, part.held_rows), part.held_out_truth);
    ASSERT_EQ(part.held_out_truth.size(), rollout::state_offsets(part.held_out).back());
    EXPECT_EQ(part.held_out_truth, truth_of(part.held_out, {}, {.kind = reward::TargetKind::outcome}, {}));
}

TEST(Partition, OfAProblemDependsOnSeedAndIdAlone) {
    const auto few = answers_of(50), many = answers_of(400);
    const auto held = [](const rollout::Trajectories& data, std::uint64_t seed) {
        return partition(data, truth_of(data, {}, {.kind = reward::TargetKind::outcome}, {}), false, 0.5, seed)
            .held_out.problem_id;
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
