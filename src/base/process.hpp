// A command that runs beside this program: its pipes, its process group, its end.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>

namespace tdrm {

/// An open descriptor of this object's own, or none (-1).
class Descriptor {
public:
    explicit Descriptor(int id = -1) : id_(id) {}
    ~Descriptor() { close(); }
    Descriptor(Descriptor&& other) noexcept : id_(std::exchange(other.id_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(id_, other.id_);
        return *this;
    }

    [[nodiscard]] int id() const { return id_; }
    void close();

private:
    int id_;
};

/// `/bin/sh -c COMMAND` in a process group of its own, with the default handling of all signals. Standard input and
/// standard output are pipes to us, standard error is ours; no other descriptor of this program is open in it (before
/// glibc 2.34: none that closes on exec).
///
/// All of the group, whatever the command started included, is killed with this object, and also when this program is
/// killed: the group's leader is a second shell that waits for our end. (A process that leaves the group by setsid
/// stays.)
class Process {
public:
    /// Local. @throws IoError if the system grants no pipe or no process
    explicit Process(const std::string& command);
    /// Kills the group and reaps its two processes that are ours.
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    /// Our ends of the command's standard input (-1 once it is closed) and standard output. They don't block; whoever
    /// writes sees to SIGPIPE.
    [[nodiscard]] int input() const { return input_.id(); }
    [[nodiscard]] int output() const { return output_.id(); }
    /// The command reads the end of its input.
    void close_input() { input_.close(); }

    /// Waits so many seconds for the command to end. Its status as waitpid gives it, or nothing if it goes on (or the
    /// system reaps children by itself, where SIGCHLD is ignored).
    [[nodiscard]] std::optional<int> wait(double seconds);

private:
    void end() noexcept;

    Descriptor life_, input_, output_;
    pid_t guard_ = 0, command_ = 0;  ///< 0 if there is none, or it is reaped
    std::optional<int> status_;
};

/// "ended with exit status 3", "was killed by signal 11 (Segmentation fault)".
[[nodiscard]] std::string status_text(int status);
/// Whether it is that of a shell that finds no such program, or may not execute it (127 and 126).
[[nodiscard]] bool is_not_found(int status);

}  // namespace tdrm
