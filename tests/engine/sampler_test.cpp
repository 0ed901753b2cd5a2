#include "tdrm/engine/sampler.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "tdrm/base/random.hpp"

namespace tdrm::engine {
namespace {

std::map<int, double> frequencies(const std::vector<float>& logits, const SamplerOptions& options, int draws = 40000) {
    std::map<int, double> share;
    SamplerScratch scratch;
    const Random random(random_key(1, "draws"));
    for (int i = 0; i < draws; ++i)
        share[choose(logits, options, random.uniform(static_cast<std::uint64_t>(i)), scratch).token] += 1.0 / draws;
    return share;
}

std::set<int> support(const std::vector<float>& logits, const SamplerOptions& options) {
    std::set<int> tokens;
    for (const auto& [token, share] : frequencies(logits, options)) tokens.insert(token);
    return tokens;
}

const std::vector<float> kLogits{std::log(0.1F), std::log(0.4F), std::log(0.05F), std::log(0.25F), std::log(0.2F)};

TEST(Sampler, FrequenciesFollowTheSoftmaxAtTheTemperature) {
    for (const double temperature : {0.5, 1.0, 2.0}) {
        auto share = frequencies(kLogits, {.temperature = temperature});
        double total = 0;
        for (const float logit : kLogits) total += std::exp(static_cast<double>(logit) / temperature);
        for (std::size_t i = 0; i < kLogits.size(); ++i)
            EXPECT_NEAR(share[static_cast<int>(i)], std::exp(static_cast<double>(kLogits[i]) / temperature) / total,
                        0.01);
    }
}

TEST(Sampler, TopKKeepsTheMostLikely) { EXPECT_EQ(support(kLogits, {.top_k = 2}), (std::set<int>{1, 3})); }

TEST(Sampler, TopPKeepsTheFewestWhoseMassReachesP) {
    EXPECT_EQ(support(kLogits, {.top_p = 0.6}), (std::set<int>{1, 3}));
    EXPECT_EQ(support(kLogits, {.top_p = 0.7}), (std::set<int>{1, 3, 4}));
    EXPECT_EQ(support(kLogits, {.top_p = 0.0}), (std::set<int>{1}));
}

TEST(Sampler, MinPKeepsTokensThatAreLikelyEnoughBesideTheLikeliest) {
    EXPECT_EQ(support(kLogits, {.min_p = 0.45}), (std::set<int>{1, 3, 4}));
}

TEST(Sampler, TruncatedLogProbabilityIsRenormalisedAndTheFullOneIsNot) {
    SamplerScratch scratch;
    const Choice choice = choose(kLogits, {.top_k = 2}, 0.0, scratch);
    EXPECT_EQ(choice.token, 1);
    EXPECT_NEAR(choice.logprob, std::log(0.4), 1e-6);
    EXPECT_NEAR(choice.logprob_sampled, std::log(0.4 / 0.65), 1e-6);
}

TEST(Sampler, GreedyTakesTheFirstOfEquals) {
    SamplerScratch scratch;
    EXPECT_EQ(choose(std::vector<float>{1, 3, 3, 2}, {.temperature = 0}, 0.9, scratch).token, 1);
}

TEST(Sampler, ImpossibleTokensAreNeverDrawnEvenAtTheEdges) {
    SamplerScratch scratch;
    const std::vector<float> logits{-1e30F, 0.0F, -1e30F};
    EXPECT_EQ(choose(logits, {}, 0.0, scratch).token, 1);
    EXPECT_EQ(choose(logits, {}, std::nextafter(1.0, 0.0), scratch).token, 1);
}

}  // namespace
}  // namespace tdrm::engine
