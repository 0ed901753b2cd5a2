#include "machine.hpp"

#include <mpi.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "tdrm/app/verbs.hpp"
#include "tdrm/base/errors.hpp"

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
