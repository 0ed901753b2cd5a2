// The device's sampler against the rules of engine::choose: the same numbers give the same tokens.
#include "../../src/gpu/kernels.hpp"
#include "../gpu/kernel_fixture.hpp"
#include "tdrm/base/random.hpp"
#include "tdrm/engine/sampler.hpp"

namespace tdrm::engine {
namespace {

struct Row {
    std::vector<float> logits;
    double uniform;
};

/// Rows of logits, some with many ties, some with one token that is nearly sure.
std::vector<Row> random_rows(int vocab, int count) {
    std::vector<Row> rows;
    Random random(random_key(5, "rows", static_cast<std::uint64_t>(vocab)));
    for (int r = 0; r < count; ++r) {
        Row row{{}, random.next_uniform()};
        for (int i = 0; i < vocab; ++i) {
            double logit = 3 * random.next_normal();
            if (r % 3 == 0) logit = std::round(logit);
            row.logits.push_back(static_cast<float>(logit));
        }
        if (r % 7 == 0) row.logits[static_cast<std::size_t>(vocab / 2)] += 60;  // the others' weights may vanish
        rows.push_back(row);
    }
    return rows;
}

std::vector<gpu::SampledToken> sampled(const std::vector<Row>& rows, const SamplerOptions& options) {
    const auto vocab = rows[0].logits.size(), pitch = (vocab + 7) / 8 * 8;
    auto logits = gpu::poisoned<float>(rows.size() * pitch);
    std::vector<double> uniform;
    for (std::size_t r = 0; r < rows.size(); ++r) {
        std::copy(rows[r].logits.begin(), rows[r].logits.end(), &logits[r * pitch]);
        uniform.push_back(rows[r].uniform);
    }
    return gpu::under_all_schedules([&] {
        auto drawn = gpu::poisoned<gpu::SampledToken>(rows.size());
        start(gpu::Sample{drawn.data(), logits.data(), uniform.data(), static_cast<int>(rows.size()),
                          static_cast<int>(vocab), static_cast<int>(pitch), static_cast<float>(options.temperature),
                          options.top_k, options.top_p, static_cast<float>(options.min_p)},
              nullptr);
        return drawn;
    });
}

/// Whether a number or a filter a hair off would have given that token: sums are rounded elsewhere.
bool on_the_edge(const Row& row, const SamplerOptions& options, std::int32_t token) {
    constexpr double hair = 1e-5;
    SamplerScratch scratch;
    for (const double du : {-hair, 0.0, hair})
        for (const double dp : {-hair, 0.0, hair}) {
            SamplerOptions other = options;
            if (options.top_p < 1) other.top_p += dp;
            if (options.min_p > 0) other.min_p += dp;
            if (choose(row.logits, other, std::clamp(row.uniform + du, 0.0, 1.0), scratch).token == token) return true;
        }
    return false;
}

TEST(DeviceSampler, DrawsTheTokensThatProcessorsDraw) {
    const std::vector<SamplerOptions> all{{.temperature = 0},
                                          {},
                                          {.temperature = 0.7},
                                          {.top_k = 5},
                                          {.top_p = 0.9},
                                          {.min_p = 0.1},
                                          {.temperature = 1.3, .top_k = 40, .top_p = 0.8, .min_p = 0.02},
                                          {.top_k = 1},
                                          {.top_p = 0.01}};
    SamplerScratch scratch;
    int others = 0, draws = 0;
    for (const int vocab : {1, 7, 300, 1500}) {
        const auto rows = random_rows(vocab, vocab == 1500 ? 6 : 21);
        for (const SamplerOptions& options : all) {
            const auto drawn = sampled(rows, options);
            for (std::size_t r = 0; r < rows.size(); ++r, ++draws) {
                const Choice expected = choose(rows[r].logits, options, rows[r].uniform, scratch);
                if (drawn[r].token != expected.token) {
                    ++others;
                    EXPECT_TRUE(on_the_edge(rows[r], options, drawn[r].token)) << vocab << " row " << r;
                    continue;
                }
                EXPECT_NEAR(static_cast<double>(drawn[r].logprob), static_cast<double>(expected.logprob), 1e-4);
                EXPECT_NEAR(static_cast<double>(drawn[r].logprob_sampled),
                            static_cast<double>(expected.logprob_sampled), 1e-4)
                    << vocab << " row " << r;
            }
        }
    }
    EXPECT_LT(others, draws / 100);
}

TEST(DeviceSampler, LogProbabilitiesHaveTheBitsOfTheHead) {
    const auto rows = random_rows(700, 4);
    const auto drawn = sampled(rows, {.temperature = 0.8});
    for (std::size_t r = 0; r < rows.size(); ++r) {
        float logp = 0, entropy = 0;
        start(gpu::LogSoftmax{&logp, &entropy, rows[r].logits.data(), &drawn[r].token, 1, 700, 700, 0.8F}, nullptr);
        EXPECT_EQ(drawn[r].logprob, logp);
    }
}

}  // namespace
}  // namespace tdrm::engine
