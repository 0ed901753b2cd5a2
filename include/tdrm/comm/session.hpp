// The life of an MPI process: its start, its end, and the way out of a failure.
#pragma once

#include <functional>
#include <string_view>

#include "tdrm/comm/communicator.hpp"

namespace tdrm::comm {

/// MPI from construction to destruction. One per process, on the main thread, which makes all MPI calls
/// (MPI_THREAD_FUNNELED). The process asks to die with its launcher and listens for stop requests.
class Session {
public:
    /// Collective. @throws CommError if MPI can't start.
    Session(int& argc, char**& argv);
    /// Collective, except while an exception unwinds.
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

private:
    int exceptions_at_birth_;
};

/// What `main` does: starts MPI, runs the body, and turns whatever it throws into the exit code of tdrm::describe.
/// - A failure that all ranks share (it came out of agree or require_equal, or there is one rank): rank 0 prints it
///   once, everybody ends normally.
/// - A failure of this rank alone: it prints "tdrm: rank 3: message" and ends the whole job at once (MPI_Abort),
/// because
///   the others may wait for it for ever.
/// So code that fails alike on every rank (reading the configuration) belongs in an agree section too.
/// @returns the exit code; what the body returned if it threw nothing
int run_guarded(int argc, char** argv, const std::function<int(Communicator&)>& body);

/// Local. Whether SIGTERM, SIGUSR1 or SIGINT has asked this process to stop after the next commit, or its time is up; a
/// second SIGINT ends it at once. Ranks learn of it at different times: act on `ranks.any(stop_requested())`.
/// (mpirun hands SIGUSR1 on to its ranks; on SIGTERM it kills them shortly afterwards.)
[[nodiscard]] bool stop_requested() noexcept;
/// Collective. From now on a stop is requested as soon as so many seconds have passed since rank 0's program started.
/// (Every rank waits for the moment by its own clock, counted from rank 0's answer, so that none has to ask.)
void stop_after(Communicator& ranks, double seconds);
/// Local. "on request" or "because its time was up", for the message.
[[nodiscard]] std::string_view stop_reason() noexcept;

}  // namespace tdrm::comm
