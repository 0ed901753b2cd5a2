#include <sched.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <thread>

#include "machine.hpp"
#include "tdrm/app/verbs.hpp"
#include "tdrm/base/clock.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/engine/acceptance.hpp"
#include "tdrm/engine/self_test.hpp"
#include "tdrm/gpu/acceptance.hpp"
#include "tdrm/gpu/plugin.hpp"
#include "tdrm/store/directory.hpp"

namespace tdrm::app {
namespace {

/// @param invariant see rows_are_invariant
std::string rank_line(int rank, bool invariant) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    const int allowed = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 0;
    char line[400];
    std::snprintf(line, sizeof line,
                  "  rank %-4d host %-20s may use %d of %u processors, matrix products %.0f GFLOP/s, rows %s", rank,
                  host_name().c_str(), allowed, std::thread::hardware_concurrency(), engine::product_rate() / 1e9,
                  invariant ? "invariant" : "NOT INVARIANT");
    return line;
}

double fsync_milliseconds(const std::string& directory) {
    const auto path = std::filesystem::path(directory) / ".doctor";
    const double start = steady_seconds();
    store::write_text_atomic(path, std::string(1 << 20, 'x'));
    const double seconds = steady_seconds() - start;
    std::filesystem::remove(path);
    return seconds * 1e3;
}

/// What a GPU is, or why it can't be used.
std::string gpu_line(int ordinal) {
    try {
        return gpu::cuda_device(ordinal)->name();
    } catch (const std::runtime_error& error) {
        return error.what();
    }
}

/// Whether engines could compute on them.
std::string cuda_line() {
    const auto cuda = gpu::cuda_status();
    if (cuda.library.empty()) return "libtdrm_cuda.so isn't here, so run.device: cuda is refused";
    std::string devices = cuda.problem.empty() ? cat(cuda.devices, " usable") : "none usable: " + cuda.problem;
    for (int d = 0; d < cuda.devices; ++d) devices += "\n           " + gpu_line(d);
    return cat(cuda.library, " (run.device: cuda hasn't been tried on hardware yet), ", devices);
}

/// GPUs of this node against the ranks, as the driver shows them.
std::string gpus(int num_ranks) {
    int devices = 0;
    while (std::filesystem::exists("/dev/nvidia" + std::to_string(devices))) ++devices;
    std::ifstream driver("/proc/driver/nvidia/version");
    std::string version;
    std::getline(driver, version);
    const std::string nccl = gpu::nccl_version();
    const std::string use =
        cat(" (used by run.device: cuda; ", nccl.empty() ? "no NCCL" : "NCCL " + nccl, " between them)");
    if (devices == 0) return "none here" + use;
    return cat(devices, " for ", num_ranks, " ranks, driver ", version, use);
}

}  // namespace

int doctor(comm::Communicator& ranks, const std::string& directory) {
    bool invariant = false;
    const auto lines = ranks.all_gather_bytes(ranks.agree("looking around", [&] {
        engine::load_libraries();
        invariant = engine::rows_are_invariant();
        return rank_line(ranks.rank(), invariant);
    }));
    const bool sound = std::ranges::count(ranks.all_gather_value<std::uint8_t>(invariant ? 1 : 0), 0) == 0;
    if (!ranks.root()) return sound ? 0 : static_cast<int>(ExitCode::data);
    std::printf("build      %s\nprocessor  %s\nMPI        %s\nlauncher   %s, %d ranks\n", build_info().c_str(),
                processor_info().c_str(), mpi_library().c_str(), launcher().c_str(), ranks.size());
    for (const auto& line : lines) std::printf("%s\n", line.c_str());
    std::printf("GPUs       %s\n", gpus(ranks.size()).c_str());
    std::printf("           %s\n", cuda_line().c_str());
    std::printf("folder     %s: %.1f GB free, a commit of 1 MB takes %.1f ms\n", directory.c_str(),
                static_cast<double>(store::free_bytes(directory)) / 1e9, fsync_milliseconds(directory));
    std::printf("verdict    %s\n",
                sound ? "exact sums hold here" : "matrix products depend on the number of rows: use run.sum: fast");
    return sound ? 0 : static_cast<int>(ExitCode::data);
}

int try_gpu(comm::Communicator& ranks, const std::string& kind) {
    if (ranks.size() > 1) throw ConfigError("one rank tries a device. Start tdrm without mpirun.");
    if (kind != "cuda" && kind != "emulated")
        throw ConfigError(cat("--gpu=", kind, " is no device. Write --gpu, or --gpu=emulated where there is none."));
    if (const auto status = gpu::cuda_status(); kind == "cuda" && !status.problem.empty())
        throw ConfigError(cat("there is no GPU to try: ", status.problem,
                              ". Start it where one is visible; --gpu=emulated shows what would be tried."));
    gpu::Report report;
    gpu::accept(report, kind, kind == "emulated");
    engine::accept_models(report, ranks, kind == "cuda" ? engine::DeviceKind::cuda : engine::DeviceKind::emulated);
    return report.verdict() ? 0 : static_cast<int>(ExitCode::data);
}

}  // namespace tdrm::app
