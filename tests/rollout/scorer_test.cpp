#include "tdrm/rollout/scorer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "toy.hpp"

namespace tdrm::rollout {
namespace {

TEST(Scorer, ValueOfEachStateEqualsScoringThatPrefixAlone) {
    const auto model = toy_model(model::Head::value);
    Random random(random_key(2, "answers"));
    const auto prompt = toy_tokens(random, 7);
    const std::vector<std::int32_t> probe{22, 21};
    std::vector<std::vector<std::int32_t>> ids;
    std::vector<ScoredAnswer> answers;
    for (const std::size_t length : {19U, 4U, 33U}) ids.push_back(toy_tokens(random, length));
    for (const auto& each : ids)
        answers.push_back(
            {each, {0, 2, static_cast<std::int32_t>(each.size()) / 2, static_cast<std::int32_t>(each.size())}});
    for (const int unit_tokens : {1, 40, 1000}) {
        const auto values = Scorer(*model, probe, unit_tokens).score(prompt, answers);
        for (std::size_t a = 0; a < answers.size(); ++a)
            for (std::size_t k = 0; k < answers[a].ends.size(); ++k) {
                auto prefix = prompt;
                prefix.insert(prefix.end(), ids[a].begin(), ids[a].begin() + answers[a].ends[k]);
                prefix.insert(prefix.end(), probe.begin(), probe.end());
                model::Forest forest;
                forest.add(prefix);
                const std::vector<std::int32_t> row{forest.num_tokens() - 1};
                float alone = 0;
                model->values(model->forward(forest, row, engine::Keep::nothing), {}, std::span(&alone, 1));
                EXPECT_NEAR(values[a][k], alone, 2e-5 * (1 + std::abs(static_cast<double>(alone))))
                    << unit_tokens << " " << a << " " << k;
            }
    }
}

TEST(Scorer, ReadsPromptsAndAnswersAsItIsTold) {
    const auto model = toy_model(model::Head::value);
    Random random(random_key(3, "answers"));
    const auto prompt = toy_tokens(random, 5), ids = toy_tokens(random, 9);
    const std::vector<std::int32_t> probe{22, 21}, ends{0, 4, 9}, other_prompt{3, 1, 4, 1, 5};
    // Every token twice, and a prompt that has nothing to do with the given one.
    const auto doubled = [](task::TokenSpan from, std::span<const std::int32_t> at) {
        task::AnswerIds to;
        for (const std::int32_t id : from) to.ids.insert(to.ids.end(), 2, id);
        for (const std::int32_t end : at) to.ends.push_back(2 * end);
        return to;
    };
    Scorer plain(*model, probe, 1000), told(*model, probe, 1000);
    EXPECT_FALSE(told.needs_all_states());
    told.show({[&](task::TokenSpan given) {
                   EXPECT_TRUE(std::equal(given.begin(), given.end(), prompt.begin(), prompt.end()));
                   return other_prompt;
               },
               doubled});
    EXPECT_TRUE(told.needs_all_states());
    const auto twice = doubled(ids, ends);
    const std::vector<ScoredAnswer> answers{{ids, ends}, {ids, {9}}},
        expected{{twice.ids, twice.ends}, {twice.ids, {18}}};
    EXPECT_EQ(told.score(prompt, answers), plain.score(other_prompt, expected));
}

}  // namespace
}  // namespace tdrm::rollout
