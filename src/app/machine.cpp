#include "machine.hpp"

#include <mpi.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <vector>

#include "tdrm/app/verbs.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/model/ops.hpp"

namespace tdrm::app {
namespace {

/// The words of this process's command line.
std::string command_line() {
    std::ifstream file("/proc/self/cmdline");
    std::string text;
    for (std::string word; std::getline(file, word, '\0');) text += (text.empty() ? "" : " ") + word;
    return text;
}

std::string now_text() {
    const std::time_t now = std::time(nullptr);
    char text[64] = "";
    std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %Z", std::localtime(&now));
    return text;
}

}  // namespace

std::string host_name() {
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    return host;
}

std::string launcher() {
    const char* job = std::getenv("SLURM_JOB_ID");
    const std::string where = job == nullptr ? "" : cat(", Slurm job ", job);
    if (std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr) return "mpirun" + where;
    return (std::getenv("SLURM_PROCID") != nullptr ? "srun" : "none") + where;
}

double gemm_rate() {
    constexpr int n = 768;
    constexpr double kEnough = 0.1;  // seconds
    std::vector<float> a(n * n, 0.5F), b(n * n, 0.25F), c(n * n);
    model::ops::PackedMatrix packed;
    packed.pack(b.data(), n, n);
    model::ops::gemm_nt(c.data(), a.data(), packed, n);
    const auto start = std::chrono::steady_clock::now();
    double seconds = 0;
    int products = 0;
    for (; seconds < kEnough; ++products) {
        model::ops::gemm_nt(c.data(), a.data(), packed, n);
        seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    return 2.0 * n * n * n * products / seconds;
}

std::string mpi_library() {
    char version[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length = 0;
    MPI_Get_library_version(version, &length);
    const std::string text(version);
    return text.substr(0, text.find_first_of(",\n"));
}

std::string start_header(const comm::Communicator& ranks) {
    return cat(about(), "\nlauncher    ", launcher(), ", ", ranks.size(), ranks.size() == 1 ? " rank" : " ranks",
               ranks.one_node() ? " on one node" : " on several nodes", "\nhost        ", host_name(), ", process ",
               getpid(), ", ", now_text(), "\nfolder      ", std::filesystem::current_path().string(), "\ncommand     ",
               command_line());
}

}  // namespace tdrm::app
