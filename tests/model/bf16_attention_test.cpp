#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "plain_tiles.hpp"
#include "tdrm/base/bfloat16.hpp"
#include "tdrm/base/random.hpp"

namespace tdrm::model::ops {
namespace {

std::vector<float> numbers(std::size_t n, std::uint64_t seed) {
    Random random(random_key(seed, "attention"));
    std::vector<float> result(n);
    for (float& x : result) x = static_cast<float>(random.next_normal());
    return result;
}

double rounded(float x) { return static_cast<double>(to_float(to_bfloat16(x))); }

/// A prompt with answers, probes of one token at cuts of them, and a lone root.
Forest bushy() {
    const std::vector<std::int32_t> tokens(200, 1);
    const auto some = [&](int n) { return std::span(tokens).first(static_cast<std::size_t>(n)); };
    Forest forest;
    const int prompt = forest.add(some(37));
    for (const int length : {5, 33, 64}) {
        const int answer = forest.add(some(length), prompt);
        for (const int cut : {1, length}) forest.add(some(1), answer, cut);
    }
    forest.add(some(19));
    return forest;
}

/// What token t of a forest sees, itself last.
std::vector<int> seen_by(const Forest& forest, int t, int window) {
    std::vector<int> seen;
    const auto& segments = forest.segments();
    int s = 0;
    while (t >= segments[static_cast<std::size_t>(s)].begin + segments[static_cast<std::size_t>(s)].length) ++s;
    std::vector<VisibleRange> ranges;
    forest.visible(s, ranges);
    for (auto r = ranges.rbegin(); r != ranges.rend(); ++r)
        for (int i = 0; i < r->count; ++i) seen.push_back(forest.token_index(r->segment, i));
    for (int i = segments[static_cast<std::size_t>(s)].begin; i <= t; ++i) seen.push_back(i);
    if (window > 0 && std::ssize(seen) > window) seen.erase(seen.begin(), seen.end() - window);
    return seen;
}

/// Attention in double, of rounded queries, keys, values and gradients.
struct Expected {
    std::vector<double> out, lse, dqkv;
};
Expected expected(const std::vector<float>& qkv, const std::vector<float>& dout, const Forest& forest,
                  const AttentionShape& shape) {
    const int T = forest.num_tokens(), H = shape.head_dim, N = shape.heads, group = N / shape.kv_heads;
    const auto at = [&](int token, int head, int h) {
        return static_cast<std::size_t>((token * (N + 2 * shape.kv_heads) + head) * H + h);
    };
    Expected e{std::vector<double>(dout.size()), std::vector<double>(static_cast<std::size_t>(T * N)),
               std::vector<double>(qkv.size())};
    const double scale = static_cast<double>(shape.score_scale());
    for (int t = 0; t < T; ++t) {
        const auto seen = seen_by(forest, t, shape.window);
        for (int head = 0; head < N; ++head) {
            const int key = N + head / group, value = key + shape.kv_heads;
            std::vector<double> p(seen.size()), dp(seen.size());
            double mass = 0, delta = 0;
            for (std::size_t j = 0; j < seen.size(); ++j) {
                for (int h = 0; h < H; ++h) {
                    const auto o = static_cast<std::size_t>((t * N + head) * H + h);
                    p[j] += scale * rounded(qkv[at(t, head, h)]) * rounded(qkv[at(seen[j], key, h)]);
                    dp[j] += rounded(dout[o]) * rounded(qkv[at(seen[j], value, h)]);
                }
                mass += std::exp(p[j]);
            }
            e.lse[static_cast<std::size_t>(t * N + head)] = std::log(mass);
            for (std::size_t j = 0; j < seen.size(); ++j) {
                p[j] = std::exp(p[j]) / mass;
                delta += p[j] * dp[j];
            }
            for (std::size_t j = 0; j < seen.size(); ++j)
                for (int h = 0; h < H; ++h) {
                    const auto o = static_cast<std::size_t>((t * N + head) * H + h);
                    const double ds = p[j] * (dp[j] - delta) * scale;
                    e.out[o] += p[j] * rounded(qkv[at(seen[j], value, h)]);
                    e.dqkv[at(seen[j], value, h)] += p[j] * rounded(dout[o]);
                    e.dqkv[at(seen[j], key, h)] += ds * rounded(qkv[at(t, head, h)]);
                    e.dqkv[at(t, head, h)] += ds * rounded(qkv[at(seen[j], key, h)]);
                }
        }
    }
    return e;
}

/// |a - b| / |b|
double distance(const std::vector<float>& a, const std::vector<double>& b) {
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        difference += std::pow(static_cast<double>(a[i]) - b[i], 2);
        size += b[i] * b[i];
    }
    return std::sqrt(difference / size);
}

struct Computed {
    std::vector<float> out, lse, dqkv;
};
Computed computed(const std::vector<float>& qkv, const std::vector<float>& dout, const Forest& forest,
                  const AttentionShape& shape, Bf16Unit unit, decltype(&bf16_attention) forward = bf16_attention,
                  decltype(&bf16_attention_backward) backward = bf16_attention_backward) {
    AttentionScratch scratch;
    Computed c{std::vector<float>(dout.size()),
               std::vector<float>(static_cast<std::size_t>(forest.num_tokens() * shape.heads)),
               std::vector<float>(qkv.size(), NAN)};
    forward(c.out.data(), c.lse.data(), qkv.data(), forest, shape, scratch, unit);
    backward(c.dqkv.data(), dout.data(), c.out.data(), c.lse.data(), qkv.data(), forest, shape, scratch, unit);
    return c;
}

class Bf16Attention : public testing::TestWithParam<AttentionShape> {
protected:
    void SetUp() override {
        if (bf16_unit() == Bf16Unit::none) GTEST_SKIP() << "this processor has neither AMX nor AVX512-BF16";
    }
    [[nodiscard]] std::vector<float> qkv(const Forest& forest) const {
        return numbers(static_cast<std::size_t>(forest.num_tokens() * GetParam().stride()), 1);
    }
    [[nodiscard]] std::vector<float> dout(const Forest& forest) const {
        return numbers(static_cast<std::size_t>(forest.num_tokens() * GetParam().heads * GetParam().head_dim), 2);
    }
};

TEST_P(Bf16Attention, IsThatOfRoundedNumbersInDouble) {
    const Forest forest = bushy();
    const auto found = computed(qkv(forest), dout(forest), forest, GetParam(), bf16_unit());
    const auto wanted = expected(qkv(forest), dout(forest), forest, GetParam());
    EXPECT_LT(distance(found.out, wanted.out), 0.003);  // weights are rounded to 8 bits
    EXPECT_LT(distance(found.lse, wanted.lse), 1e-6);
    EXPECT_LT(distance(found.dqkv, wanted.dqkv), 0.004);
}

void expect_same(const Computed& one, const Computed& other) {
    EXPECT_EQ(one.out, other.out);
    EXPECT_EQ(one.lse, other.lse);
    EXPECT_EQ(one.dqkv, other.dqkv);
}

TEST_P(Bf16Attention, HasTheSameBitsOnTilesAsOnVectors) {
    const Forest forest = bushy();
    const auto on = [&](Bf16Unit unit, auto... kernels) {
        return computed(qkv(forest), dout(forest), forest, GetParam(), unit, kernels...);
    };
    const auto vectors = on(Bf16Unit::tiles, vector_attention, vector_attention_backward);
    expect_same(vectors, on(Bf16Unit::tiles, plain_attention, plain_attention_backward));
    if (bf16_unit() == Bf16Unit::tiles) expect_same(vectors, on(Bf16Unit::tiles));
}

TEST_P(Bf16Attention, OfATokenDependsOnWhatItSeesAlone) {
    const AttentionShape shape = GetParam();
    const Forest many = bushy();
    const auto all = computed(qkv(many), dout(many), many, shape, bf16_unit());
    // The prompt, and its third answer, in the order of the flat run of the whole forest.
    const auto& segments = many.segments();
    const Segment answer = segments[7];
    ASSERT_EQ(answer.length, 64);
    Forest alone;
    alone.add(std::vector<std::int32_t>(37, 1));
    alone.add(std::vector<std::int32_t>(64, 1), 0);
    auto rows = qkv(many);
    std::copy(rows.begin() + answer.begin * shape.stride(),
              rows.begin() + (answer.begin + answer.length) * shape.stride(), rows.begin() + 37 * shape.stride());
    rows.resize(static_cast<std::size_t>(alone.num_tokens() * shape.stride()));
    const auto one = computed(rows, dout(alone), alone, shape, bf16_unit());
    const std::ptrdiff_t width = std::ptrdiff_t{shape.heads} * shape.head_dim;
    EXPECT_EQ(0, std::memcmp(one.out.data() + 37 * width, all.out.data() + answer.begin * width,
                             static_cast<std::size_t>(64 * width) * sizeof(float)));
}

TEST_P(Bf16Attention, OfACacheHasTheBitsOfTheForestWhateverItsPagesHeldBefore) {
    const AttentionShape shape = GetParam();
    if (shape.window > 0) GTEST_SKIP() << "caches find what a window sees (transformer_test)";
    constexpr int kTokens = 53;
    Forest forest;
    forest.add(std::vector<std::int32_t>(kTokens, 1));
    const auto rows = qkv(forest);
    const auto wanted = computed(rows, dout(forest), forest, shape, bf16_unit());
    const auto cells = static_cast<std::size_t>(bf16_page_cells(shape.kv_heads, shape.head_dim));
    std::vector<std::vector<float>> keys(4, std::vector<float>(cells, NAN)), values = keys;
    AttentionScratch scratch;
    const std::ptrdiff_t width = std::ptrdiff_t{shape.heads} * shape.head_dim;
    std::vector<float> out(static_cast<std::size_t>(width) * kBf16AttentionRows);
    for (int t = 0, rows_now = 0; t < kTokens; t += rows_now) {
        rows_now = t < 20 ? std::min(kBf16AttentionRows, 20 - t) : 1;  // a prompt in tiles, then token by token
        std::vector<KeyRun> runs;
        for (int i = t; i < t + rows_now; ++i)
            bf16_write_page(keys[static_cast<std::size_t>(i / 16)].data(),
                            values[static_cast<std::size_t>(i / 16)].data(), rows.data() + i * shape.stride(), i % 16,
                            shape);
        for (int first = 0; first < t + rows_now; first += 16)
            runs.push_back({keys[static_cast<std::size_t>(first / 16)].data(),
                            values[static_cast<std::size_t>(first / 16)].data(), std::min(16, t + rows_now - first),
                            t + 1 - first});
        bf16_cached_attention(out.data(), rows.data() + t * shape.stride(), rows_now, runs, 0, shape, scratch,
                              bf16_unit());
        auto by_plain_tiles = out, by_vectors = out;
        plain_cached_attention(by_plain_tiles.data(), rows.data() + t * shape.stride(), rows_now, runs, 0, shape,
                               scratch, Bf16Unit::tiles);
        vector_cached_attention(by_vectors.data(), rows.data() + t * shape.stride(), rows_now, runs, 0, shape, scratch,
                                Bf16Unit::tiles);
        ASSERT_EQ(by_plain_tiles, by_vectors) << t;
        if (bf16_unit() == Bf16Unit::tiles) {
            ASSERT_EQ(out, by_vectors) << t;
        }
        ASSERT_EQ(0, std::memcmp(out.data(), wanted.out.data() + t * width,
                                 static_cast<std::size_t>(rows_now * width) * sizeof(float)))
            << t;
    }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Bf16Attention,
                         testing::Values(AttentionShape{4, 4, 32}, AttentionShape{6, 2, 64}, AttentionShape{4, 2, 8},
                                         AttentionShape{5, 1, 20, 0.3F}, AttentionShape{2, 1, 128},
                                         AttentionShape{4, 2, 16, 0, 21}));

}  // namespace
}  // namespace tdrm::model::ops
