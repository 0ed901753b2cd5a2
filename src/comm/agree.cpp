// Agree sections: a failure of one rank becomes everybody's.
#include <algorithm>
#include <cstdlib>

#include "mpi.hpp"

namespace tdrm::comm {
namespace {

Failure describe_pointer(const std::exception_ptr& pointer) {
    try {
        std::rethrow_exception(pointer);
    } catch (const std::exception& error) {
        return describe(error);
    } catch (...) {
        return {ExitCode::bug, "an exception of unknown type. This is a bug in tdrm; please report it."};
    }
}

// On the wire: the exit code, a blank, the message; nothing at all from a healthy rank.
std::string pack(const Failure& failure) { return cat(static_cast<int>(failure.code), ' ', failure.message); }

Failure unpack(const std::string& wire) {
    char* rest = nullptr;
    const long code = std::strtol(wire.c_str(), &rest, 10);
    return {static_cast<ExitCode>(code), wire.substr(static_cast<std::size_t>(rest - wire.c_str()) + 1)};
}

// The first failing rank speaks for all; a stop request must not hide an error behind "requeue". What every rank says
// alike needs no rank's name.
std::optional<Failure> choose(const std::vector<std::string>& wires, std::string_view what) {
    std::optional<Failure> chosen;
    for (std::size_t r = 0; r < wires.size(); ++r) {
        if (wires[r].empty()) continue;
        Failure failure = unpack(wires[r]);
        const bool worse = chosen && chosen->code == ExitCode::preempted && failure.code != ExitCode::preempted;
        if (chosen && !worse) continue;
        if (std::count(wires.begin(), wires.end(), wires[r]) < static_cast<std::ptrdiff_t>(wires.size()))
            failure.message = cat("rank ", r, ", ", what, ": ", failure.message);
        chosen = failure;
    }
    return chosen;
}

}  // namespace

void Communicator::begin_agree() {
    ensure(!impl_->inside_agree, "agree sections aren't nested");
    impl_->inside_agree = true;
}

void Communicator::end_agree(std::string_view what, const std::exception_ptr& failure) {
    impl_->inside_agree = false;
    const auto wires = all_gather_bytes(failure ? pack(describe_pointer(failure)) : std::string());
    const auto chosen = choose(wires, what);
    if (!chosen) return;
    impl_->shared_failure = chosen;
    if (failure) std::rethrow_exception(failure);
    throw PeerError(chosen->code, chosen->message);
}

}  // namespace tdrm::comm
