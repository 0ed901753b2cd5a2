#include "tdrm/engine/lora.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "../rollout/toy.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/words.hpp"

namespace tdrm::engine {
namespace {

using rollout::toy_tokens;

/// On every engine that this machine has.
class Lora : public testing::TestWithParam<DeviceKind> {
protected:
    static std::unique_ptr<Engine> toy_model(model::Head head = model::Head::language) {
        return rollout::toy_model(head, 1, GetParam());
    }
    /// How far gradients may lie apart, of their size: devices multiply bf16 numbers.
    static double rounding() { return GetParam() == DeviceKind::cpu ? 1e-5 : 1e-2; }
    /// Adapters that change something.
    static std::unique_ptr<Engine> adapted(model::Head head = model::Head::language);
};
INSTANTIATE_TEST_SUITE_P(All, Lora, testing::Values(DeviceKind::cpu, DeviceKind::emulated),
                         [](const auto& of) { return std::string(word_of(of.param)); });

const LoraOptions kOptions{.rank = 3, .alpha = 6};

std::vector<float> read(const Engine& engine, Array array) {
    std::vector<float> values(static_cast<std::size_t>(engine.num_parameters()));
    engine.read(array, 0, values);
    return values;
}

std::unique_ptr<Engine> Lora::adapted(model::Head head) {
    auto engine = with_adapters(toy_model(head), kOptions, 5);
    Random random(random_key(4, "adapters"));
    auto values = read(*engine, Array::weights);
    for (float& v : values) v += 0.1F * static_cast<float>(random.next_normal());
    engine->write(Array::weights, 0, values);
    return engine;
}

struct Batch {
    model::Forest forest;
    std::vector<std::int32_t> rows, targets;
};
Batch batch_of(int vocab) {
    Random random(random_key(3, "batch"));
    Batch batch;
    batch.forest.add(toy_tokens(random, 12, vocab), batch.forest.add(toy_tokens(random, 7, vocab)));
    for (std::int32_t i = 3; i < 18; ++i) batch.rows.push_back(i);
    batch.targets = toy_tokens(random, batch.rows.size(), vocab);
    return batch;
}

std::vector<float> logprobs(Engine& engine, const Batch& batch) {
    std::vector<float> logp(batch.rows.size()), entropy(logp.size());
    engine.token_logprobs(engine.forward(batch.forest, batch.rows, Keep::nothing), batch.targets, 1, logp, entropy);
    return logp;
}

void differentiate(Engine& engine, const Batch& batch) {
    engine.begin_unit();
    engine.token_loss(engine.forward(batch.forest, batch.rows, Keep::activations), batch.targets, 1,
                      [](int row, float, float) { return -0.1F * static_cast<float>(1 + row % 3); });
    engine.backward(batch.forest);
}

TEST_P(Lora, BeginsAsTheModelItself) {
    const auto plain = toy_model(), engine = with_adapters(toy_model(), kOptions, 5);
    const Batch batch = batch_of(plain->spec().vocab);
    EXPECT_EQ(logprobs(*engine, batch), logprobs(*plain, batch));
    EXPECT_LT(engine->num_parameters(), plain->num_parameters() / 2);
    const auto sizes = lora_sizes(plain->spec(), kOptions);
    EXPECT_EQ(sizes.learning, engine->num_parameters());
}

TEST_P(Lora, HasTheGradientOfItsFactors) {
    // dA = s B^T dW and dB = s dW A^T of the whole gradient at the merged weights.
    const auto engine = adapted();
    engine->begin_training({});
    const Batch batch = batch_of(engine->spec().vocab);
    const auto whole = make_engine(engine->spec(), GetParam());
    (void)logprobs(*engine, batch);  // merged
    whole->write(Array::weights, 0, read(*engine->body(), Array::weights));
    whole->begin_training({});
    differentiate(*engine, batch);
    differentiate(*whole, batch);
    const auto gradient = read(*engine, Array::gradient), values = read(*engine, Array::weights),
               dw = read(*whole, Array::gradient);
    double apart = 0, size = 0;
    const auto compare = [&](double found, double expected) {
        apart += (found - expected) * (found - expected);
        size += expected * expected;
    };
    int matrices = 0;
    for (const auto& a : engine->layout().tensors) {
        const auto at = a.name.find(".lora_A.");
        if (at == std::string::npos) continue;
        ++matrices;
        const auto named = [&](const model::Layout& layout, const std::string& name) {
            for (const auto& t : layout.tensors)
                if (t.name == name) return t;
            ADD_FAILURE() << name;
            return layout.tensors[0];
        };
        const auto b = named(engine->layout(), a.name.substr(0, at) + ".lora_B.weight");
        const auto w = named(whole->layout(), a.name.substr(0, at) + ".weight");
        const auto R = a.shape[0], K = a.shape[1], N = b.shape[0];
        const auto of = [](const std::vector<float>& from, const model::TensorInfo& t, std::int64_t i) {
            return static_cast<double>(from[static_cast<std::size_t>(t.offset + i)]);
        };
        for (std::int64_t r = 0; r < R; ++r) {
            for (std::int64_t k = 0; k < K; ++k) {
                double sum = 0;
                for (std::int64_t n = 0; n < N; ++n) sum += 2 * of(values, b, n * R + r) * of(dw, w, n * K + k);
                compare(of(gradient, a, r * K + k), sum);
            }
            for (std::int64_t n = 0; n < N; ++n) {
                double sum = 0;
                for (std::int64_t k = 0; k < K; ++k) sum += 2 * of(dw, w, n * K + k) * of(values, a, r * K + k);
                compare(of(gradient, b, n * R + r), sum);
            }
        }
    }
    EXPECT_GT(size, 1e-3);
    EXPECT_LT(std::sqrt(apart / size), rounding());
    EXPECT_GT(matrices, 6);
}

TEST_P(Lora, ChangesOnlyWhatLearnsAndSamplesFromIt) {
    const auto engine = adapted();
    comm::Communicator ranks;
    engine->begin_training({});
    const Batch batch = batch_of(engine->spec().vocab);
    const auto before = read(*engine->body(), Array::weights);
    engine->begin_update();
    differentiate(*engine, batch);
    (void)engine->end_unit("unit");
    EXPECT_GT(engine->reduce(ranks), 0);
    engine->update({.lr = 0.01}, ranks);
    const auto after = read(*engine->body(), Array::weights);
    for (const auto& tensor : engine->body()->layout().tensors) {
        const auto begin = static_cast<std::size_t>(tensor.offset), size = static_cast<std::size_t>(tensor.size());
        const bool same = std::equal(before.begin() + tensor.offset, before.begin() + tensor.offset + tensor.size(),
                                     after.begin() + tensor.offset);
        EXPECT_EQ(same, tensor.name.find("_proj.weight") == std::string::npos) << tensor.name << begin << size;
    }
    // A decoder made now draws with the new weights: its log-prob is the trainer's.
    Random random(random_key(9, "prompt"));
    const auto prompt = toy_tokens(random, 6, engine->spec().vocab);
    const auto decoder = engine->decoder(64, {});
    const int segment = decoder->open();
    decoder->prefill(std::vector<Append>{{segment, prompt}});
    const auto choice = decoder->draw(segment, Random(random_key(1, "draw")), 0);
    model::Forest forest;
    forest.add(prompt);
    std::vector<float> logp(1), entropy(1);
    engine->token_logprobs(engine->forward(forest, std::vector<std::int32_t>{5}, Keep::nothing),
                           std::vector<std::int32_t>{choice.token}, 1, logp, entropy);
    EXPECT_EQ(choice.logprob, logp[0]);
}

TEST_P(Lora, GoesOnFromItsNumbers) {
    const auto first = adapted(), second = with_adapters(toy_model(), kOptions, 99);
    comm::Communicator ranks;
    const Batch batch = batch_of(first->spec().vocab);
    const auto learn = [&](Engine& engine, std::int64_t update) {
        engine.begin_update();
        differentiate(engine, batch);
        (void)engine.end_unit("unit");
        (void)engine.reduce(ranks);
        engine.update({.lr = 0.01, .update = update}, ranks);
    };
    first->begin_training({});
    second->begin_training({});
    learn(*first, 0);
    for (const auto array : {Array::weights, Array::first_moment, Array::second_moment})
        second->write(array, 0, read(*first, array));
    EXPECT_EQ(read(*first->body(), Array::weights), read(*second->body(), Array::weights)) << "before it is asked";
    learn(*first, 1);
    learn(*second, 1);
    EXPECT_EQ(read(*first, Array::weights), read(*second, Array::weights));
    EXPECT_EQ(read(*first->body(), Array::weights), read(*second->body(), Array::weights));
}

TEST_P(Lora, TrainsTheHeadOfAValueModelWhole) {
    const auto engine = adapted(model::Head::value);
    engine->begin_training({});
    const Batch batch = batch_of(engine->spec().vocab);
    engine->begin_unit();
    const std::vector<std::int32_t> rows{4, 9, 15};
    const Rows states = engine->forward(batch.forest, rows, Keep::activations);
    engine->value_loss(states, std::vector<float>{1, -1, 0.5F});
    engine->backward(batch.forest);
    const auto gradient = read(*engine, Array::gradient);
    const auto& head = engine->layout().tensors.back();
    EXPECT_EQ(head.name, "score.weight");
    EXPECT_NE(gradient[static_cast<std::size_t>(head.offset)], 0);
}

TEST_P(Lora, TrainsALanguageHeadWholeBesideAdaptersOrAlone) {
    for (const int rank : {0, 3}) {
        const auto engine = with_adapters(toy_model(), {.rank = rank, .alpha = 6, .head = true}, 5);
        const auto whole = toy_model();
        const model::TensorInfo& head = engine->layout().tensors.back();
        ASSERT_EQ(head.name, "lm_head.weight");
        EXPECT_EQ(engine->num_parameters() == head.size(), rank == 0);
        const Batch batch = batch_of(engine->spec().vocab);
        engine->begin_training({});
        whole->begin_training({});
        engine->begin_update();
        differentiate(*engine, batch);
        differentiate(*whole, batch);
        std::vector<float> gradient(static_cast<std::size_t>(head.size())), expected(gradient.size());
        engine->read(Array::gradient, head.offset, gradient);
        whole->read(Array::gradient, whole->layout().head, expected);
        EXPECT_EQ(gradient, expected) << "before the first update adapters change nothing";
        (void)engine->end_unit("unit");
        comm::Communicator ranks;
        engine->collect(ranks);
        (void)engine->reduce(ranks);
        engine->update({.lr = 0.01}, ranks);
        const auto before = read(*whole, Array::weights), after = read(*engine->body(), Array::weights);
        for (const model::TensorInfo& tensor : whole->layout().tensors) {
            const auto at = tensor.offset;
            const bool same = std::equal(before.begin() + at, before.begin() + at + tensor.size(), after.begin() + at);
            const bool learns = tensor.name == "lm_head.weight" || (rank > 0 && tensor.name.ends_with("proj.weight"));
            EXPECT_EQ(same, !learns) << tensor.name;
        }
    }
}

TEST_P(Lora, RefusesAHeadThatIsTheEmbedding) {
    auto spec = toy_model()->spec();
    spec.tied = true;
    EXPECT_THROW((void)with_adapters(make_engine(spec.resolved(), GetParam()), {.head = true}, 5), ConfigError);
}

TEST_P(Lora, RefusesWhatIsNoTargetOrNoLowRank) {
    const auto refused = [](LoraOptions options) {
        try {
            (void)with_adapters(toy_model(), options, 1);
            return std::string();
        } catch (const ConfigError& error) {
            return std::string(error.what());
        }
    };
    EXPECT_NE(refused({.rank = 2, .alpha = 1, .targets = {"q_porj"}}).find("q_porj"), std::string::npos);
    EXPECT_NE(refused({.rank = 1000, .alpha = 1, .targets = {"q_proj"}}).find("1000"), std::string::npos);
    EXPECT_EQ(with_adapters(toy_model(), {}, 1)->body(), nullptr) << "rank 0";
}

}  // namespace
}  // namespace tdrm::engine
