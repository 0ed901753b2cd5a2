// Decoding, prefill and scoring with a model of a Hugging Face folder, to be compared with transformers
// (pretrained_peer.py). One thread.   pretrained_bench FOLDER [decode|prefill|score|train]

#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "measure.hpp"
#include "tdrm/base/random.hpp"
#include "tdrm/comm/session.hpp"
#include "tdrm/engine/load.hpp"
#include "tdrm/rollout/generator.hpp"
#include "tdrm/rollout/scorer.hpp"

namespace {

using namespace tdrm;

std::vector<std::int32_t> random_tokens(Random& random, int n) {
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(n));
    for (auto& t : tokens) t = static_cast<std::int32_t>(100 + random.next_below(40000));
    return tokens;
}

void print(const char* what, double tokens, double seconds) {
    std::printf("%s\n",
                nlohmann::json{
                    {"bench", what}, {"tokens", tokens}, {"seconds", seconds}, {"tokens_per_second", tokens / seconds}}
                    .dump()
                    .c_str());
    std::fflush(stdout);
}

/// `requests` prompts of 64 tokens, answers of 16, 24, ... 256 tokens.
void decode(engine::Engine& model, int requests) {
    Random random(random_key(1, "bench"));
    std::vector<rollout::Request> list;
    double tokens = 0;
    for (int i = 0; i < requests; ++i) {
        rollout::Request r;
        r.prompt = random_tokens(random, 64);
        r.keys = {random_key(1, "sample", static_cast<std::uint64_t>(i))};
        r.max_tokens = 16 + 240 * i / std::max(1, requests - 1);
        list.push_back(r);
        tokens += r.max_tokens;
    }
    rollout::Generator generator(model, {}, {}, 256);
    print("decode", tokens, bench::seconds([&] { (void)generator.run(list); }));
}

void prefill(engine::Engine& model) {
    Random random(random_key(2, "bench"));
    for (const int length : {512, 2048}) {
        std::vector<rollout::Request> list(1);
        list[0].prompt = random_tokens(random, length);
        list[0].keys = {random_key(1, "sample")};
        list[0].max_tokens = 1;
        rollout::Generator generator(model, {}, {}, 16);
        (void)generator.run(list);  // warms up, and packs the weights
        print(cat("prefill ", length).c_str(), length, bench::seconds([&] { (void)generator.run(list); }));
    }
}

/// 200 solutions of 6 steps of 20 tokens, each behind a prompt of 80 of its own.
void score(engine::Engine& model) {
    Random random(random_key(3, "bench"));
    rollout::Scorer scorer(model, model::ReadOut{{5, 6}, {}, model::TagPlace::leaf, 10, 11}, 4096);
    double seconds = 0;
    for (int a = 0; a < 200; ++a) {
        const auto prompt = random_tokens(random, 80);
        const auto ids = random_tokens(random, 120);
        const rollout::ScoredAnswer answer{ids, {0, 20, 40, 60, 80, 100, 120}};
        seconds += bench::seconds([&] { (void)scorer.score(prompt, std::span(&answer, 1)); });
    }
    print("score", 200 * 200, seconds);
}

/// An update on 8 sequences of 256 tokens: loss, gradient, sum, AdamW.
void train(engine::Engine& model) {
    constexpr int sequences = 8, length = 256;
    Random random(random_key(4, "bench"));
    model::Forest forest;
    std::vector<std::int32_t> rows, targets;
    for (int s = 0; s < sequences; ++s) {
        const auto tokens = random_tokens(random, length);
        const int segment = forest.add(tokens);
        for (int t = 0; t + 1 < length; ++t) {
            rows.push_back(forest.token_index(segment, t));
            targets.push_back(tokens[static_cast<std::size_t>(t) + 1]);
        }
    }
    comm::Communicator ranks;
    model.begin_training({});
    const auto update = [&](std::int64_t number) {
        model.begin_update();
        model.begin_unit();
        const float each = 1 / static_cast<float>(rows.size());
        model.token_loss(model.forward(forest, rows, engine::Keep::activations), targets, 1,
                         [&](int, float, float) { return -each; });
        model.backward(forest);
        (void)model.end_unit("unit");
        (void)model.reduce(ranks);
        model.update({.lr = 1e-6, .update = number}, ranks);
    };
    update(0);
    print("update", sequences * length, bench::seconds([&] { update(1); }));
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) return 64;
    bench::choose_products();
    const auto loaded = engine::load_pretrained(argv[1]);
    engine::Engine& model = *loaded;
    const auto wants = [&](const char* what) { return argc < 3 || std::strcmp(argv[2], what) == 0; };
    if (wants("decode")) decode(model, 32);
    if (wants("prefill")) prefill(model);
    if (wants("score")) score(model);
    if (wants("train")) {
        const comm::Session session(argc, argv);
        train(model);
    }
}
