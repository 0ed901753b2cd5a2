// Answers that branch: where branches leave, and that each is drawn for itself.
#include "tdrm/rollout/tree_answers.hpp"

#include <gtest/gtest.h>

#include <set>

#include "toy.hpp"
#include "toy_task.hpp"

namespace tdrm::rollout {
namespace {

TreeAnswers grow(const TreeOptions& options) {
    const ToyTask task(30);
    const auto policy = toy_model();
    comm::Communicator ranks;
    const engine::SamplerOptions sampler;
    Generator generator(*policy, sampler, {20}, 64);
    const RolloutPlan plan{&task, "all", 2, sampler, 3, "rl"};
    std::vector<task::Draw> draws;
    for (std::int64_t i = 0; i < ToyTask::kProblems; ++i) draws.push_back({i, 0});
    return tree_answers_together(ranks, plan, generator, draws, options);
}

/// Of each answer: what it has behind the tokens of its parent.
std::vector<std::int32_t> own_tokens(const TreeAnswers& trees, std::size_t row) {
    const auto ids = trees.answers.ids(row).subspan(static_cast<std::size_t>(trees.forks[row].tokens));
    return {ids.begin(), ids.end()};
}

TEST(TreeAnswers, ShareTheirParentsTokensUpToTheFork) {
    for (const auto at : {BranchAt::steps, BranchAt::tokens}) {
        const TreeAnswers trees = grow({.width = 2, .depth = 3, .at = at});
        std::size_t branches = 0;
        for (std::size_t row = 0; row < trees.forks.size(); ++row) {
            const Fork fork = trees.forks[row];
            if (fork.parent < 0) continue;
            ++branches;
            const auto parent = static_cast<std::size_t>(fork.parent), shared = static_cast<std::size_t>(fork.tokens);
            ASSERT_LT(parent, row) << "parents come first";
            ASSERT_EQ(trees.answers.problem[parent], trees.answers.problem[row]);
            for (std::size_t t = 0; t < shared; ++t) {
                ASSERT_EQ(trees.answers.ids(row)[t], trees.answers.ids(parent)[t]);
                ASSERT_EQ(trees.answers.logprobs(row)[t], trees.answers.logprobs(parent)[t]);
            }
        }
        EXPECT_GT(branches, 40U);
    }
}

TEST(TreeAnswers, ABranchThatLeavesBeforeATokenIsDrawnForItself) {
    const TreeAnswers trees = grow({.width = 2, .depth = 3, .at = BranchAt::tokens});
    std::set<std::pair<std::int32_t, std::int32_t>> places;
    std::size_t long_ones = 0;
    for (std::size_t row = 0; row < trees.forks.size(); ++row) {
        const Fork fork = trees.forks[row];
        if (fork.parent < 0) continue;
        EXPECT_TRUE(places.emplace(fork.parent, fork.tokens).second) << "a second branch at the same token";
        for (std::size_t other = row + 1; other < trees.forks.size(); ++other) {
            if (trees.forks[other].parent != fork.parent || own_tokens(trees, row).size() < 6) continue;
            ++long_ones;
            EXPECT_NE(own_tokens(trees, row), own_tokens(trees, other));
        }
    }
    EXPECT_GT(long_ones, 20U);
}

TEST(TreeAnswers, BranchesOfOneAnswerDontShareTheirRandomNumbers) {
    // Of a policy that is uniform the token at a position says which number it was drawn with.
    const ToyTask task(30);
    const auto policy = engine::make_engine(toy_spec(), engine::DeviceKind::cpu);
    policy->write(engine::Array::weights, 0, std::vector<float>(static_cast<std::size_t>(policy->num_parameters())));
    comm::Communicator ranks;
    const engine::SamplerOptions sampler;
    Generator generator(*policy, sampler, {}, 64);
    const RolloutPlan plan{&task, "all", 1, sampler, 3, "rl"};
    const std::vector<task::Draw> draws{{0, 0}, {1, 0}, {2, 0}, {3, 0}};
    const TreeAnswers trees = tree_answers_together(ranks, plan, generator, draws, {.width = 2, .depth = 2});
    std::size_t same = 0, both = 0;
    for (std::size_t row = 0; row < trees.forks.size(); ++row)
        for (std::size_t other = row + 1; other < trees.forks.size(); ++other) {
            const Fork a = trees.forks[row], b = trees.forks[other];
            if (a.parent < 0 || a.parent != b.parent) continue;
            const auto from = static_cast<std::size_t>(std::max(a.tokens, b.tokens));
            for (std::size_t t = from; t < 30; ++t, ++both)
                same += trees.answers.ids(row)[t] == trees.answers.ids(other)[t] ? 1 : 0;
        }
    EXPECT_GT(both, 40U);
    EXPECT_LT(same * 4, both) << "one in 23 by chance";
}

}  // namespace
}  // namespace tdrm::rollout
