// Names the rank that keeps the others waiting, and ends the job instead of letting it hang.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string_view>

#include "tdrm/comm/communicator.hpp"

namespace tdrm::comm {

struct WatchdogOptions {
    std::chrono::milliseconds deadline{std::chrono::minutes(10)};  ///< longest silence of a rank that others wait for
};

/// Each rank keeps a record `rank-0003.record` (text lines: sequence, state, kind, bytes, phase, unit, alive, time) in
/// a directory that all ranks see. A thread, which never calls MPI, writes it every second, or every tenth of a shorter
/// deadline. When this rank has waited in one collective for longer than the deadline, the thread reads everybody's
/// record. A rank that writes no record, or is behind and silent (no collective, phase or unit begun) for the deadline,
/// is named on standard error, and the process leaves with exit code 71, which makes the launcher end the job.
/// A rank that works long units must therefore call `unit` within each deadline. Clocks of the nodes must agree to
/// within a fraction of the deadline.
class Watchdog {
public:
    /// Collective; makes the directory and watches `ranks` until destroyed.
    /// @throws IoError on every rank if a record can't be written.
    Watchdog(Communicator& ranks, const std::filesystem::path& directory, WatchdogOptions options = {});
    ~Watchdog();  ///< local
    Watchdog(const Watchdog&) = delete;
    Watchdog& operator=(const Watchdog&) = delete;

    /// Local, well below a microsecond. What this rank is doing: "rollout", "update 200".
    void phase(std::string_view name);
    void unit(std::string_view name);

    /// Local, called by Communicator around each collective.
    void enter(const char* kind, std::size_t bytes);
    void leave();

private:
    class Records;
    std::unique_ptr<Records> records_;
    Communicator& ranks_;
};

}  // namespace tdrm::comm
