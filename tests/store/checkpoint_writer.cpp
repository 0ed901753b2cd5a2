// checkpoint_writer DIR once       saves DIR/update-5 with parts of 17, DIR/one_part in one part, DIR/bfloat16
// checkpoint_writer DIR forever    goes on from the newest checkpoint in DIR and saves until it is killed
// checkpoint_writer DIR time MB    prints the seconds that saves of MB take
#include <mpi.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "sample_state.hpp"
#include "tdrm/store/directory.hpp"

namespace tdrm::store {
namespace {
namespace fs = std::filesystem;

void save(comm::Communicator& ranks, const fs::path& directory, int update, std::size_t size, std::int64_t part,
          Type model = Type::float32) {
    const SampleState sample(update, size);
    save_checkpoint(ranks, directory, sample.states(model), {{"update", update}}, part);
}

// Makes new folders, replaces one, and deletes old ones: every kind of change.
void save_forever(comm::Communicator& ranks, const fs::path& run) {
    remove_leftovers(run);
    const auto newest = newest_valid_checkpoint(run).directory;
    int update = newest ? load_checkpoint(*newest).progress().at("update").get<int>() + 1 : 1;
    for (;; ++update) {
        std::putchar('.');  // a round begins
        std::fflush(stdout);
        save(ranks, run / ("update-" + std::to_string(update)), update, 20'000, 16'384);
        save(ranks, run / "last-0", update, 20'000, 16'384);
        remove_directory(run / ("update-" + std::to_string(update - 2)));
    }
}

void time_saves(comm::Communicator& ranks, const fs::path& run, double megabytes) {
    const std::vector<float> data(static_cast<std::size_t>(megabytes * 1e6 / 4), 0.25F);
    const auto size = static_cast<std::int64_t>(data.size());
    std::vector<TensorView> tensors;
    for (std::int64_t i = 0; i < 100; ++i)
        tensors.push_back({"layer." + std::to_string(i), {size / 100}, i * (size / 100)});
    const std::vector<FlatState> states{{"model", data, &tensors}};
    for (int repeat = 0; repeat < 5; ++repeat) {
        ranks.barrier();
        const auto start = std::chrono::steady_clock::now();
        save_checkpoint(ranks, run / "update-1", states, {});
        const auto saved = std::chrono::steady_clock::now();
        (void)load_checkpoint(ranks, run / "update-1").read_flat("model");
        const auto loaded = std::chrono::steady_clock::now();
        const std::chrono::duration<double> save_seconds = saved - start;
        const std::chrono::duration<double> load_seconds = loaded - saved;
        if (ranks.root())
            std::printf("save %.3f s, verify and load %.3f s\n", save_seconds.count(), load_seconds.count());
    }
}

}  // namespace
}  // namespace tdrm::store

int main(int argc, char** argv) {
    int granted = 0;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &granted);
    if (argc < 3) return 64;
    {
        tdrm::comm::Communicator ranks;
        const std::filesystem::path run = argv[1];
        const std::string what = argv[2];
        if (what == "once") tdrm::store::save(ranks, run / "update-5", 5, 170, 17);
        if (what == "once") tdrm::store::save(ranks, run / "one_part", 5, 170, 1000);
        if (what == "once") tdrm::store::save(ranks, run / "bfloat16", 5, 170, 17, tdrm::store::Type::bfloat16);
        if (what == "forever") tdrm::store::save_forever(ranks, run);
        if (what == "time") tdrm::store::time_saves(ranks, run, std::atof(argv[3]));
    }
    MPI_Finalize();
}
