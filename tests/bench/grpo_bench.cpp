// Seconds of a whole GRPO update of 32 problems x 8 answers with the real trainer, and the share of the machine's rate
// of matrix products that it reaches.
//
//   mpirun --bind-to none -np 2 grpo_bench PROMPT_TOKENS ANSWER_TOKENS [UPDATES]
//
// Prints one JSON line, which run.sh compares with other programs' lines.

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "fixed_task.hpp"
#include "measure.hpp"
#include "tdrm/comm/session.hpp"
#include "tdrm/engine/load.hpp"
#include "tdrm/train/rl.hpp"

namespace {

using namespace tdrm;

/// Seconds of each update, by phase and in all, from the trainer's own timing log.
std::vector<nlohmann::json> timings(const std::filesystem::path& folder) {
    std::ifstream file(folder / "timing.jsonl");
    std::vector<nlohmann::json> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
}

/// FLOP of an update: generation and forward 2, backward 4 a parameter and token; a prompt once a group and pass.
double work(const engine::Engine& model, int prompt, int answer, int problems, int samples) {
    const double once = static_cast<double>(model.num_parameters()) - 1024.0 * 128.0;  // the embedding isn't multiplied
    const double tokens = static_cast<double>(problems) * (prompt + samples * answer);
    return once * tokens * (2 + 6);
}

int measure(comm::Communicator& ranks, int prompt, int answer, int updates) {
    const bench::FixedTask task(1024, prompt, answer);
    const auto policy = engine::fresh_engine(bench::small_spec(1024), 1);
    const train::RlOptions options;
    train::RlObjective objective(ranks, task, "all", *policy, std::nullopt, nullptr, options, 1);
    train::TrainerOptions trainer;
    trainer.label = "bench";
    trainer.directory = std::filesystem::temp_directory_path() / "tdrm_grpo_bench";
    if (ranks.root()) {
        std::filesystem::remove_all(trainer.directory);
        std::filesystem::create_directories(trainer.directory);
    }
    ranks.barrier();
    trainer.updates = updates;
    const train::Trainee trainee{"", *policy, {.lr = 1e-5}, {}, updates};
    train::train(ranks, {&trainee, 1}, objective, {}, trainer);
    const double rate = ranks.sum(bench::gemm_rate());
    if (!ranks.root()) return 0;
    std::vector<double> all, batch, gradient;
    for (const auto& line : timings(trainer.directory)) {
        if (line.at("update") <= 2) continue;  // warm-up
        batch.push_back(line.at("batch"));
        gradient.push_back(line.at("gradient"));
        all.push_back(batch.back() + gradient.back() + line.at("sum").get<double>() + line.at("step").get<double>());
    }
    const double seconds = bench::median(all);
    std::printf("%s\n", nlohmann::json{{"program", "tdrm"},
                                       {"ranks", ranks.size()},
                                       {"prompt", prompt},
                                       {"answer", answer},
                                       {"seconds", seconds},
                                       {"batch", bench::median(batch)},
                                       {"gradient", bench::median(gradient)},
                                       {"gemm_share", work(*policy, prompt, answer, 32, 8) / seconds / rate}}
                            .dump()
                            .c_str());
    std::filesystem::remove_all(trainer.directory);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "usage: grpo_bench PROMPT_TOKENS ANSWER_TOKENS [UPDATES]\n");
        return 64;
    }
    bench::choose_products();
    const int prompt = std::atoi(argv[1]), answer = std::atoi(argv[2]), updates = argc > 3 ? std::atoi(argv[3]) : 12;
    return tdrm::comm::run_guarded(
        argc, argv, [&](tdrm::comm::Communicator& ranks) { return measure(ranks, prompt, answer, updates); });
}
