#include "tdrm/comm/session.hpp"

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>

#include "mpi.hpp"

namespace tdrm::comm {
namespace {

using Clock = std::chrono::steady_clock;

volatile sig_atomic_t stop_flag = 0;
const Clock::time_point program_start = Clock::now();
std::optional<Clock::time_point> deadline;

void note_stop(int /*signal*/) { stop_flag = 1; }

void listen_for_stop() {
    for (const int signal : {SIGTERM, SIGUSR1, SIGINT}) {
        struct sigaction action {};
        action.sa_handler = note_stop;
        // Interrupted reads and writes go on; the second Ctrl-C is the impatient one.
        action.sa_flags = SA_RESTART | (signal == SIGINT ? static_cast<int>(SA_RESETHAND) : 0);
        sigaction(signal, &action, nullptr);
    }
    ::signal(SIGXFSZ, SIG_IGN);  // a file-size limit is an error of write(), with a message, like a full disk
}

bool started_by_launcher() {
    for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"}) {
        if (std::getenv(name) != nullptr) return true;
    }
    return false;
}

// Ranks whose launcher was killed would go on writing into a run that somebody starts again. Without a launcher the
// parent is a shell, which may go while the program is meant to stay.
void die_with_launcher() {
    if (!started_by_launcher()) return;
    const pid_t parent = getppid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    // The launcher may have gone before we asked. (Process 1 is no sign of that: it is the launcher in some
    // containers.)
    if (getppid() != parent) _exit(static_cast<int>(ExitCode::comm));
}

void print(const std::string& message) {
    std::fprintf(stderr, "tdrm: %s\n", message.c_str());
    std::fflush(nullptr);
}

Failure describe_current() {
    try {
        throw;
    } catch (const std::exception& error) {
        return describe(error);
    } catch (...) {
        return {ExitCode::bug, "an exception of unknown type. This is a bug in tdrm; please report it."};
    }
}

// Called in a catch block.
int end_after_failure(const Communicator& ranks) {
    const Failure own = describe_current();
    const auto& shared = ranks.shared_failure();
    if (shared || ranks.size() == 1) {
        // With one rank there is no peer to name.
        const Failure& failure = shared && ranks.size() > 1 ? *shared : own;
        if (ranks.root()) print(failure.message);
        return static_cast<int>(failure.code);
    }
    print(cat("rank ", ranks.rank(), ": ", own.message));
    MPI_Abort(MPI_COMM_WORLD, static_cast<int>(own.code));
    _exit(static_cast<int>(own.code));  // MPI_Abort may return, says the standard
}

}  // namespace

Session::Session(int& argc, char**& argv) : exceptions_at_birth_(std::uncaught_exceptions()) {
    die_with_launcher();
    int granted = MPI_THREAD_SINGLE;
    check_mpi(MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &granted), "MPI_Init_thread");
    if (granted < MPI_THREAD_FUNNELED) {
        throw CommError("MPI grants no threads beside the main one (the watchdog needs one). Use another MPI build.");
    }
    check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    listen_for_stop();  // after MPI, which may set handlers of its own
}

Session::~Session() {
    if (std::uncaught_exceptions() > exceptions_at_birth_) return;
    MPI_Finalize();
}

bool stop_requested() noexcept { return stop_flag != 0 || (deadline && Clock::now() >= *deadline); }

void stop_after(Communicator& ranks, double seconds) {
    double left = seconds - std::chrono::duration<double>(Clock::now() - program_start).count();
    ranks.broadcast(std::as_writable_bytes(std::span(&left, 1)));
    constexpr double kForever = 1e9;  // seconds; more would overflow the clock
    deadline = Clock::now() +
               std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(std::min(left, kForever)));
}

std::string_view stop_reason() noexcept {
    return stop_flag == 0 && deadline ? "because its time was up" : "on request";
}

int run_guarded(int argc, char** argv, const std::function<int(Communicator&)>& body) {
    try {
        const Session session(argc, argv);
        Communicator ranks;
        try {
            return body(ranks);
        } catch (...) {
            return end_after_failure(ranks);
        }
    } catch (const std::exception& error) {  // MPI itself didn't start
        const Failure failure = describe(error);
        print(failure.message);
        return static_cast<int>(failure.code);
    }
}

}  // namespace tdrm::comm
