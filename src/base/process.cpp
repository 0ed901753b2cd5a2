#include "process.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <thread>

#include "tdrm/base/clock.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm {
namespace {

// Reads our end of a pipe, in which nothing is ever written: it ends with us, by whatever death.
constexpr const char* kGuard = "read -r nothing; kill -KILL 0";

constexpr double kReapSeconds = 10;  // a killed process whose disk hangs isn't waited for any longer

[[noreturn]] void refuse(std::string_view what, int error) {
    throw IoError(cat("can't ", what, " for a command (", std::strerror(error),
                      "). Lower the number of its workers, or raise the limits of open files and processes."));
}

struct Pipe {
    Descriptor read, write;
};

/// Both ends close on exec and are none of the three standard ones, onto which they are copied for the command.
Pipe make_pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) refuse("make a pipe", errno);
    Pipe pipe{Descriptor(ends[0]), Descriptor(ends[1])};
    for (Descriptor* end : {&pipe.read, &pipe.write}) {
        if (end->id() > STDERR_FILENO) continue;
        *end = Descriptor(::fcntl(end->id(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
        if (end->id() < 0) refuse("make a pipe", errno);
    }
    return pipe;
}

void dont_block(const Descriptor& end) {
    if (::fcntl(end.id(), F_SETFL, O_NONBLOCK) != 0) refuse("set up a pipe", errno);
}

/// What posix_spawn is told: unlike fork it copies no memory, and MPI libraries with registered memory allow it.
class Spawning {
public:
    /// @param group  to join; 0 for a new one
    explicit Spawning(pid_t group) {
        posix_spawnattr_init(&attributes_);
        posix_spawn_file_actions_init(&actions_);
        sigset_t signals;
        sigfillset(&signals);
        posix_spawnattr_setsigdefault(&attributes_, &signals);
        sigemptyset(&signals);
        posix_spawnattr_setsigmask(&attributes_, &signals);
        posix_spawnattr_setpgroup(&attributes_, group);
        posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    }
    ~Spawning() {
        posix_spawn_file_actions_destroy(&actions_);
        posix_spawnattr_destroy(&attributes_);
    }
    Spawning(const Spawning&) = delete;
    Spawning& operator=(const Spawning&) = delete;

    void copy(const Descriptor& from, int to) {
        if (const int error = posix_spawn_file_actions_adddup2(&actions_, from.id(), to)) refuse("copy a pipe", error);
    }

    /// `/bin/sh -c SCRIPT`.
    pid_t start(std::string script) {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
        if (const int error = posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1))
            refuse("close files", error);
#endif
        std::string name = "sh", flag = "-c";
        const std::array<char*, 4> arguments{name.data(), flag.data(), script.data(), nullptr};
        pid_t pid = 0;
        if (const int error = posix_spawn(&pid, "/bin/sh", &actions_, &attributes_, arguments.data(), environ))
            refuse("start /bin/sh", error);
        return pid;
    }

private:
    posix_spawnattr_t attributes_;
    posix_spawn_file_actions_t actions_;
};

/// Waits so many seconds for a child to end, and reaps it: true, with its status, or false if it goes on. A child of
/// which the system knows nothing is gone, and `status` stays.
bool reap(pid_t pid, double seconds, std::optional<int>& status) {
    const double start = steady_seconds();
    for (;;) {
        int found = 0;
        const pid_t got = ::waitpid(pid, &found, WNOHANG);
        if (got == pid) status = found;
        if (got == pid || (got < 0 && errno != EINTR)) return true;
        if (steady_seconds() - start >= seconds) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

}  // namespace

void Descriptor::close() {
    if (id_ >= 0) ::close(std::exchange(id_, -1));
}

Process::Process(const std::string& command) {
    Pipe life = make_pipe(), input = make_pipe(), output = make_pipe();
    dont_block(input.write);
    dont_block(output.read);
    try {
        Spawning guard(0);
        guard.copy(life.read, STDIN_FILENO);
        guard_ = guard.start(kGuard);
        Spawning spawning(guard_);
        spawning.copy(input.read, STDIN_FILENO);
        spawning.copy(output.write, STDOUT_FILENO);
        command_ = spawning.start(command);
    } catch (...) {
        end();
        throw;
    }
    life_ = std::move(life.write);
    input_ = std::move(input.write);
    output_ = std::move(output.read);
}

Process::~Process() { end(); }

std::optional<int> Process::wait(double seconds) {
    if (command_ > 0 && reap(command_, seconds, status_)) command_ = 0;
    return status_;
}

// The group's number can't have become another's: its leader isn't reaped.
void Process::end() noexcept {
    if (guard_ <= 0) return;
    ::kill(-guard_, SIGKILL);
    std::optional<int> unused;
    for (const pid_t pid : {std::exchange(command_, 0), std::exchange(guard_, 0)})
        if (pid > 0) reap(pid, kReapSeconds, unused);
}

std::string status_text(int status) {
    if (WIFSIGNALED(status))
        return cat("was killed by signal ", WTERMSIG(status), " (", ::strsignal(WTERMSIG(status)), ")");
    std::string text = cat("ended with exit status ", WEXITSTATUS(status));
    const int signal = WEXITSTATUS(status) - 128;
    if (signal > 0 && signal <= SIGSYS)
        text += cat(" (of a shell: its program was killed by signal ", signal, ", ", ::strsignal(signal), ")");
    return text;
}

bool is_not_found(int status) {
    return WIFEXITED(status) && (WEXITSTATUS(status) == 126 || WEXITSTATUS(status) == 127);
}

}  // namespace tdrm
