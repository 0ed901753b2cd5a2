// Cost of answers, against numbers worked out by hand.
#include "tdrm/stage/cost.hpp"

#include <gtest/gtest.h>

namespace tdrm::stage {
namespace {

/// Problems with prompts and answers of so many tokens.
rollout::Trajectories table_of(const std::vector<std::pair<std::size_t, std::vector<std::size_t>>>& problems) {
    rollout::Trajectories table;
    for (std::size_t p = 0; p < problems.size(); ++p) {
        table.add_problem(static_cast<std::int64_t>(p), {p, task::Tokens(problems[p].first, 1), ""});
        for (std::size_t i = 0; i < problems[p].second.size(); ++i) {
            rollout::Trajectory t;
            t.ids.assign(problems[p].second[i], 2);
            t.logprob.assign(t.ids.size(), -1);
            t.sample = static_cast<std::int32_t>(i);
            table.add(t);
        }
    }
    return table;
}

TEST(Cost, ATokenTakesTwiceTheParametersOfItsProductsAndOfTheHeadIfItIsDrawn) {
    model::ModelSpec spec;
    spec.vocab = 10;
    spec.layers = 3;
    spec.width = 8;
    spec.heads = 2;
    spec.ffn = 16;
    // A layer: q, k, v and output 4 * 8 * 8, feed-forward 3 * 8 * 16, together 640. Head: 10 * 8.
    const TokenFlop flop = token_flop(spec.resolved());
    EXPECT_EQ(flop.read, 2 * 3 * 640);
    EXPECT_EQ(flop.drawn, 2 * 3 * 640 + 2 * 80);
}

TEST(Cost, NCandidatesTakeTheirShareOfTheTokensAndThePromptOnce) {
    const auto data = table_of({{5, {10, 20}}, {7, {30, 30}}});
    // Of the first problem 6 tokens are shared and 34 aren't, of the second 8 and 64.
    const rollout::ValueTable values{{{}, {40, 72}, {6, 8}}, {}, 100};
    const SelectionCost cost(data, TokenFlop{1, 3});
    const AnswerCost one = cost.at(1, &values);
    EXPECT_EQ(one.generated, 15 + 30);
    EXPECT_EQ(one.prompt, 12);
    EXPECT_EQ(one.scored, 6 + 17 + 8 + 32);
    EXPECT_EQ(cost.at(2, &values).generated, 90);
    EXPECT_EQ(cost.at(2, &values).scored, 112) << "all of what was read";
    EXPECT_EQ(cost.at(2, nullptr).scored, 0) << "votes need no value model";
    const auto json = cost.json_at(2, &values);
    EXPECT_EQ(json["generated_tokens"], 90);
    EXPECT_EQ(json["flops"]["policy"], 1 * 12 + 3 * 90);
    EXPECT_EQ(json["flops"]["value"], 100 * 112);
    EXPECT_EQ(json["flops"]["total"], 282 + 11200);
}

TEST(Cost, OfAPolicyThatNobodyKnowsThereAreNoFlops) {
    const auto data = table_of({{5, {10}}, {4, {}}});
    const auto json = SelectionCost(data, std::nullopt).json_at(1, nullptr);
    EXPECT_EQ(json["generated_tokens"], 10);
    EXPECT_EQ(json["prompt_tokens"], 5) << "nobody answered the second problem";
    EXPECT_FALSE(json.contains("flops"));
}

}  // namespace
}  // namespace tdrm::stage
