// Errors of the whole program. A message reads: *problem (why it matters). Suggestion.*
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace tdrm {

/// What the process returns to the batch system.
enum class ExitCode : int {
    ok = 0,
    usage = 64,      ///< wrong command line or configuration
    data = 65,       ///< input data that can't be used
    missing = 69,    ///< a part of the installation
    bug = 70,        ///< a broken internal promise
    comm = 71,       ///< a rank is gone, silent or disagrees
    io = 74,         ///< the file system refused
    preempted = 75,  ///< stopped on request after a commit; requeue
};

/// Base of all failures that the program understands; carries the exit code.
class Error : public std::runtime_error {
public:
    Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
    [[nodiscard]] ExitCode code() const noexcept { return code_; }

private:
    ExitCode code_;
};

struct ConfigError : Error {
    explicit ConfigError(const std::string& message) : Error(ExitCode::usage, message) {}
};
struct DataError : Error {
    explicit DataError(const std::string& message) : Error(ExitCode::data, message) {}
};
struct MissingError : Error {
    explicit MissingError(const std::string& message) : Error(ExitCode::missing, message) {}
};
struct BugError : Error {
    explicit BugError(const std::string& message) : Error(ExitCode::bug, message) {}
};
struct CommError : Error {
    explicit CommError(const std::string& message) : Error(ExitCode::comm, message) {}
};
struct IoError : Error {
    explicit IoError(const std::string& message) : Error(ExitCode::io, message) {}
};
struct Preempted : Error {
    explicit Preempted(const std::string& message) : Error(ExitCode::preempted, message) {}
};

/// Joins its arguments as a stream would print them: cat("rank ", 3, " is gone").
template <class... Parts>
[[nodiscard]] std::string cat(const Parts&... parts) {
    std::ostringstream stream;
    (stream << ... << parts);
    return stream.str();
}

/// Throws BugError if a promise between functions is broken.
inline void ensure(bool promise, const char* what) {
    if (!promise) throw BugError(cat("internal promise broken: ", what, ". This is a bug in tdrm; please report it."));
}

/// Exit code and message of any exception, nested causes joined by ": ".
struct Failure {
    ExitCode code;
    std::string message;
};
[[nodiscard]] Failure describe(const std::exception& error);

}  // namespace tdrm
