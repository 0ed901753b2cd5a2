// Numbers and bits of engines on a device.
#include "tdrm/engine/acceptance.hpp"

#include <algorithm>
#include <vector>

#include "acceptance_speed.hpp"
#include "small_models.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::engine {
namespace {

constexpr std::uint64_t kSeed = 1;

/// What a model says of a forest: log-probs of random targets, and the gradient of a loss on them.
struct Numbers {
    std::vector<float> logp, gradient;
};
Numbers numbers_of(Engine& engine, const model::Forest& forest) {
    Random random(random_key(kSeed, "targets"));
    const auto rows = all_rows(forest);
    const auto targets = random_tokens(random, rows.size(), engine.spec().vocab);
    Numbers of{std::vector<float>(rows.size()), std::vector<float>(static_cast<std::size_t>(engine.num_parameters()))};
    engine.begin_training({});
    engine.begin_update();
    engine.begin_unit();
    engine.token_loss(engine.forward(forest, rows, Keep::activations), targets, 0.9F, [&](int row, float logp, float) {
        of.logp[static_cast<std::size_t>(row)] = logp;
        return -0.02F * static_cast<float>(1 + row % 5);
    });
    engine.backward(forest);
    engine.read(Array::gradient, 0, of.gradient);
    return of;
}

std::unique_ptr<Engine> small_engine(model::Family family, DeviceKind kind, model::Head head = model::Head::language) {
    auto engine = make_engine(small_model(family, head), kind);
    write_random_weights(*engine, kSeed);
    return engine;
}

double values_apart(Engine& a, Engine& b, const model::Forest& forest) {
    const std::vector<std::int32_t> rows{3, 40, 41, 77, 100};
    std::vector<float> of_a(rows.size()), of_b(rows.size());
    a.values(a.forward(forest, rows, Keep::nothing), {}, of_a);
    b.values(b.forward(forest, rows, Keep::nothing), {}, of_b);
    return rms(of_a, of_b);
}

void compare_gradients(gpu::Report& report, const std::string& name, const model::Layout& layout, const Numbers& found,
                       const Numbers& wanted) {
    report.at_most(name + ", 1 - cosine of the gradient", 1 - cosine(found.gradient, wanted.gradient), 1e-3);
    report.at_most(name + ", of its worst tensor", 1 - worst_tensor(layout, found.gradient, wanted.gradient).cosine,
                   1e-2);
}

/// A model of a size that is used, with weights as training begins with.
void check_large(gpu::Report& report, DeviceKind kind) {
    const model::ModelSpec spec = smallest_measured(kind);
    const auto forest = bushy_forest(spec.vocab, kSeed);
    const auto on = [&](DeviceKind where) {
        const auto engine = make_engine(spec, where);
        write_random_weights(*engine, kSeed, 0.005F);
        return numbers_of(*engine, forest);
    };
    const Numbers found = on(kind), wanted = on(DeviceKind::cpu);
    const model::Layout layout(spec);
    const std::string name = cat("a model of ", layout.size / 1000, "k parameters");
    report.at_most(name + ", log-probs", rms(found.logp, wanted.logp), 0.05);
    compare_gradients(report, name, layout, found, wanted);
}

void check_families(gpu::Report& report, DeviceKind kind) {
    report.section("small models: distance to fp32 on processors, and to the emulated device");
    for (const model::FamilyRow& row : model::kFamilies) {
        const std::string name(row.model_type);
        const auto forest = bushy_forest(small_model(row.family).vocab, kSeed);
        const auto device = small_engine(row.family, kind), cpu = small_engine(row.family, DeviceKind::cpu);
        const Numbers found = numbers_of(*device, forest), wanted = numbers_of(*cpu, forest);
        const Numbers emulated = numbers_of(*small_engine(row.family, DeviceKind::emulated), forest);
        report.at_most(name + ", log-probs, nats RMS", rms(found.logp, wanted.logp), 0.05);
        report.at_most(name + ", the same to the emulated device", rms(found.logp, emulated.logp), 0.005);
        compare_gradients(report, name, cpu->layout(), found, wanted);
    }
    check_large(report, kind);
    const auto forest = bushy_forest(small_model(model::Family::llama).vocab, kSeed);
    report.at_most("values, RMS",
                   values_apart(*small_engine(model::Family::llama, kind, model::Head::value),
                                *small_engine(model::Family::llama, DeviceKind::cpu, model::Head::value), forest),
                   2e-2);
}

double differing(std::span<const float> a, std::span<const float> b) {
    double others = a.size() == b.size() ? 0 : 1;
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) others += a[i] != b[i] ? 1 : 0;
    return others;
}

/// Answers of some prompts, drawn together.
std::vector<std::vector<Choice>> answers_of(Engine& engine, const std::vector<std::vector<std::int32_t>>& prompts,
                                            const std::vector<std::size_t>& which, int length) {
    const auto decoder = engine.decoder(std::ssize(which) * 200, {.top_p = 0.95});
    std::vector<int> roots, answers;
    std::vector<Append> runs;
    for (const std::size_t p : which) {
        roots.push_back(decoder->open());
        runs.push_back({roots.back(), prompts[p]});
    }
    decoder->prefill(runs);
    std::vector<std::vector<Choice>> drawn(which.size());
    const auto key = [&](std::size_t i) { return Random(random_key(kSeed, "draw", which[i])); };
    for (std::size_t i = 0; i < which.size(); ++i) {
        drawn[i].push_back(decoder->draw(roots[i], key(i), 0));
        answers.push_back(decoder->open(roots[i]));
    }
    for (int t = 1; t < length; ++t) {
        std::vector<DecodeStep> steps;
        for (std::size_t i = 0; i < which.size(); ++i)
            steps.push_back({answers[i], drawn[i].back().token, key(i), static_cast<std::uint64_t>(t)});
        const auto choices = decoder->step(steps);
        for (std::size_t i = 0; i < which.size(); ++i) drawn[i].push_back(choices[i]);
    }
    return drawn;
}

/// Log-probs that the trainer gives to an answer, less those that it was drawn with.
double differing_from_trainer(Engine& engine, const std::vector<std::int32_t>& prompt,
                              const std::vector<Choice>& answer) {
    model::Forest forest;
    std::vector<std::int32_t> tokens, rows{static_cast<std::int32_t>(prompt.size()) - 1};
    std::vector<float> sampled;
    for (const Choice& choice : answer) {
        tokens.push_back(choice.token);
        sampled.push_back(choice.logprob);
    }
    forest.add(tokens, forest.add(prompt));
    for (std::size_t t = 0; t + 1 < tokens.size(); ++t) rows.push_back(static_cast<std::int32_t>(prompt.size() + t));
    std::vector<float> logp(rows.size()), entropy(rows.size());
    engine.token_logprobs(engine.forward(forest, rows, Keep::nothing), tokens, 1, logp, entropy);
    return differing(logp, sampled);
}

/// Weights after an update of four units in an order.
std::vector<float> weights_after(DeviceKind kind, comm::Communicator& ranks, const std::vector<std::uint64_t>& order) {
    const auto engine = small_engine(model::Family::qwen2, kind);
    engine->begin_training({});
    engine->begin_update();
    for (const std::uint64_t unit : order) {
        const auto forest = bushy_forest(engine->spec().vocab, unit);
        const auto rows = all_rows(forest);
        engine->begin_unit();
        engine->token_loss(engine->forward(forest, rows, Keep::activations), forest.tokens(), 1,
                           [](int, float, float) { return -0.01F; });
        engine->backward(forest);
        (void)engine->end_unit("unit");
    }
    (void)engine->reduce(ranks);
    engine->update({.lr = 1e-3}, ranks);
    std::vector<float> weights(static_cast<std::size_t>(engine->num_parameters()));
    engine->read(Array::weights, 0, weights);
    return weights;
}

void check_bits(gpu::Report& report, comm::Communicator& ranks, DeviceKind kind) {
    report.section("bits: numbers that differ");
    const auto engine = small_engine(model::Family::qwen2, kind);
    const int vocab = engine->spec().vocab;
    Random random(random_key(kSeed, "prompts"));
    std::vector<std::vector<std::int32_t>> prompts;
    std::vector<std::size_t> all;
    for (std::size_t p = 0; p < 64; ++p) {
        prompts.push_back(random_tokens(random, 5 + 3 * p % 60, vocab));
        all.push_back(p);
    }
    constexpr int length = 12;
    const auto together = answers_of(*engine, prompts, all, length);
    const auto few = answers_of(*engine, prompts, {7, 3, 40, 11, 63, 0, 21}, length);
    double others = 0, from_trainer = 0;
    const auto compare = [&](const std::vector<Choice>& a, const std::vector<Choice>& b) {
        for (std::size_t t = 0; t < a.size(); ++t) others += a[t].token != b[t].token || a[t].logprob != b[t].logprob;
    };
    compare(few[0], together[7]);
    compare(few[4], together[63]);
    report.at_most("answers among 64 and among 7", others, 0);
    others = 0;
    compare(answers_of(*engine, prompts, {40}, length)[0], together[40]);
    report.at_most("an answer alone", others, 0);
    for (const std::size_t p : {0UL, 7UL, 63UL})
        from_trainer += differing_from_trainer(*engine, prompts[p], together[p]);
    report.at_most("log-probs of the sampler and of the trainer", from_trainer, 0);
    const auto forest = bushy_forest(vocab, kSeed);
    const Numbers once = numbers_of(*small_engine(model::Family::qwen2, kind), forest);
    const Numbers twice = numbers_of(*small_engine(model::Family::qwen2, kind), forest);
    report.at_most("a gradient computed twice", differing(once.gradient, twice.gradient), 0);
    report.at_most("weights after units in another order",
                   differing(weights_after(kind, ranks, {1, 2, 3, 4}), weights_after(kind, ranks, {3, 1, 4, 2})), 0);
}

}  // namespace

void accept_models(gpu::Report& report, comm::Communicator& ranks, DeviceKind kind) {
    ensure(ranks.size() == 1, "a device is accepted by one rank");
    check_families(report, kind);
    check_bits(report, ranks, kind);
    measure_models(report, ranks, kind);
}

}  // namespace tdrm::engine
