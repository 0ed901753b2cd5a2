#include "tdrm/rollout/generator.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "toy.hpp"

namespace tdrm::rollout {
namespace {

constexpr std::int32_t kEnd = 22;

std::vector<Request> toy_requests(std::size_t n, std::size_t samples) {
    std::vector<Request> requests;
    Random random(random_key(9, "prompts"));
    for (std::size_t i = 0; i < n; ++i) {
        Request request;
        request.prompt = toy_tokens(random, 1 + random.next_below(40));
        for (std::size_t s = 0; s < samples; ++s) request.keys.push_back(random_key(5, "sample", i, 0, s));
        request.max_tokens = 30;
        requests.push_back(request);
    }
    return requests;
}

bool equal(const Continuation& a, const Continuation& b) {
    return a.ids == b.ids && a.logprob == b.logprob && a.logprob_sampled == b.logprob_sampled && a.ended == b.ended;
}

TEST(Generator, ContinuationIsTheSameBitForBitInTwentyRandomBatchCompositions) {
    const auto model = toy_model();
    const engine::SamplerOptions sampler{.temperature = 0.7, .top_p = 0.9};
    const auto requests = toy_requests(12, 5);
    const auto reference = Generator(*model, sampler, {kEnd}, 64).run(requests);
    Random random(random_key(1, "compositions"));
    for (int composition = 0; composition < 20; ++composition) {
        std::vector<std::size_t> order(requests.size());
        std::iota(order.begin(), order.end(), 0);
        for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.next_below(i)]);
        order.resize(1 + random.next_below(order.size()));
        std::vector<Request> chosen;
        for (const std::size_t i : order) chosen.push_back(requests[i]);
        const auto result = Generator(*model, sampler, {kEnd}, 1 + static_cast<int>(random.next_below(40))).run(chosen);
        for (std::size_t i = 0; i < order.size(); ++i)
            for (std::size_t s = 0; s < chosen[i].keys.size(); ++s)
                EXPECT_TRUE(equal(result[i][s], reference[order[i]][s])) << composition << " " << i << " " << s;
    }
}

TEST(Generator, LogProbabilitiesEqualTheTrainersForTheSameIds) {
    const auto model = toy_model();
    const engine::SamplerOptions sampler{.temperature = 0.7, .top_p = 0.9};
    const auto requests = toy_requests(6, 4);
    const auto results = Generator(*model, sampler, {kEnd}, 16).run(requests);
    double largest = 0;
    int compared = 0;
    for (std::size_t i = 0; i < requests.size(); ++i) {
        model::Forest forest;
        const int prompt = forest.add(requests[i].prompt);
        std::vector<std::int32_t> rows, targets;
        std::vector<float> expected;
        for (const Continuation& c : results[i]) {
            const int answer = forest.add(c.ids, prompt);
            for (std::size_t t = 0; t < c.ids.size(); ++t) {
                rows.push_back(t == 0 ? forest.token_index(prompt, static_cast<int>(requests[i].prompt.size()) - 1)
                                      : forest.token_index(answer, static_cast<int>(t) - 1));
                targets.push_back(c.ids[t]);
                expected.push_back(c.logprob[t]);
            }
        }
        std::vector<float> logp(rows.size()), entropy(rows.size());
        model->token_logprobs(model->forward(forest, rows, engine::Keep::nothing), targets, 0.7F, logp, entropy);
        for (std::size_t r = 0; r < rows.size(); ++r, ++compared)
            largest = std::max(largest, static_cast<double>(std::abs(logp[r] - expected[r])));
    }
    EXPECT_GT(compared, 200);
    EXPECT_LT(largest, 1e-5);
}

TEST(Generator, StopsAtTheEndTokenAtTheBoundAndWhereAsked) {
    const auto model = toy_model();
    auto requests = toy_requests(8, 4);
    for (Request& request : requests) {
        request.max_tokens = 12;
        request.stop = [](std::size_t, std::int32_t token) { return token == 3; };
    }
    int ended = 0, stopped = 0, full = 0;
    for (const auto& group : Generator(*model, {}, {kEnd}, 8).run(requests))
        for (const Continuation& c : group) {
            ended += c.ended ? 1 : 0;
            stopped += c.ids.back() == 3 ? 1 : 0;
            full += c.ids.size() == 12 ? 1 : 0;
            EXPECT_TRUE(c.ended || c.ids.back() == 3 || c.ids.size() == 12);
            for (std::size_t t = 0; t + 1 < c.ids.size(); ++t) EXPECT_TRUE(c.ids[t] != kEnd && c.ids[t] != 3);
            EXPECT_EQ(c.ended, c.ids.back() == kEnd);
        }
    EXPECT_GT(ended, 0);
    EXPECT_GT(stopped, 0);
    EXPECT_GT(full, 0);
}

TEST(Generator, EachOfSeveralEndTokensStopsAndTheOthersChangeNothing) {
    const auto model = toy_model();
    const auto requests = toy_requests(8, 4);
    const auto one = Generator(*model, {}, {kEnd}, 8).run(requests);
    const auto both = Generator(*model, {}, {kEnd, 3}, 8).run(requests);
    int by_other = 0;
    for (std::size_t i = 0; i < one.size(); ++i)
        for (std::size_t j = 0; j < one[i].size(); ++j) {
            Continuation cut = one[i][j];
            const auto other = std::find(cut.ids.begin(), cut.ids.end(), 3);
            if (other != cut.ids.end()) {
                ++by_other;
                cut.ids.erase(other + 1, cut.ids.end());
                cut.logprob.resize(cut.ids.size());
                cut.ended = true;
            }
            EXPECT_TRUE(equal(both[i][j], cut));
        }
    EXPECT_GT(by_other, 0);
}

TEST(Generator, GreedyTakesTheMostLikelyTokenOfTheTrainersDistribution) {
    const auto model = toy_model();
    auto requests = toy_requests(3, 1);
    const auto results = Generator(*model, {.temperature = 0}, {kEnd}, 4).run(requests);
    for (std::size_t i = 0; i < requests.size(); ++i) {
        std::vector<std::int32_t> path = requests[i].prompt;
        for (const std::int32_t id : results[i][0].ids) {
            model::Forest forest;
            forest.add(path);
            const std::vector<std::int32_t> row{forest.num_tokens() - 1};
            std::vector<float> logits(23);
            model->token_logits(model->forward(forest, row, engine::Keep::nothing), 0, logits);
            EXPECT_EQ(id, std::max_element(logits.begin(), logits.end()) - logits.begin());
            path.push_back(id);
        }
    }
}

}  // namespace
}  // namespace tdrm::rollout
