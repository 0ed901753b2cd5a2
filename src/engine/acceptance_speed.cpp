#include "acceptance_speed.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "device_engine.hpp"
#include "device_memory.hpp"
#include "small_models.hpp"
#include "tdrm/base/clock.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::engine {
namespace {

/// A model with the speeds that it should reach, in tokens/s.
struct Speeds {
    const char* name;
    model::ModelSpec spec;
    double decode, ragged, train, train_long, score;
    bool squeezed = false;  ///< trains in what room there is: fast sums, moments in bf16, blocks computed again
};

/// Qwen2.5 of a size.
model::ModelSpec qwen(int layers, int width, int heads, int kv_heads, int ffn, bool tied) {
    model::ModelSpec spec;
    spec.vocab = 151936;
    spec.layers = layers;
    spec.width = width;
    spec.heads = heads;
    spec.kv_heads = kv_heads;
    spec.ffn = ffn;
    spec.family = model::Family::qwen2;
    spec.qkv_bias = true;
    spec.tied = tied;
    return spec.resolved();
}

std::vector<Speeds> models_of(DeviceKind kind) {
    const auto small = small_model(model::Family::qwen2);
    if (kind != DeviceKind::cuda)
        return {{"a small model", small, 0, 0, 0, 0, 0}, {"a squeezed one", small, 0, 0, 0, 0, 0, true}};
    return {{"0.5B", qwen(24, 896, 14, 2, 4864, true), 110e3, 60e3, 115e3, 85e3, 450e3},
            {"1.5B", qwen(28, 1536, 12, 2, 8960, true), 60e3, 38e3, 42e3, 30e3, 160e3},
            {"7B", qwen(28, 3584, 28, 4, 18944, false), 25e3, 13e3, 9e3, 7e3, 36e3, true}};
}

/// How much is computed.
struct Amounts {
    int slots, context, steps;      ///< of decoding; eight slots share a prompt
    int requests, least, most;      ///< of mixed lengths: tokens of a prompt, and of an answer
    int unit, length, long_length;  ///< of training: tokens, in sequences
    int answers, answer;            ///< of scoring: with a prompt, answers of eight states each
};
constexpr Amounts kFull{256, 1024, 64, 256, 100, 1024, 16384, 1024, 4096, 24, 512};
constexpr Amounts kSmall{16, 40, 4, 5, 2, 9, 64, 32, 64, 4, 16};

/// Random numbers that repeat, small enough that nothing overflows.
std::unique_ptr<Engine> filled(model::ModelSpec spec, DeviceKind kind, model::Head head) {
    spec.head = head;
    auto engine = make_engine(spec.resolved(), kind);
    Random random(random_key(1, "weights"));
    std::vector<float> some(1 << 20);
    for (float& x : some) x = 0.02F * static_cast<float>(random.next_normal());
    const std::int64_t n = engine->num_parameters();
    for (std::int64_t first = 0; first < n; first += std::ssize(some))
        engine->write(Array::weights, first,
                      std::span(some).first(static_cast<std::size_t>(std::min(std::ssize(some), n - first))));
    return engine;
}

/// Appends prompts, a few at a time, behind which nothing is drawn.
void prefill(Decoder& decoder, std::span<const Append> prompts) {
    constexpr std::size_t at_once = 8;
    for (std::size_t first = 0; first < prompts.size(); first += at_once) {
        const auto runs = prompts.subspan(first, std::min(at_once, prompts.size() - first));
        decoder.prefill(runs);
        for (const Append& run : runs) decoder.forget(run.segment);
    }
}

/// Tokens/s of slots that have so much context in the middle of the run.
double decode_rate(Engine& engine, const Amounts& of) {
    constexpr int group = 8;
    const int prompts = of.slots / group, prompt = of.context - of.steps / 2;
    const auto decoder = engine.decoder(
        std::int64_t{prompts} * (prompt + kPageTokens) + std::int64_t{of.slots} * (of.steps + kPageTokens), {});
    Random random(random_key(2, "prompts"));
    std::vector<std::vector<std::int32_t>> tokens;
    std::vector<int> roots;
    for (int p = 0; p < prompts; ++p) {
        tokens.push_back(random_tokens(random, static_cast<std::size_t>(prompt), engine.spec().vocab));
        roots.push_back(decoder->open());
    }
    std::vector<Append> runs;
    for (std::size_t p = 0; p < roots.size(); ++p) runs.push_back({roots[p], tokens[p]});
    prefill(*decoder, runs);
    std::vector<DecodeStep> steps;
    for (int s = 0; s < of.slots; ++s)
        steps.push_back({decoder->open(roots[static_cast<std::size_t>(s / group)]), 7,
                         Random(random_key(3, "slot", static_cast<std::uint64_t>(s))), 0});
    constexpr int warm = 2;
    double start = steady_seconds();
    for (int t = 0; t < of.steps; ++t) {
        if (t == warm) start = steady_seconds();
        const auto choices = decoder->step(steps);
        for (std::size_t s = 0; s < steps.size(); ++s) {
            steps[s].token = choices[s].token;
            ++steps[s].counter;
        }
    }
    return of.slots * (of.steps - warm) / (steady_seconds() - start);
}

/// Tokens/s of answers of mixed lengths to prompts of mixed lengths, all of which begin at once.
double ragged_rate(Engine& engine, const Amounts& of) {
    const auto decoder = engine.decoder(std::int64_t{of.requests} * 2 * (of.most + kPageTokens), {});
    Random random(random_key(6, "requests"));
    const auto length = [&] {
        return of.least + static_cast<int>(random.next_below(static_cast<std::uint64_t>(of.most - of.least + 1)));
    };
    struct Request {
        std::vector<std::int32_t> prompt;
        int left, segment;
    };
    std::vector<Request> requests;
    for (int r = 0; r < of.requests; ++r) {
        auto prompt = random_tokens(random, static_cast<std::size_t>(length()), engine.spec().vocab);
        requests.push_back({std::move(prompt), length(), decoder->open()});
    }
    const double start = steady_seconds();
    std::vector<Append> runs;
    for (const Request& request : requests) runs.push_back({request.segment, request.prompt});
    prefill(*decoder, runs);
    std::vector<DecodeStep> steps;
    for (const Request& request : requests)
        steps.push_back(
            {request.segment, 7, Random(random_key(3, "slot", static_cast<std::uint64_t>(request.segment))), 0});
    double drawn = 0;
    while (!steps.empty()) {
        const auto choices = decoder->step(steps);
        drawn += static_cast<double>(steps.size());
        std::size_t kept = 0;
        for (std::size_t r = 0; r < steps.size(); ++r) {
            if (--requests[r].left == 0) {
                decoder->close(requests[r].segment);
                continue;
            }
            steps[kept] = {steps[r].segment, choices[r].token, steps[r].random, steps[r].counter + 1};
            std::swap(requests[kept++], requests[r]);
        }
        steps.erase(steps.begin() + static_cast<std::ptrdiff_t>(kept), steps.end());
    }
    return drawn / (steady_seconds() - start);
}

struct Training {
    double rate;    ///< tokens/s
    double memory;  ///< taken, of what the plan says
};
Training train(Engine& engine, comm::Communicator& ranks, const TrainingSetup& setup, int tokens, int length,
               double used_before) {
    engine.begin_training(setup);
    Random random(random_key(4, "sequences"));
    model::Forest forest;
    for (int s = 0; s < tokens / length; ++s)
        forest.add(random_tokens(random, static_cast<std::size_t>(length), engine.spec().vocab));
    const auto rows = all_rows(forest);
    const auto unit = [&] {
        engine.begin_unit();
        engine.token_loss(engine.forward(forest, rows, Keep::activations), forest.tokens(), 1,
                          [](int, float, float) { return -1e-4F; });
        engine.backward(forest);
        (void)engine.end_unit("unit");
    };
    const auto update = [&](int units) {
        engine.begin_update();
        for (int u = 0; u < units; ++u) unit();
        (void)engine.reduce(ranks);
        engine.update({.lr = 1e-6}, ranks);
    };
    update(1);
    constexpr int units = 4;
    const double start = steady_seconds();
    update(units);
    const double rate = units * forest.num_tokens() / (steady_seconds() - start);
    const auto state = on_device::training_bytes(engine.spec(), setup);
    const double said =
        on_device::weight_bytes(engine.spec()).weights + state.gradient + state.master + state.moments + state.sum +
        on_device::pass_bytes(engine.spec(), tokens, tokens, Keep::activations, setup.recompute, length) +
        on_device::loss_bytes(engine.spec(), tokens);
    const double used = static_cast<double>(dynamic_cast<DeviceEngine&>(engine).used_bytes()) - used_before;
    return {rate, used / said};
}

/// Tokens/s of values of eight states an answer.
double scoring_rate(Engine& engine, const Amounts& of) {
    Random random(random_key(5, "answers"));
    const auto tokens = [&](int n) { return random_tokens(random, static_cast<std::size_t>(n), engine.spec().vocab); };
    model::Forest forest;
    std::vector<std::int32_t> probes;
    const int prompt = forest.add(tokens(of.answer / 2));
    for (int a = 0; a < of.answers; ++a) {
        const int trunk = forest.add(tokens(of.answer), prompt);
        for (int state = 1; state <= 8; ++state)
            probes.push_back(forest.token_index(forest.add(tokens(2), trunk, of.answer * state / 8), 1));
    }
    std::vector<float> values(probes.size());
    const auto pass = [&] { engine.values(engine.forward(forest, probes, Keep::nothing), {}, values); };
    pass();
    constexpr int passes = 4;
    const double start = steady_seconds();
    for (int p = 0; p < passes; ++p) pass();
    return passes * forest.num_tokens() / (steady_seconds() - start);
}

/// Bytes in use without any engine.
double used_alone(DeviceKind kind) {
    const auto smallest = make_engine(small_model(model::Family::llama), kind);
    return kind == DeviceKind::cuda ? static_cast<double>(dynamic_cast<DeviceEngine&>(*smallest).used_bytes()) : 0;
}

}  // namespace

model::ModelSpec smallest_measured(DeviceKind kind) { return models_of(kind).front().spec; }

void measure_models(gpu::Report& report, comm::Communicator& ranks, DeviceKind kind) {
    const Amounts& amounts = kind == DeviceKind::cuda ? kFull : kSmall;
    report.section("models: tokens/s found and wanted, memory of what the plan says");
    for (const Speeds& of : models_of(kind)) {
        const std::string name(of.name);
        TrainingSetup setup;
        setup.gradient = UnitGradient::by_layer;
        if (of.squeezed) {
            setup.sum = Sum::fast;
            setup.moments = WeightFormat::bf16;
            setup.recompute = Recompute::block;
        }
        double decoded = 0, trained = 0;
        {
            const double before = used_alone(kind);
            const auto policy = filled(of.spec, kind, model::Head::language);
            decoded = decode_rate(*policy, amounts);
            report.reaches(name + ", decoding", decoded, of.decode);
            report.reaches(name + ", requests of mixed lengths", ragged_rate(*policy, amounts), of.ragged);
            const auto trains = [&](int length) {
                policy->rest();  // the room of other passes
                return train(*policy, ranks, setup, amounts.unit, length, before);
            };
            const Training training = trains(amounts.length);
            trained = training.rate;
            report.reaches(name + ", training", trained, of.train);
            report.at_most(name + ", memory of training", training.memory, 1.05);
            report.reaches(cat(name, ", training, sequences of ", amounts.long_length),
                           trains(amounts.long_length).rate, of.train_long);
            if (setup.sum == Sum::exact) {
                setup.sum = Sum::fast;
                report.reaches(name + ", exact sums, of the speed of fast ones", trained / trains(amounts.length).rate,
                               0.95);
            }
        }
        const double scored = scoring_rate(*filled(of.spec, kind, model::Head::value), amounts);
        report.reaches(name + ", scoring", scored, of.score);
        // Phases of a GRPO step one after the other, of tokens that are all drawn, scored and learnt from.
        report.reaches(name + ", a GRPO step", 1 / (1 / decoded + 1 / scored + 1 / trained),
                       1 / (1 / of.decode + 1 / of.score + 1 / of.train));
    }
}

}  // namespace tdrm::engine
