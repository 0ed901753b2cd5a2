// How much of the machine's rate of matrix products the engine reaches, on the default experiment's model: training
// steps by unit size, and decoding by slots. One thread, the best of several times.   engine_bench [train|decode
// [SIZE]]

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "fixed_task.hpp"
#include "measure.hpp"
#include "tdrm/engine/load.hpp"
#include "tdrm/rollout/answers.hpp"
#include "tdrm/train/sft.hpp"

namespace {

using namespace tdrm;

/// Parameters that are multiplied with each token: all but the embedding.
double multiplied(const engine::Engine& model) {
    return static_cast<double>(model.num_parameters() - model.spec().vocab * model.spec().width);
}

void print(const char* what, int size, double tokens, double seconds, double flop, double rate) {
    std::printf("%s\n", nlohmann::json{{"bench", what},
                                       {"size", size},
                                       {"tokens_per_second", tokens / seconds},
                                       {"gflops", flop / seconds / 1e9},
                                       {"gemm_gflops", rate / 1e9},
                                       {"gemm_share", flop / seconds / rate}}
                            .dump()
                            .c_str());
}

void training(int unit_tokens) {
    const bench::FixedTask task(155, 7, 19);
    const auto model = engine::fresh_engine(bench::small_spec(155), 1);
    model->begin_training({});
    train::SftObjective objective(task, "all", *model, 1, 256, unit_tokens);
    objective.prepare(0);
    std::vector<double> times;
    double rate = 0;
    for (int repeat = 0; repeat < 7; ++repeat) {
        rate = std::max(rate, bench::gemm_rate());
        times.push_back(bench::seconds([&] {
            for (std::size_t unit = 0; unit < objective.units().size(); ++unit) {
                model->begin_unit();
                (void)objective.differentiate(unit);
            }
        }));
    }
    const double tokens = 256 * 25.0;
    print("training step", unit_tokens, tokens, bench::least(times), 6 * tokens * multiplied(*model), rate);
}

void decoding(int slots) {
    const bench::FixedTask task(155, 7, 19);
    const auto model = engine::fresh_engine(bench::small_spec(155), 1);
    rollout::Generator generator(*model, {}, task.end_tokens(), slots);
    const rollout::RolloutPlan plan{&task, "all", 8, {}, 1, "bench"};
    std::vector<task::Draw> draws;
    for (int i = 0; i < 256; ++i) draws.push_back({i, 0});
    std::vector<double> times;
    double rate = 0;
    for (int repeat = 0; repeat < 5; ++repeat) {
        rate = std::max(rate, bench::gemm_rate());
        times.push_back(bench::seconds([&] { (void)rollout::sample_answers(plan, generator, draws); }));
    }
    const double tokens = 256 * (7 + 8 * 19.0);
    print("decoding", slots, tokens, bench::least(times), 2 * tokens * multiplied(*model), rate);
}

}  // namespace

int main(int argc, char** argv) {
    bench::choose_products();
    const std::string_view only = argc > 1 ? argv[1] : "";
    const auto sizes = [&](std::vector<int> all) { return argc > 2 ? std::vector{std::atoi(argv[2])} : all; };
    if (only != "decode")
        for (const int unit_tokens : sizes({256, 512, 1024, 2048, 4096})) training(unit_tokens);
    if (only != "train")
        for (const int slots : sizes({16, 64, 256, 512})) decoding(slots);
    return 0;
}
