// A job that ends as its first argument says; the second is a directory for the watchdog's records.
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <thread>

#include "tdrm/comm/session.hpp"
#include "tdrm/comm/watchdog.hpp"
#include "tdrm/comm/work_counter.hpp"

namespace {

using namespace std::chrono_literals;
using tdrm::comm::Communicator;

void sleep_past_the_deadline(Communicator& ranks, const std::string& directory) {
    tdrm::comm::Watchdog watchdog(ranks, directory, {.deadline = 3000ms});
    watchdog.phase("rollout");
    watchdog.unit("problem 40");
    ranks.barrier();
    if (ranks.rank() == 1) {
        watchdog.unit("problem 41");
        std::this_thread::sleep_for(1h);
    }
    ranks.barrier();
}

// Slow, but it says so: twice the deadline passes without a collective.
void work_long_units(Communicator& ranks, const std::string& directory) {
    tdrm::comm::Watchdog watchdog(ranks, directory, {.deadline = 3000ms});
    for (int unit = 0; ranks.rank() == 1 && unit < 30; ++unit) {
        watchdog.unit(std::to_string(unit));
        std::this_thread::sleep_for(200ms);
    }
    ranks.barrier();
}

void stop_on_request(Communicator& ranks) {
    if (ranks.rank() == 1) raise(SIGUSR1);
    for (;;) {
        const bool stop = ranks.any(tdrm::comm::stop_requested());
        ranks.agree("training", [&] {
            if (stop) throw tdrm::Preempted("stopped on request after a commit.");
        });
    }
}

void lose_the_launcher(Communicator& ranks, const std::string& directory) {
    std::ofstream(tdrm::cat(directory, ".pid-", ranks.rank())) << getpid();
    ranks.barrier();
    if (ranks.root()) kill(getppid(), SIGKILL);
    std::this_thread::sleep_for(1h);
}

int run(Communicator& ranks, const std::string& fault, const std::string& directory) {
    const tdrm::comm::WorkCounter counter(ranks);  // a window is open when things go wrong
    if (fault == "local" && ranks.rank() == 1) throw tdrm::DataError("rank-local trouble.");
    if (fault == "shared") {
        ranks.agree("reading", [&] {
            if (ranks.rank() == 1) throw tdrm::DataError("shared trouble.");
        });
    }
    if (fault == "everybody") ranks.agree("reading", [&] { throw tdrm::ConfigError("trouble everywhere."); });
    if (fault == "unequal") ranks.require_equal("build", std::to_string(ranks.rank()));
    if (fault == "sleep") sleep_past_the_deadline(ranks, directory);
    if (fault == "slow") work_long_units(ranks, directory);
    if (fault == "stop") stop_on_request(ranks);
    if (fault == "killed" && ranks.rank() == 1) raise(SIGKILL);
    if (fault == "orphan") lose_the_launcher(ranks, directory);
    ranks.barrier();
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 64;
    const std::string fault = argv[1];
    const std::string directory = argv[2];
    return tdrm::comm::run_guarded(argc, argv, [&](Communicator& ranks) { return run(ranks, fault, directory); });
}
