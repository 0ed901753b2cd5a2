#include "tdrm/model/transformer.hpp"

#include <gtest/gtest.h>

#include <numeric>

#include "oracle.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/random.hpp"
#include "tdrm/model/read_out.hpp"

namespace tdrm::model {
namespace {

ModelSpec small_spec(int kv_heads = 2, int head_dim = 8) {
    ModelSpec spec;
    spec.vocab = 37;
    spec.layers = 2;
    spec.width = 24;
    spec.heads = 4;
    spec.kv_heads = kv_heads;
    spec.head_dim = head_dim;
    spec.ffn = 40;
    return spec.resolved();
}

std::vector<std::int32_t> random_tokens(Random& random, int n, int vocab) {
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(n));
    for (auto& token : tokens) token = static_cast<std::int32_t>(random.next_below(static_cast<std::uint64_t>(vocab)));
    return tokens;
}

/// A prompt with three answers, probes at several cuts of them, a nested branch, and a lone root.
Forest bushy_forest(int vocab, std::uint64_t seed) {
    Random random(random_key(seed, "forest"));
    Forest forest;
    const int prompt = forest.add(random_tokens(random, 21, vocab));
    for (const int length : {5, 33, 18}) {
        const int answer = forest.add(random_tokens(random, length, vocab), prompt);
        for (const int cut : {2, length}) forest.add(random_tokens(random, 2, vocab), answer, cut);
    }
    const int deep = forest.add(random_tokens(random, 4, vocab), 2, 1);
    forest.add(random_tokens(random, 3, vocab), deep, 0);
    forest.add(random_tokens(random, 9, vocab));
    return forest;
}

std::vector<std::int32_t> all_rows(const Forest& forest) {
    std::vector<std::int32_t> rows(static_cast<std::size_t>(forest.num_tokens()));
    std::iota(rows.begin(), rows.end(), 0);
    return rows;
}

ModelSpec variant(void (*change)(ModelSpec&)) {
    ModelSpec spec = small_spec();
    change(spec);
    return spec.resolved();
}

/// Norms and biases away from one and zero, so that a forgotten one shows.
void disturb_vectors(Model& model) {
    Random random(random_key(8, "vectors"));
    for (const TensorInfo& info : model.layout().tensors)
        for (std::int64_t i = 0; info.is_vector() && i < info.size(); ++i)
            model.values()[static_cast<std::size_t>(info.offset + i)] +=
                0.2F * static_cast<float>(random.next_normal());
}

class EngineAgainstTwin : public testing::TestWithParam<ModelSpec> {};

TEST_P(EngineAgainstTwin, HiddenStatesAndAllGradientsAgree) {
    Model model(GetParam());
    initial_weights(model.spec(), 3, model.sink());
    disturb_vectors(model);
    const Forest forest = bushy_forest(model.spec().vocab, 5);
    const auto rows = all_rows(forest);
    const auto width = static_cast<std::int64_t>(model.spec().width);

    Workspace work;
    Transformer engine(model);
    const float* hidden = engine.forward(forest, rows, work, true);
    const auto ours = at::from_blob(const_cast<float*>(hidden), {forest.num_tokens(), width}, at::kFloat).clone();
    const auto weights = at::randn({forest.num_tokens(), width}, at::TensorOptions(at::kFloat));
    std::vector<float> gradient(static_cast<std::size_t>(model.num_parameters()), 0.0F);
    engine.backward(forest, rows, weights.data_ptr<float>(), gradient.data(), work);

    Oracle oracle(model);
    const auto expected = oracle.forward(forest);
    (expected * weights.to(at::kDouble)).sum().backward();
    EXPECT_LT((ours - expected.detach()).abs().max().item<double>(), 2e-5);
    const auto got = at::from_blob(gradient.data(), {model.num_parameters()}, at::kFloat).to(at::kDouble);
    for (const TensorInfo& info : model.layout().tensors) {
        const auto want = oracle.gradient().narrow(0, info.offset, info.size());
        const auto have = got.narrow(0, info.offset, info.size());
        EXPECT_LT((have - want).norm().item<double>(), 1e-5 * (1 + want.norm().item<double>())) << info.name;
    }
}

INSTANTIATE_TEST_SUITE_P(HeadShapes, EngineAgainstTwin,
                         testing::Values(small_spec(2, 8), small_spec(4, 16), small_spec(1, 32), small_spec(2, 20)));
INSTANTIATE_TEST_SUITE_P(
    Families, EngineAgainstTwin,
    testing::Values(variant([](ModelSpec& s) { s.qkv_bias = s.output_bias = s.tied = true; }),
                    variant([](ModelSpec& s) {
                        s.rope_scaling = {.kind = RopeKind::llama3, .factor = 8, .original_positions = 64};
                    }),
                    variant([](ModelSpec& s) { s.family = Family::qwen2, s.qkv_bias = true, s.head_dim = 16; }),
                    variant([](ModelSpec& s) { s.family = Family::glm4, s.qkv_bias = true, s.rotary_dim = 4; })));

/// Each feature of the table, with windows that end within a tile, at its edge and behind it.
ModelSpec with_window(Family family, int window, std::vector<int> global) {
    ModelSpec spec = small_spec();
    spec.family = family;
    spec.window = window;
    spec.global_layers = std::move(global);
    return spec.resolved();
}

INSTANTIATE_TEST_SUITE_P(
    Features, EngineAgainstTwin,
    testing::Values(variant([](ModelSpec& s) { s.family = Family::qwen3, s.qkv_bias = s.output_bias = true; }),
                    variant([](ModelSpec& s) { s.family = Family::smollm3, s.unrotated_layers = {1}; }),
                    variant([](ModelSpec& s) { s.family = Family::phi3, s.rotary_dim = 6; }), variant([](ModelSpec& s) {
                        s.family = Family::granite, s.embedding_scale = 3, s.residual_scale = 0.4;
                        s.attention_scale = 0.2, s.logit_divisor = 2.5;
                    }),
                    variant([](ModelSpec& s) { s.family = Family::olmo2, s.residual_scale = 0.7; }),
                    variant([](ModelSpec& s) {
                        s.family = Family::ministral3, s.query_growth = 0.1;
                        s.rope_scaling = {
                            .kind = RopeKind::yarn, .factor = 4, .original_positions = 16, .magnitude = 1.2};
                    })));
INSTANTIATE_TEST_SUITE_P(Windows, EngineAgainstTwin,
                         testing::Values(with_window(Family::mistral, 1, {}), with_window(Family::mistral, 5, {}),
                                         with_window(Family::mistral, 16, {0}), with_window(Family::qwen3, 23, {1}),
                                         with_window(Family::gemma3, 8, {1}), with_window(Family::olmo3, 33, {0})));

/// Families whose cached attention differs: windows, heads that are normed, lengths that change the rotation.
class CacheAgainstForest : public testing::TestWithParam<ModelSpec> {};

/// How far cached passes are from a pass over the forest: the largest difference of hidden states.
float cache_against_forest(const ModelSpec& spec, Products products) {
    Model model(spec, products);
    initial_weights(model.spec(), 3, model.sink());
    disturb_vectors(model);
    Random random(random_key(4, "cached"));
    const auto prompt = random_tokens(random, 37, model.spec().vocab);
    const auto answer = random_tokens(random, 21, model.spec().vocab);
    const auto width = static_cast<std::size_t>(model.spec().width);
    Forest forest;
    const int root = forest.add(prompt);
    forest.add(answer, root);
    Workspace work;
    Transformer engine(model);
    const auto rows = all_rows(forest);
    const float* states = engine.forward(forest, rows, work, false);
    const std::vector<float> expected(states, states + rows.size() * width);

    KvCache cache(model.spec(), 1000, products);
    const int first = cache.open(), second = cache.open(first);
    const auto extend = [&](int segment, std::span<const std::int32_t> tokens) {
        const std::vector<std::int32_t> segments(tokens.size(), segment);
        std::vector<std::int32_t> all(tokens.size());
        std::iota(all.begin(), all.end(), 0);
        const float* hidden = engine.extend(cache, tokens, segments, all, work);
        return std::vector<float>(hidden, hidden + tokens.size() * width);
    };
    std::vector<float> got = extend(first, prompt);
    for (std::size_t t = 0; t < answer.size(); t += t < 4 ? 1 : 7) {  // token by token, then in pieces
        const auto part =
            extend(second, std::span(answer).subspan(t, std::min<std::size_t>(t < 4 ? 1 : 7, answer.size() - t)));
        got.insert(got.end(), part.begin(), part.end());
    }
    EXPECT_EQ(got.size(), expected.size());
    float largest = 0;
    for (std::size_t i = 0; i < got.size(); ++i) largest = std::max(largest, std::abs(got[i] - expected[i]));
    return largest;
}

TEST_P(CacheAgainstForest, HiddenStatesAreThoseOfTheForest) {
    EXPECT_LE(cache_against_forest(GetParam(), Products::fp32), 1e-5F);
}

TEST_P(CacheAgainstForest, InBf16TheyHaveTheSameBits) {
    if (ops::bf16_unit() == ops::Bf16Unit::none) GTEST_SKIP() << "this processor has neither AMX nor AVX512-BF16";
    EXPECT_EQ(cache_against_forest(GetParam(), Products::bf16), 0);
}

INSTANTIATE_TEST_SUITE_P(Features, CacheAgainstForest,
                         testing::Values(small_spec(), with_window(Family::mistral, 1, {}),
                                         with_window(Family::mistral, 5, {}), with_window(Family::mistral, 16, {0}),
                                         with_window(Family::gemma3, 40, {1}), with_window(Family::olmo3, 17, {}),
                                         variant([](ModelSpec& s) { s.family = Family::olmo2; }),
                                         variant([](ModelSpec& s) {
                                             s.rope_scaling = {.kind = RopeKind::longrope,
                                                               .original_positions = 30,
                                                               .magnitude = 1.1,
                                                               .short_factors = {1, 1, 1.2, 1.3},
                                                               .long_factors = {1.5, 2, 3, 4}};
                                         })));

ModelSpec stretched(RopeKind kind, int original) {
    ModelSpec spec = small_spec();
    spec.rope_scaling = {.kind = kind,
                         .factor = 2,
                         .original_positions = original,
                         .short_factors = {1, 1, 1.2, 1.3},
                         .long_factors = {1.5, 2, 3, 4}};
    return spec.resolved();
}

TEST(LengthOfATree, DecidesHowItTurnsAndNothingElseDoes) {
    for (const RopeKind kind : {RopeKind::longrope, RopeKind::dynamic}) {
        Model model(stretched(kind, 20));
        initial_weights(model.spec(), 3, model.sink());
        Random random(random_key(4, "tree"));
        const auto prompt = random_tokens(random, 12, model.spec().vocab);
        const auto long_answer = random_tokens(random, 11, model.spec().vocab);
        const auto width = static_cast<std::size_t>(model.spec().width);
        const auto first_states = [&](const Forest& forest, int token) {
            Workspace work;
            Transformer engine(model);
            const std::vector<std::int32_t> row{token};
            const float* hidden = engine.forward(forest, row, work, false);
            return std::vector<float>(hidden, hidden + width);
        };
        Forest alone, with_answer, among;
        alone.add(prompt);
        with_answer.add(prompt);
        with_answer.add(long_answer, 0);
        among.add(random_tokens(random, 40, model.spec().vocab));
        among.add(prompt);
        EXPECT_EQ(first_states(alone, 11), first_states(among, 51));
        EXPECT_NE(first_states(alone, 11), first_states(with_answer, 11));
    }
}

TEST(LengthOfATree, MustNotChangeWhileItIsDecoded) {
    for (const RopeKind kind : {RopeKind::longrope, RopeKind::dynamic})
        for (const int length : {19, 20, 21}) {
            Model model(stretched(kind, 20));
            initial_weights(model.spec(), 3, model.sink());
            KvCache cache(model.spec(), 1000);
            const int root = cache.open(), leaf = cache.open(root);
            Workspace work;
            Transformer engine(model);
            const auto extend = [&](int segment, int tokens) {
                const std::vector<std::int32_t> ids(static_cast<std::size_t>(tokens), 5);
                const std::vector<std::int32_t> segments(ids.size(), segment), row{0};
                (void)engine.extend(cache, ids, segments, row, work);
            };
            if (kind == RopeKind::dynamic && length > 20) {
                EXPECT_THROW(extend(root, length), DataError);
                continue;
            }
            extend(root, length);
            if (length == 19) extend(leaf, 1);
            if (length <= 20) {
                EXPECT_THROW(extend(leaf, 1), DataError) << length;
            } else {
                extend(leaf, 5);
            }
        }
}

TEST(LanguageHead, LogProbabilitiesEntropiesAndGradientsAgreeWithAutograd) {
    Model model(small_spec());
    initial_weights(model.spec(), 3, model.sink());
    const Forest forest = bushy_forest(model.spec().vocab, 5);
    const auto rows = all_rows(forest);
    Random random(random_key(1, "targets"));
    const auto targets = random_tokens(random, forest.num_tokens(), model.spec().vocab);
    const float temperature = 0.7F;
    Workspace work;
    Transformer engine(model);
    const float* hidden = engine.forward(forest, rows, work, true);
    std::vector<float> gradient(static_cast<std::size_t>(model.num_parameters()), 0.0F);
    std::vector<float> d_hidden(rows.size() * 24), logp(rows.size()), entropy(rows.size());
    token_loss(
        model, hidden, targets, temperature,
        [&](int row, float row_logp, float row_entropy) {
            logp[static_cast<std::size_t>(row)] = row_logp;
            entropy[static_cast<std::size_t>(row)] = row_entropy;
            return -0.1F * static_cast<float>(row % 7);
        },
        d_hidden.data(), gradient.data(), work);
    engine.backward(forest, rows, d_hidden.data(), gradient.data(), work);

    Oracle oracle(model);
    const auto log_probs = at::log_softmax(
        oracle.forward(forest).matmul(oracle.parameter("lm_head.weight").t()) / static_cast<double>(temperature), -1);
    const auto ids = at::tensor(std::vector<std::int64_t>(targets.begin(), targets.end())).unsqueeze(1);
    const auto chosen = log_probs.gather(1, ids).squeeze(1);
    const auto coefficient = at::arange(forest.num_tokens(), at::kDouble).remainder(7) * -0.1;
    (chosen * coefficient).sum().backward();
    const auto ours = at::from_blob(logp.data(), {forest.num_tokens()}, at::kFloat);
    EXPECT_LT((ours - chosen.detach()).abs().max().item<double>(), 1e-5);
    const auto true_entropy = -(log_probs.exp() * log_probs).sum(-1).detach();
    EXPECT_LT(
        (at::from_blob(entropy.data(), {forest.num_tokens()}, at::kFloat) - true_entropy).abs().max().item<double>(),
        1e-5);
    const auto got = at::from_blob(gradient.data(), {model.num_parameters()}, at::kFloat).to(at::kDouble);
    EXPECT_LT((got - oracle.gradient()).norm().item<double>(), 1e-5 * oracle.gradient().norm().item<double>());
}

TEST(ValueHead, GradientsAgreeWithAutograd) {
    ModelSpec spec = small_spec();
    spec.head = Head::value;
    Model model(spec);
    initial_weights(model.spec(), 3, model.sink());
    for (std::int64_t i = 0; i < spec.width; ++i)
        model.values()[static_cast<std::size_t>(model.layout().head + i)] = 0.01F * static_cast<float>(i);
    const Forest forest = bushy_forest(spec.vocab, 6);
    const std::vector<std::int32_t> rows{3, 40, 41, 77};
    Workspace work;
    Transformer engine(model);
    const float* hidden = engine.forward(forest, rows, work, true);
    std::vector<float> logits(rows.size()), d_hidden(rows.size() * 24);
    value_logits(model, hidden, static_cast<int>(rows.size()), logits.data());
    std::vector<float> gradient(static_cast<std::size_t>(model.num_parameters()), 0.0F);
    const std::vector<float> d_logits{1.0F, -2.0F, 0.5F, 3.0F};
    value_backward(model, hidden, d_logits, d_hidden.data(), gradient.data());
    engine.backward(forest, rows, d_hidden.data(), gradient.data(), work);

    Oracle oracle(model);
    const auto index = at::tensor(std::vector<std::int64_t>(rows.begin(), rows.end()));
    const auto values =
        oracle.forward(forest).index_select(0, index).matmul(oracle.parameter("score.weight").t()).squeeze(1);
    (values * at::tensor(std::vector<double>{1, -2, 0.5, 3})).sum().backward();
    EXPECT_LT((at::from_blob(logits.data(), {4}, at::kFloat) - values.detach()).abs().max().item<double>(), 1e-5);
    const auto got = at::from_blob(gradient.data(), {model.num_parameters()}, at::kFloat).to(at::kDouble);
    EXPECT_LT((got - oracle.gradient()).norm().item<double>(), 1e-5 * oracle.gradient().norm().item<double>());
}

TEST(Engine, RowOfAMatrixProductHasTheSameBitsForAnyNumberOfRows) {
    // The promise behind "the same answer in any batch". The narrow products cover every row count, the others rows
    // beyond what the kernel holds at once.
    Random random(random_key(2, "gemm"));
    for (const auto& [n, k] : {std::pair{37, 24}, std::pair{128, 384}, std::pair{161, 1024}}) {
        const int rows = 601;
        std::vector<float> x(static_cast<std::size_t>(rows * k)), w(static_cast<std::size_t>(n * k));
        for (auto& v : x) v = static_cast<float>(random.next_normal());
        for (auto& v : w) v = static_cast<float>(random.next_normal());
        ops::PackedMatrix packed;
        packed.pack(w.data(), n, k);
        const auto area = static_cast<std::size_t>(rows * n);
        std::vector<float> start(area), whole(area), part(area);
        for (auto& v : start) v = static_cast<float>(random.next_normal());
        for (const float beta : {0.0F, 1.0F}) {
            whole = start;
            ops::gemm_nt(whole.data(), x.data(), packed, rows, beta);
            for (int m = 1; m <= 600; m += n == 37 ? 1 : 61) {
                // The last m rows, so that each row is met at many places of a tile.
                const int first = rows - m;
                part = start;
                ops::gemm_nt(part.data() + first * n, x.data() + first * k, packed, m, beta);
                ASSERT_EQ(0, std::memcmp(part.data() + first * n, whole.data() + first * n,
                                         sizeof(float) * static_cast<std::size_t>(m * n)))
                    << m << " rows, width " << n << ", beta " << beta;
            }
        }
        const auto at_x = at::from_blob(x.data(), {rows, k}, at::kFloat).to(at::kDouble);
        const auto at_w = at::from_blob(w.data(), {n, k}, at::kFloat).to(at::kDouble);
        const auto expected = at_x.matmul(at_w.t()) + at::from_blob(start.data(), {rows, n}, at::kFloat);
        EXPECT_LT((at::from_blob(whole.data(), {rows, n}, at::kFloat) - expected).abs().max().item<double>(), 1e-3);
    }
}

TEST(Engine, ShortForestGivesTheSameBitsAloneAndAmongOthers) {
    Model model(small_spec());
    initial_weights(model.spec(), 3, model.sink());
    Random random(random_key(4, "tokens"));
    const auto tokens = random_tokens(random, 5, model.spec().vocab);
    Forest alone;
    alone.add(tokens);
    Forest among = bushy_forest(model.spec().vocab, 7);
    const int begin = among.num_tokens();
    among.add(tokens);
    Workspace work;
    Transformer engine(model);
    const std::vector<std::int32_t> row_alone{4}, row_among{begin + 4};
    const float* hidden = engine.forward(alone, row_alone, work, false);
    const std::vector<float> first(hidden, hidden + model.spec().width);
    hidden = engine.forward(among, row_among, work, false);
    EXPECT_EQ(0, std::memcmp(first.data(), hidden, first.size() * sizeof(float)));
}

}  // namespace
}  // namespace tdrm::model
