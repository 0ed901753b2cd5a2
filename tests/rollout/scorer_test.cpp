#include "tdrm/rollout/scorer.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "toy.hpp"

namespace tdrm::rollout {
namespace {

TEST(Scorer, ValueOfEachStateEqualsScoringThatPrefixAlone) {
    const model::Model model = toy_model(model::Head::value);
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
        const auto values = Scorer(model, probe, unit_tokens).score(prompt, answers);
        model::Workspace work;
        model::Transformer transformer(model);
        for (std::size_t a = 0; a < answers.size(); ++a)
            for (std::size_t k = 0; k < answers[a].ends.size(); ++k) {
                auto prefix = prompt;
                prefix.insert(prefix.end(), ids[a].begin(), ids[a].begin() + answers[a].ends[k]);
                prefix.insert(prefix.end(), probe.begin(), probe.end());
                model::Forest forest;
                forest.add(prefix);
                const std::vector<std::int32_t> row{forest.num_tokens() - 1};
                float alone = 0;
                model::value_logits(model, transformer.forward(forest, row, work, false), 1, &alone);
                EXPECT_NEAR(values[a][k], alone, 2e-5 * (1 + std::abs(static_cast<double>(alone))))
                    << unit_tokens << " " << a << " " << k;
            }
    }
}

}  // namespace
}  // namespace tdrm::rollout
