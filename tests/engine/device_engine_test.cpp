// Engines that multiply bf16 numbers, the emulated device and processors with AMX or AVX512-BF16, against fp32: what it
// costs, and which bits are promised.

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <tuple>

#include "../../src/engine/small_models.hpp"
#include "tdrm/base/bfloat16.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/engine/devices.hpp"

namespace tdrm::engine {
namespace {

/// Where an engine computes.
enum class Place { fp32, emulated, bf16 };
/// All but fp32 that there are.
std::vector<Place> places() {
    std::vector<Place> there{Place::emulated};
    if (model::ops::bf16_unit() != model::ops::Bf16Unit::none) there.push_back(Place::bf16);
    return there;
}

std::unique_ptr<Engine> empty_engine(const model::ModelSpec& spec, Place place) {
    if (place == Place::emulated) return make_engine(spec, DeviceKind::emulated);
    use_device(DeviceKind::cpu, place == Place::bf16 ? model::Products::bf16 : model::Products::fp32);
    auto engine = make_engine(spec);
    use_device(DeviceKind::cpu);
    return engine;
}

std::unique_ptr<Engine> engine_of(const model::ModelSpec& spec, Place place, std::uint64_t seed = 1) {
    auto engine = empty_engine(spec, place);
    write_random_weights(*engine, seed);
    return engine;
}

std::vector<float> read(const Engine& engine, Array array) {
    std::vector<float> values(static_cast<std::size_t>(engine.num_parameters()));
    engine.read(array, 0, values);
    return values;
}

struct Scores {
    std::vector<float> logp, entropy;
};
Scores score(Engine& engine, const model::Forest& forest, std::span<const std::int32_t> targets) {
    Scores scores{std::vector<float>(targets.size()), std::vector<float>(targets.size())};
    engine.token_logprobs(engine.forward(forest, all_rows(forest), Keep::nothing), targets, 0.9F, scores.logp,
                          scores.entropy);
    return scores;
}

class Families : public testing::TestWithParam<std::tuple<model::Family, Place>> {
protected:
    [[nodiscard]] static model::Family family() { return std::get<0>(GetParam()); }
    [[nodiscard]] static Place place() { return std::get<1>(GetParam()); }
};
std::vector<model::Family> families() {
    std::vector<model::Family> all;
    for (const model::FamilyRow& row : model::kFamilies) all.push_back(row.family);
    return all;
}
std::string name_of(const testing::TestParamInfo<std::tuple<model::Family, Place>>& of) {
    return std::string(row_of(std::get<0>(of.param)).model_type) +
           (std::get<1>(of.param) == Place::emulated ? "_emulated" : "_bf16");
}
INSTANTIATE_TEST_SUITE_P(All, Families, testing::Combine(testing::ValuesIn(families()), testing::ValuesIn(places())),
                         name_of);

/// Of the places that there are.
class Places : public testing::TestWithParam<Place> {};
INSTANTIATE_TEST_SUITE_P(All, Places, testing::ValuesIn(places()));

TEST_P(Families, LogProbabilitiesLieWithinTheRoundingOfBf16) {
    const auto spec = small_model(family());
    const auto cpu = engine_of(spec, Place::fp32), device = engine_of(spec, place());
    const auto forest = bushy_forest(spec.vocab, 1);
    Random random(random_key(2, "targets"));
    const auto targets = random_tokens(random, static_cast<std::size_t>(forest.num_tokens()), spec.vocab);
    const Scores expected = score(*cpu, forest, targets), scores = score(*device, forest, targets);
    EXPECT_LT(rms(scores.logp, expected.logp), 0.05) << "nats";
    EXPECT_LT(rms(scores.entropy, expected.entropy), 0.05) << "nats";
    std::vector<float> logits(static_cast<std::size_t>(spec.vocab)), reference(logits.size());
    device->token_logits(device->forward(forest, std::vector<std::int32_t>{40}, Keep::nothing), 0, logits);
    cpu->token_logits(cpu->forward(forest, std::vector<std::int32_t>{40}, Keep::nothing), 0, reference);
    EXPECT_LT(rms(logits, reference), 0.05);
}

void expect_near_gradients(const Engine& device, const Engine& cpu) {
    const auto got = read(device, Array::gradient), expected = read(cpu, Array::gradient);
    EXPECT_GT(cosine(got, expected), 0.999);
    const WorstTensor worst = worst_tensor(cpu.layout(), got, expected);
    EXPECT_GT(worst.cosine, 0.99) << worst.name;
}

TEST_P(Families, GradientsOfTokensPointWhereThoseOfProcessorsDo) {
    const auto spec = small_model(family());
    const auto cpu = engine_of(spec, Place::fp32), device = engine_of(spec, place());
    const auto forest = bushy_forest(spec.vocab, 1);
    Random random(random_key(2, "targets"));
    auto rows = all_rows(forest);
    rows.push_back(20);  // the prompt's last token says the first of several answers
    rows.push_back(20);
    const auto targets = random_tokens(random, rows.size(), spec.vocab);
    for (Engine* engine : {cpu.get(), device.get()}) {
        engine->begin_training({});
        engine->begin_update();
        engine->begin_unit();
        engine->token_loss(engine->forward(forest, rows, Keep::activations), targets, 0.8F,
                           [](int row, float, float) { return -0.02F * static_cast<float>(1 + row % 5); });
        engine->backward(forest);
    }
    expect_near_gradients(*device, *cpu);
    const double norm = std::sqrt(device->end_unit("unit")), expected = std::sqrt(cpu->end_unit("unit"));
    EXPECT_NEAR(norm, expected, 0.02 * expected);
}

/// After two units, the second of which came when the first was summed over the ranks.
std::vector<float> gradient_of_update(const model::ModelSpec& spec, UnitGradient gradient) {
    const auto device = engine_of(spec, Place::emulated);
    const auto forest = bushy_forest(spec.vocab, 1);
    Random random(random_key(2, "targets"));
    const auto rows = all_rows(forest);
    const auto targets = random_tokens(random, rows.size(), spec.vocab);
    TrainingSetup setup;
    setup.gradient = gradient;
    setup.shard.part = 10'000;  // cuts layers in the middle
    device->begin_training(setup);
    comm::Communicator ranks;
    device->begin_update();
    for (int unit = 0; unit < 2; ++unit) {
        device->begin_unit();
        device->token_loss(device->forward(forest, rows, Keep::activations), targets, 1,
                           [&](int row, float, float) { return -0.02F * static_cast<float>(1 + (row + unit) % 5); });
        device->backward(forest);
        (void)device->end_unit("unit");
        device->collect(ranks);
    }
    EXPECT_GT(device->reduce(ranks), 0);
    return read(*device, Array::gradient);
}

TEST_P(Families, LayersAddUpToTheWholeGradient) {
    if (place() != Place::emulated) return;  // processors keep everything
    auto spec = small_model(family());
    const auto whole = gradient_of_update(spec, UnitGradient::whole);
    EXPECT_GT(std::count_if(whole.begin(), whole.end(), [](float x) { return x != 0; }), std::ssize(whole) / 2);
    EXPECT_EQ(gradient_of_update(spec, UnitGradient::by_layer), whole);
}

TEST_P(Families, WhatIsComputedAgainHasTheBitsOfWhatWasKept) {
    if (place() != Place::emulated) return;  // processors keep everything
    const auto spec = small_model(family());
    const auto forest = bushy_forest(spec.vocab, 1);
    Random random(random_key(2, "targets"));
    const auto rows = all_rows(forest);
    const auto targets = random_tokens(random, rows.size(), spec.vocab);
    std::vector<float> kept;
    for (const Recompute recompute : {Recompute::none, Recompute::ffn, Recompute::block}) {
        const auto device = engine_of(spec, place());
        TrainingSetup setup;
        setup.recompute = recompute;
        device->begin_training(setup);
        for (int unit = 0; unit < 2; ++unit) {  // the second after a pass that keeps nothing
            device->begin_unit();
            device->token_loss(device->forward(forest, rows, Keep::activations), targets, 1,
                               [](int row, float, float) { return -0.02F * static_cast<float>(1 + row % 5); });
            device->backward(forest);
            const auto gradient = read(*device, Array::gradient);
            if (kept.empty()) kept = gradient;
            EXPECT_EQ(gradient, kept);
            (void)device->forward(forest, std::vector<std::int32_t>{7}, Keep::nothing);
        }
    }
}

TEST_P(Families, ValuesAndTheirGradientsDoToo) {
    const auto spec = small_model(family(), model::Head::value);
    const auto cpu = engine_of(spec, Place::fp32), device = engine_of(spec, place());
    const auto forest = bushy_forest(spec.vocab, 1);
    const std::vector<std::int32_t> rows{3, 40, 41, 77, 100};
    std::vector<std::vector<float>> values;
    for (Engine* engine : {cpu.get(), device.get()}) {
        engine->begin_training({});
        engine->begin_unit();
        const Rows of = engine->forward(forest, rows, Keep::activations);
        values.emplace_back(rows.size());
        engine->values(of, {}, values.back());
        engine->value_loss(of, std::vector<float>{1, -2, 0.5F, 3, -1});
        engine->backward(forest);
    }
    EXPECT_LT(rms(values[1], values[0]), 2e-2);
    expect_near_gradients(*device, *cpu);
}

TEST(DeviceEngine, ReadsValueHeadsOfAnyShape) {
    for (const int labels : {1, 2, 5})
        for (const bool hidden : {false, true}) {
            auto spec = small_model(model::Family::llama, model::Head::value);
            spec.value_head.labels = labels;
            spec.value_head.hidden = hidden;
            spec.value_head.bias = true;
            if (labels == 1) spec.value_head.mean = 0.25, spec.value_head.std = 2;
            if (labels == 2) spec.value_head.bins = {0, 1};
            if (labels == 5) spec.value_head.bins = {0, 0.25, 0.5, 0.75, 1};
            const auto cpu = engine_of(spec, Place::fp32), device = engine_of(spec, Place::emulated);
            const auto forest = bushy_forest(spec.vocab, 1);
            const std::vector<std::int32_t> rows{3, 40, 41, 77, 100};
            model::ReadOut given;
            if (labels == 5) given.bins = {0, 0, 0.1, 0.2, 1};
            for (const model::ReadOut& read_out : {model::ReadOut{}, given}) {
                std::vector<float> values(rows.size()), expected(rows.size());
                cpu->values(cpu->forward(forest, rows, Keep::nothing), read_out, expected);
                device->values(device->forward(forest, rows, Keep::nothing), read_out, values);
                EXPECT_LT(rms(values, expected), 2e-2) << labels << " labels, hidden layer " << hidden;
            }
        }
}

/// Values of one pass by a forest and by a decoder, cut into the same segments.
TEST_P(Families, DecodingHasTheForestsBitsAtEqualSegmentation) {
    const auto spec = small_model(family());
    const auto engine = engine_of(spec, place());
    Random random(random_key(4, "tokens"));
    const auto prompt = random_tokens(random, 37, spec.vocab), answer = random_tokens(random, 41, spec.vocab);
    model::Forest forest;
    forest.add(answer, forest.add(prompt));
    std::vector<std::int32_t> rows(answer.size() - 1);
    std::iota(rows.begin(), rows.end(), 37);
    const std::vector<std::int32_t> targets(answer.begin() + 1, answer.end());
    std::vector<float> logp(rows.size()), entropy(rows.size());
    engine->token_logprobs(engine->forward(forest, rows, Keep::nothing), targets, 1, logp, entropy);

    const auto decoder = engine->decoder(400, {.top_k = 1});
    const int whole = decoder->open(), part = decoder->open(whole), other = decoder->open(whole);
    decoder->prefill(std::vector<Append>{{whole, prompt}});
    decoder->prefill(std::vector<Append>{{part, std::span(answer).first(5)}, {other, std::span(answer).subspan(9, 7)}});
    model::ReadOut compare;  // a logit difference of the language head shows all bits of a row
    compare.tag = {0};
    compare.positive = 5;
    compare.negative = 9;
    std::vector<float> forest_values(rows.size()), value(1);
    engine->values(engine->forward(forest, rows, Keep::nothing), compare, forest_values);
    for (std::size_t t = 5; t + 1 < answer.size(); ++t) {
        const std::vector<std::int32_t> last{0};
        decoder->values(std::vector<Append>{{part, std::span(answer).subspan(t, 1)}}, last, compare, value);
        ASSERT_EQ(value[0], forest_values[t]) << "token " << t << " by steps";
    }
    const int again = decoder->open(whole);
    decoder->values(std::vector<Append>{{again, std::span(answer).first(30)}}, std::vector<std::int32_t>{0}, compare,
                    value);
    EXPECT_EQ(value[0], forest_values[29]) << "in one run";
}

TEST_P(Places, ASampledLogProbabilityHasTheTrainersBits) {
    const auto spec = small_model(model::Family::llama);
    const auto engine = engine_of(spec, GetParam());
    Random random(random_key(5, "tokens"));
    const auto prompt = random_tokens(random, 19, spec.vocab);
    const auto decoder = engine->decoder(200, {.temperature = 0.7});
    const int root = decoder->open(), answer = decoder->open(root);
    decoder->prefill(std::vector<Append>{{root, prompt}});
    const Random draws(random_key(6, "draw"));
    std::vector<Choice> choices{decoder->draw(root, draws, 0)};
    for (std::uint64_t t = 1; t < 20; ++t) {
        const DecodeStep step{answer, choices.back().token, draws, t};
        choices.push_back(decoder->step({&step, 1})[0]);
    }
    model::Forest forest;
    std::vector<std::int32_t> tokens, rows{18};
    for (const Choice& choice : choices) tokens.push_back(choice.token);
    forest.add(tokens, forest.add(prompt));
    for (std::int32_t t = 0; t + 1 < std::ssize(tokens); ++t) rows.push_back(19 + t);
    std::vector<float> logp(rows.size()), entropy(rows.size());
    engine->token_logprobs(engine->forward(forest, rows, Keep::nothing), tokens, 0.7F, logp, entropy);
    for (std::size_t i = 0; i < choices.size(); ++i) EXPECT_EQ(choices[i].logprob, logp[i]) << i;
}

TEST_P(Places, AnAnswerIsTheSameInAnyCompany) {
    const auto spec = small_model(model::Family::qwen2);
    const auto engine = engine_of(spec, GetParam());
    Random random(random_key(7, "tokens"));
    std::vector<std::vector<std::int32_t>> prompts;
    for (const std::size_t length : {9UL, 17UL, 40UL}) prompts.push_back(random_tokens(random, length, spec.vocab));
    /// Answers of prompts[which], all stepped together.
    const auto answers = [&](const std::vector<std::size_t>& which) {
        const auto decoder = engine->decoder(600, {.top_p = 0.95});
        std::vector<std::vector<std::int32_t>> tokens(which.size());
        std::vector<int> segments;
        std::vector<Append> runs;
        for (const std::size_t p : which) {
            segments.push_back(decoder->open());
            runs.push_back({segments.back(), prompts[p]});
        }
        decoder->prefill(runs);
        const auto key = [&](std::size_t i) { return Random(random_key(8, "draw", which[i])); };
        for (std::size_t i = 0; i < which.size(); ++i) tokens[i].push_back(decoder->draw(segments[i], key(i), 0).token);
        for (std::uint64_t t = 1; t < 8; ++t) {
            std::vector<DecodeStep> steps;
            for (std::size_t i = 0; i < which.size(); ++i) steps.push_back({segments[i], tokens[i].back(), key(i), t});
            const auto choices = decoder->step(steps);
            for (std::size_t i = 0; i < which.size(); ++i) tokens[i].push_back(choices[i].token);
        }
        return tokens;
    };
    const auto together = answers({0, 1, 2}), turned = answers({2, 0}), alone = answers({1});
    EXPECT_EQ(turned[0], together[2]);
    EXPECT_EQ(turned[1], together[0]);
    EXPECT_EQ(alone[0], together[1]);
}

/// Mean loss of eight sequences that count up from different numbers, before each of 20 updates.
std::vector<double> losses(Engine& engine) {
    model::Forest forest;
    std::vector<std::int32_t> rows, targets;
    for (std::int32_t s = 0; s < 8; ++s) {
        std::vector<std::int32_t> tokens;
        for (std::int32_t t = 0; t < 12; ++t) tokens.push_back((7 * s + t) % 60);
        const int segment = forest.add(tokens);
        for (int t = 0; t + 1 < std::ssize(tokens); ++t) {
            rows.push_back(forest.token_index(segment, t));
            targets.push_back(tokens[static_cast<std::size_t>(t) + 1]);
        }
    }
    comm::Communicator ranks;
    engine.begin_training({});
    std::vector<double> losses;
    for (int update = 0; update < 20; ++update) {
        double loss = 0;
        engine.begin_update();
        engine.begin_unit();
        const auto each = 1 / static_cast<float>(rows.size());
        engine.token_loss(engine.forward(forest, rows, Keep::activations), targets, 1, [&](int, float logp, float) {
            loss -= static_cast<double>(logp * each);
            return -each;
        });
        engine.backward(forest);
        (void)engine.end_unit("unit");
        (void)engine.reduce(ranks);
        engine.update({.lr = 5e-3, .update = update}, ranks);
        losses.push_back(loss);
    }
    return losses;
}

TEST_P(Places, LearnsAsProcessorsDo) {
    const auto spec = small_model(model::Family::llama);
    const auto expected = losses(*engine_of(spec, Place::fp32));
    const auto found = losses(*engine_of(spec, GetParam()));
    EXPECT_LT(expected.back(), 0.5 * expected.front());
    for (std::size_t u = 0; u < expected.size(); ++u) EXPECT_NEAR(found[u], expected[u], 0.03 * expected[u]) << u;
}

TEST(DeviceEngine, RefusesByNameWhatItDoesntCompute) {
    auto spec = small_model(model::Family::llama);
    spec.head_dim = spec.rotary_dim = 20;
    try {
        (void)make_engine(spec.resolved(), DeviceKind::emulated);
        FAIL();
    } catch (const ConfigError& error) {
        EXPECT_NE(std::string(error.what()).find("head_dim 20"), std::string::npos) << error.what();
    }
}

TEST(DeviceEngine, NamesTheUnitWhoseGradientCantBeSummed) {
    const auto engine = engine_of(small_model(model::Family::llama), Place::emulated);
    engine->begin_training({});
    engine->begin_update();
    engine->begin_unit();
    engine->write(Array::gradient, 77, std::vector<float>{INFINITY});
    try {
        (void)engine->end_unit("update 12, unit 7");
        FAIL();
    } catch (const DataError& error) {
        EXPECT_NE(std::string(error.what()).find("update 12, unit 7 is inf at one of the positions 0 to "),
                  std::string::npos)
            << error.what();
    }
}

TEST(DeviceEngine, RoundedWeightsAreWhatIsComputedWith) {
    const auto spec = small_model(model::Family::llama);
    for (const WeightFormat format : {WeightFormat::fp32, WeightFormat::bf16}) {
        const auto engine = engine_of(spec, Place::emulated);
        engine->begin_training({format, Sum::exact, {}});
        EXPECT_EQ(engine->has(Array::master), format == WeightFormat::bf16);
        comm::Communicator ranks;
        engine->begin_update();
        engine->begin_unit();
        engine->write(Array::gradient, 0, std::vector<float>(static_cast<std::size_t>(spec.width), 0.25F));
        (void)engine->end_unit("unit");
        (void)engine->reduce(ranks);
        engine->update({.lr = 1e-3}, ranks);
        const auto weights = read(*engine, Array::weights);
        const bool all =
            std::all_of(weights.begin(), weights.end(), [](float w) { return w == to_float(to_bfloat16(w)); });
        EXPECT_EQ(all, format == WeightFormat::bf16);
    }
}

}  // namespace
}  // namespace tdrm::engine
