// The contract of engines, on each of them.
#include "tdrm/engine/engine.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "../../src/engine/cpu_training.hpp"
#include "../rollout/toy.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/words.hpp"

namespace tdrm::engine {
namespace {

using rollout::toy_tokens;

/// Each test runs on every engine that this machine has.
class Engines : public testing::TestWithParam<DeviceKind> {
protected:
    [[nodiscard]] static std::unique_ptr<Engine> toy_model(model::Head head = model::Head::language,
                                                           std::uint64_t seed = 1) {
        return rollout::toy_model(head, seed, GetParam());
    }
    /// How far sums of the same numbers in another order may lie apart.
    [[nodiscard]] static double rounding(double fp32) { return GetParam() == DeviceKind::cpu ? fp32 : 0.05; }
};
const auto kEngines = testing::Values(DeviceKind::cpu, DeviceKind::emulated);
const auto name_of = [](const auto& info) { return std::string(word_of(info.param)); };
INSTANTIATE_TEST_SUITE_P(All, Engines, kEngines, name_of);

std::vector<float> read(const Engine& engine, Array array) {
    std::vector<float> values(static_cast<std::size_t>(engine.num_parameters()));
    engine.read(array, 0, values);
    return values;
}

TEST_P(Engines, ReadsAndWritesRangesAndRefusesOthers) {
    const auto model = toy_model();
    const std::vector<float> written{1, 2, 3};
    model->write(Array::weights, 17, written);
    std::vector<float> back(5);
    model->read(Array::weights, 16, back);
    EXPECT_EQ((std::vector<float>{back[1], back[2], back[3]}), written);
    EXPECT_THROW(model->read(Array::weights, model->num_parameters() - 2, back), BugError);
    EXPECT_THROW(model->write(Array::weights, -1, written), BugError);
    EXPECT_FALSE(model->has(Array::first_moment));
    EXPECT_THROW(model->begin_unit(), BugError) << "before begin_training";
    model->begin_training({});
    EXPECT_TRUE(model->has(Array::first_moment));
    EXPECT_FALSE(model->has(Array::master));
}

TEST_P(Engines, RefusesRowsOfAnEarlierPass) {
    const auto model = toy_model(model::Head::value);
    model::Forest forest;
    forest.add(std::vector<std::int32_t>{1, 2, 3});
    const std::vector<std::int32_t> row{2};
    const Rows rows = model->forward(forest, row, Keep::nothing);
    float value = 0;
    model->values(rows, {}, std::span(&value, 1));
    (void)model->forward(forest, row, Keep::nothing);
    EXPECT_THROW(model->values(rows, {}, std::span(&value, 1)), BugError);
}

model::Forest four_tokens() {
    model::Forest forest;
    forest.add(std::vector<std::int32_t>{4, 8, 15, 16});
    return forest;
}

/// Behind the last of four tokens.
float value_of(Engine& engine) {
    const std::vector<std::int32_t> row{3};
    float value = 0;
    engine.values(engine.forward(four_tokens(), row, Keep::nothing), {}, std::span(&value, 1));
    return value;
}

TEST_P(Engines, AWriteIsSeenByTheNextPass) {
    const auto model = toy_model(model::Head::value), other = toy_model(model::Head::value, 9);
    const float before = value_of(*model);
    model->write(Array::weights, 0, read(*other, Array::weights));
    EXPECT_NE(value_of(*model), before);
    EXPECT_EQ(value_of(*model), value_of(*other));
}

TEST_P(Engines, HeadsReadAndLearnFromTheStatesThatAPassGaveAway) {
    const auto model = toy_model(model::Head::value);
    const model::Forest forest = four_tokens();
    const std::vector<std::int32_t> rows{1, 3};
    const std::vector<float> d_logits{0.5F, -2};
    const auto width = static_cast<std::size_t>(model->spec().width);
    std::vector<float> states(rows.size() * width), values(rows.size()), again(rows.size());
    model->begin_training({});
    const auto gradient = [&](Rows of) {
        model->begin_unit();
        model->value_loss(of, d_logits);
        std::vector<float> head(width);
        model->read(Array::gradient, model->layout().head, head);
        return head;
    };
    const Rows passed = model->forward(forest, rows, Keep::activations);
    model->features(passed, states);
    model->values(passed, {}, values);
    const auto expected = gradient(passed);
    const Rows given = model->with_features(states);
    model->values(given, {}, again);
    EXPECT_EQ(again, values);
    EXPECT_EQ(gradient(given), expected);
    EXPECT_THROW(model->values(passed, {}, values), BugError) << "rows of the pass before";
}

TEST_P(Engines, AfterARestEverythingHasTheSameBits) {
    const auto model = toy_model(model::Head::value), other = toy_model(model::Head::value, 9);
    const model::Forest forest = four_tokens();
    const std::vector<std::int32_t> row{3};
    const auto weights = read(*model, Array::weights);
    const float before = value_of(*model);
    for (int again = 0; again < 2; ++again) {
        model->rest();
        model->rest();
        EXPECT_EQ(read(*model, Array::weights), weights) << "while it rests";
        EXPECT_EQ(value_of(*model), before);
    }
    model->rest();
    model->write(Array::weights, 0, read(*other, Array::weights));
    model->rest();
    EXPECT_EQ(value_of(*model), value_of(*other)) << "what was written while it rested";
    // One that learns.
    const auto gradient = [&](Engine& engine, bool rests) {
        if (rests) engine.rest();
        engine.begin_unit();
        const Rows rows = engine.forward(forest, row, Keep::activations);
        engine.value_loss(rows, std::vector<float>{0.5F});
        engine.backward(forest);
        if (rests) engine.rest();
        return read(engine, Array::gradient);
    };
    for (Engine* engine : {model.get(), other.get()}) engine->begin_training({});
    EXPECT_EQ(gradient(*model, true), gradient(*other, false));
}

TEST_P(Engines, AnUpdateChangesTheTrainableRangesAndNoOtherWeight) {
    const auto model = toy_model();
    const std::int64_t n = model->num_parameters();
    const std::vector<Range> trainable{{3, 40}, {n - 700, n - 50}};
    model->begin_training({WeightFormat::fp32, Sum::exact, trainable});
    const auto before = read(*model, Array::weights);
    comm::Communicator ranks;
    model->begin_update();
    model->begin_unit();
    model->write(Array::gradient, 0, std::vector<float>(static_cast<std::size_t>(n), 0.5F));
    EXPECT_NEAR(model->end_unit("unit"), 0.25 * (37 + 650), 1e-9) << "of what is trained";
    EXPECT_NEAR(model->reduce(ranks), std::sqrt(0.25 * (37 + 650)), 1e-9);
    model->update({.lr = 0.1}, ranks);
    const auto after = read(*model, Array::weights);
    for (std::int64_t i = 0; i < n; ++i) {
        const bool trained =
            std::any_of(trainable.begin(), trainable.end(), [&](const Range& r) { return i >= r.begin && i < r.end; });
        const auto at = static_cast<std::size_t>(i);
        EXPECT_EQ(after[at] != before[at], trained) << i;
    }
}

TEST_P(Engines, UnitsAddUpToTheSumWhateverTheMode) {
    for (const Sum sum : {Sum::exact, Sum::fast}) {
        const auto model = toy_model();
        model->begin_training({WeightFormat::fp32, sum, {}});
        comm::Communicator ranks;
        const auto size = static_cast<std::size_t>(model->num_parameters());
        model->begin_update();
        for (const float value : {1.5F, -0.25F}) {
            model->begin_unit();
            model->write(Array::gradient, 0, std::vector<float>(size, value));
            (void)model->end_unit("unit");
        }
        (void)model->reduce(ranks);
        EXPECT_EQ(read(*model, Array::gradient), std::vector<float>(size, 1.25F));
    }
}

TEST(Parts, CutRangesAtTheirMultiplesAndNothingElse) {
    Random random(random_key(1, "ranges"));
    for (int trial = 0; trial < 500; ++trial) {
        const auto part = static_cast<std::int64_t>(1 + random.next_below(20));
        std::vector<Range> ranges;
        std::int64_t at = 0;
        for (std::uint64_t i = 0; i < random.next_below(6); ++i) {
            const std::int64_t begin = at + static_cast<std::int64_t>(random.next_below(10));
            at = begin + 1 + static_cast<std::int64_t>(random.next_below(50));
            ranges.push_back({begin, at});
        }
        const std::int64_t size = std::max<std::int64_t>(at, 1);
        std::vector<int> wanted(static_cast<std::size_t>(size), ranges.empty() ? 1 : 0), found(wanted.size(), 0);
        for (const Range& range : ranges)
            for (auto i = range.begin; i < range.end; ++i) wanted[static_cast<std::size_t>(i)] = 1;
        for (const Range& piece : cut_at_parts(ranges, size, part)) {
            EXPECT_LT(piece.begin, piece.end);
            EXPECT_EQ(piece.begin / part, (piece.end - 1) / part) << "within one part";
            for (auto i = piece.begin; i < piece.end; ++i) ++found[static_cast<std::size_t>(i)];
        }
        EXPECT_EQ(found, wanted);
    }
    EXPECT_THROW((void)cut_at_parts({{5, 9}, {8, 10}}, 20, 4), BugError);
}

class Decoding : public Engines {
protected:
    Random random_{random_key(3, "decoding")};
    const std::vector<std::int32_t> tokens_ = toy_tokens(random_, 60);
    [[nodiscard]] std::span<const std::int32_t> from(std::size_t begin, std::size_t count) const {
        return std::span(tokens_).subspan(begin, count);
    }
};
INSTANTIATE_TEST_SUITE_P(All, Decoding, kEngines, name_of);

TEST_P(Decoding, ASegmentContinuesWhatItsAncestorsHold) {
    const auto model = toy_model();
    const auto decoder = model->decoder(1000, {.temperature = 0.8});
    const int whole = decoder->open(), first = decoder->open(), second = decoder->open(first),
              empty = decoder->open(second), third = decoder->open(empty);
    decoder->prefill(std::vector<Append>{{whole, from(0, 50)}});
    decoder->prefill(std::vector<Append>{{first, from(0, 21)}, {second, from(21, 3)}});
    decoder->prefill(std::vector<Append>{{third, from(24, 26)}});
    for (std::uint64_t counter = 0; counter < 50; ++counter) {
        const Random random(random_key(1, "draw", counter));
        const Choice a = decoder->draw(whole, random, 0), b = decoder->draw(third, random, 0);
        EXPECT_EQ(a.token, b.token);
        EXPECT_NEAR(a.logprob, b.logprob, rounding(1e-5));
    }
}

TEST_P(Decoding, StepsDrawWhatAPrefillWouldDraw) {
    const auto model = toy_model();
    const auto decoder = model->decoder(1000, {});
    const int stepped = decoder->open(), whole = decoder->open();
    const Random random(random_key(1, "draw"));
    decoder->prefill(std::vector<Append>{{stepped, from(0, 9)}});
    Choice last{};
    for (std::size_t t = 9; t < 30; ++t) {
        const DecodeStep step{stepped, tokens_[t], random, t};
        last = decoder->step({&step, 1})[0];
    }
    decoder->prefill(std::vector<Append>{{whole, from(0, 30)}});
    const Choice expected = decoder->draw(whole, random, 29);
    EXPECT_EQ(last.token, expected.token);
    EXPECT_NEAR(last.logprob, expected.logprob, rounding(1e-5));
}

TEST_P(Decoding, CachesStayWhileTheEngineRests) {
    const auto model = toy_model();
    const std::vector<std::int32_t> prompt{1, 2, 3}, more{4, 5};
    const auto drawn = [&](bool rests) {
        const auto decoder = model->decoder(100, {});
        const int root = decoder->open();
        decoder->prefill(std::vector<Append>{{root, prompt}});
        if (rests) model->rest();
        const int next = decoder->open(root);
        decoder->prefill(std::vector<Append>{{next, more}});
        if (rests) model->rest();
        const Choice choice = decoder->draw(next, Random(random_key(7, "draw")), 0);
        return std::pair(choice.token, choice.logprob);
    };
    EXPECT_EQ(drawn(true), drawn(false));
}

TEST_P(Decoding, ForgottenDistributionsArentDrawnFrom) {
    const auto model = toy_model();
    const auto decoder = model->decoder(100, {});
    const int segment = decoder->open();
    decoder->prefill(std::vector<Append>{{segment, from(0, 5)}});
    (void)decoder->draw(segment, Random(RandomKey{}), 0);
    decoder->forget(segment);
    EXPECT_THROW((void)decoder->draw(segment, Random(RandomKey{}), 0), BugError);
}

TEST_P(Decoding, CachedValuesAreThoseOfTheForest) {
    const auto model = toy_model(model::Head::value);
    const auto decoder = model->decoder(1000, {});
    const int path = decoder->open(), step = decoder->open(path), probe = decoder->open(step);
    const std::vector<std::int32_t> tag{22, 21}, read{1}, nothing;
    decoder->values(std::vector<Append>{{path, from(0, 33)}}, nothing, {}, {});
    std::vector<float> cached(1);
    decoder->values(std::vector<Append>{{step, from(33, 7)}, {probe, tag}}, read, {}, cached);
    model::Forest forest;
    std::vector<std::int32_t> all(tokens_.begin(), tokens_.begin() + 40);
    all.insert(all.end(), tag.begin(), tag.end());
    forest.add(all);
    const std::vector<std::int32_t> row{41};
    std::vector<float> whole(1);
    model->values(model->forward(forest, row, Keep::nothing), {}, whole);
    EXPECT_NEAR(cached[0], whole[0], rounding(2e-5) * (1 + std::abs(static_cast<double>(whole[0]))));
}

TEST_P(Decoding, ClosedSegmentsGiveTheirRoomBack) {
    const auto model = toy_model();
    const auto decoder = model->decoder(160, {});
    const auto all = decoder->free_tokens();
    for (int round = 0; round < 20; ++round) {
        const int root = decoder->open(), leaf = decoder->open(root);
        decoder->prefill(std::vector<Append>{{root, from(0, 40)}, {leaf, from(40, 17)}});
        EXPECT_EQ(decoder->free_tokens(), all - 48 - 32);
        decoder->close(leaf);
        decoder->close(root);
        EXPECT_EQ(decoder->free_tokens(), all);
    }
}

}  // namespace
}  // namespace tdrm::engine
