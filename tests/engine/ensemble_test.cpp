#include "tdrm/engine/ensemble.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "../rollout/toy.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::engine {
namespace {

using rollout::toy_model;

double chance(float logit) { return 1 / (1 + std::exp(-static_cast<double>(logit))); }

TEST(Combined, IsTheMeanOfChancesAndTheirDeviation) {
    // Chances 1/2 and 1/3: the mean is 5/12, the deviation (ddof 1) 1/6 / sqrt(2).
    const auto value = combined(std::vector<float>{0, static_cast<float>(std::log(0.5))});
    EXPECT_NEAR(chance(value.logit), 5.0 / 12, 1e-7);
    EXPECT_NEAR(value.deviation, 1.0 / 6 / std::sqrt(2), 1e-7);
    const auto agreed = combined(std::vector<float>{1.5F, 1.5F, 1.5F});
    EXPECT_NEAR(agreed.logit, 1.5F, 1e-6F);
    EXPECT_EQ(agreed.deviation, 0);
    EXPECT_THROW((void)combined(std::vector<float>{1}), BugError);
}

TEST(Combined, StaysExactWhereMembersAreSure) {
    EXPECT_NEAR(combined(std::vector<float>{60, 60}).logit, 60, 1e-4);
    EXPECT_NEAR(combined(std::vector<float>{-60, -60}).logit, -60, 1e-4);
    EXPECT_NEAR(combined(std::vector<float>{60, 62}).logit, 60 - std::log((1 + std::exp(-2.0)) / 2), 1e-4);
    EXPECT_TRUE(std::isfinite(combined(std::vector<float>{500, -500}).logit));
}

TEST(Combined, OfManyStatesIsThatOfEach) {
    const std::vector<std::vector<float>> members{{0, 1, -2}, {3, -1, 0.5F}};
    const auto all = combined(members);
    for (std::size_t s = 0; s < 3; ++s) {
        const auto one = combined(std::vector<float>{members[0][s], members[1][s]});
        EXPECT_EQ(all.logit[s], one.logit);
        EXPECT_EQ(all.deviation[s], one.deviation);
    }
}

TEST(Ensemble, SaysTheMeanOfItsMembersInPassesAndInCaches) {
    std::vector<std::unique_ptr<Engine>> members, alone;
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        members.push_back(toy_model(model::Head::value, seed));
        alone.push_back(toy_model(model::Head::value, seed));
    }
    Ensemble ensemble(std::move(members));
    const std::vector<std::int32_t> tokens{4, 8, 15, 16, 2}, rows{1, 4};
    model::Forest forest;
    forest.add(tokens);
    std::vector<float> values(2), of_members[2];
    const Rows passed = ensemble.forward(forest, rows, Keep::nothing);
    ensemble.values(passed, {}, values);
    for (const auto& member : alone) {
        std::vector<float> own(2);
        member->values(member->forward(forest, rows, Keep::nothing), {}, own);
        for (std::size_t i = 0; i < 2; ++i) of_members[i].push_back(own[i]);
    }
    for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(values[i], combined(of_members[i]).logit);

    const auto decoder = ensemble.decoder(128, {});
    const int root = decoder->open(), branch = decoder->open(root);
    const std::vector<Append> runs{{root, std::span(tokens).first(2)}, {branch, std::span(tokens).subspan(2)}};
    const std::vector<std::int32_t> read{0, 1};
    std::vector<float> cached(2);
    decoder->values(runs, read, {}, cached);
    for (std::size_t i = 0; i < 2; ++i) EXPECT_NEAR(cached[i], values[i], 1e-4F);
    decoder->close(branch);
    EXPECT_GT(decoder->free_tokens(), 0);

    (void)ensemble.forward(forest, rows, Keep::nothing);
    EXPECT_THROW(ensemble.values(passed, {}, values), BugError) << "rows of an earlier pass";
    EXPECT_THROW(ensemble.begin_training({}), BugError);
    EXPECT_THROW((void)ensemble.forward(forest, rows, Keep::activations), BugError);
}

TEST(Ensemble, OfOneIsTheOneItself) {
    std::vector<std::unique_ptr<Engine>> one, two;
    one.push_back(toy_model(model::Head::value));
    const Engine* only = one.front().get();
    EXPECT_EQ(together(std::move(one)).get(), only);
    two.push_back(toy_model(model::Head::value));
    two.push_back(toy_model(model::Head::value));
    EXPECT_NE(dynamic_cast<Ensemble*>(together(std::move(two)).get()), nullptr);
    EXPECT_THROW((void)together({}), BugError);
}

TEST(Ensemble, RefusesMembersThatAreNone) {
    std::vector<std::unique_ptr<Engine>> one, language;
    one.push_back(toy_model(model::Head::value));
    EXPECT_THROW(Ensemble(std::move(one)), BugError);
    language.push_back(toy_model());
    language.push_back(toy_model());
    EXPECT_THROW(Ensemble(std::move(language)), BugError);
}

}  // namespace
}  // namespace tdrm::engine
