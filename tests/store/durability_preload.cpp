// LD_PRELOAD library that writes down what a program does to the files below a folder, and plays a worse disk.
//
// DISK_FOLDER       the folder, an absolute path without links; nothing happens elsewhere
// DISK_LOG          a line per event is appended there, before the event, but `sync` behind it, if it went well:
//                   write PATH BYTES | sync PATH | mkdir PATH | remove PATH | rename FROM TO | exchange ONE OTHER
//                   (tabs)
// DISK_NO_EXCHANGE  names can't be exchanged, as on NFS and some Lustre
// DISK_BYTES        room for so many bytes; then the disk is full
// DISK_LATE         with DISK_BYTES: writes go well, fsync says that the disk is full, as on NFS
// DISK_REFUSALS     with DISK_BYTES: after so many refused writes somebody made room again
// DISK_KILL         SIGKILL before event number so many, from 1, of those whose lines contain DISK_COUNT
//
// The operating system is asked without libc, which has these names, too.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

// No std::string: a signal handler may write.
struct Path {
    char text[2 * PATH_MAX + 2] = "";

    /// Of an open file; empty if it has none.
    explicit Path(int file) {
        char link[64];
        std::snprintf(link, sizeof link, "/proc/self/fd/%d", file);
        const ssize_t size = ::readlink(link, text, PATH_MAX);
        text[size > 0 ? size : 0] = '\0';
    }
    Path(int folder, const char* name) {
        if (name[0] != '/') {
            if (folder == AT_FDCWD && ::getcwd(text, PATH_MAX) == nullptr) text[0] = '\0';
            if (folder != AT_FDCWD) std::strcpy(text, Path(folder).text);
            std::strcat(text, "/");
        }
        std::strncat(text, name, PATH_MAX);
    }
    [[nodiscard]] bool watched() const {
        const char* folder = std::getenv("DISK_FOLDER");
        const std::size_t size = folder != nullptr ? std::strlen(folder) : 0;
        return size > 0 && std::strncmp(text, folder, size) == 0 && (text[size] == '/' || text[size] == '\0');
    }
};

long number(const char* name, long otherwise) {
    const char* text = std::getenv(name);
    return text != nullptr ? std::atol(text) : otherwise;
}

struct Event {
    char line[5 * PATH_MAX];

    Event(const char* what, const Path& path) { std::snprintf(line, sizeof line, "%s\t%s\n", what, path.text); }
    Event(const char* what, const Path& path, const char* more) {
        std::snprintf(line, sizeof line, "%s\t%s\t%s\n", what, path.text, more);
    }
    void may_kill() const {
        static std::atomic<long> counted = 0;
        const char* pattern = std::getenv("DISK_COUNT");
        if (pattern != nullptr && std::strstr(line, pattern) == nullptr) return;
        if (++counted == number("DISK_KILL", 0)) ::raise(SIGKILL);
    }
    void log() const {
        const char* log = std::getenv("DISK_LOG");
        if (log == nullptr) return;
        const long file = ::syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        ::syscall(SYS_write, file, line, std::strlen(line));
        ::syscall(SYS_close, file);
    }
    void happens() const {
        const int error = errno;
        may_kill();
        log();
        errno = error;
    }
};

void writes(const Path& path, std::size_t bytes) {
    char number[32];
    std::snprintf(number, sizeof number, "%zu", bytes);
    Event("write", path, number).happens();
}

void happens(const char* what, const Path& path) {
    if (path.watched()) Event(what, path).happens();
}

std::atomic<long> taken = 0;

bool full() { return taken > number("DISK_BYTES", LONG_MAX); }

/// How many of the bytes the disk takes: the last write before it is full is a short one. -1 if it is full.
ssize_t room(int file, std::size_t bytes) {
    const Path path(file);
    if (!path.watched()) return static_cast<ssize_t>(bytes);
    writes(path, bytes);
    const long before = taken.fetch_add(static_cast<long>(bytes));
    const long left = number("DISK_BYTES", LONG_MAX) - before;
    if (std::getenv("DISK_LATE") != nullptr || left >= static_cast<long>(bytes)) return static_cast<ssize_t>(bytes);
    if (left > 0) return left;
    static std::atomic<long> refused = 0;
    if (refused++ >= number("DISK_REFUSALS", LONG_MAX)) return static_cast<ssize_t>(bytes);
    errno = ENOSPC;
    return -1;
}

int sync_by(long call, int file) {
    const Path path(file);
    if (!path.watched()) return static_cast<int>(::syscall(call, file));
    const Event event("sync", path);
    event.may_kill();
    if (std::getenv("DISK_LATE") != nullptr && full()) {
        errno = ENOSPC;
        return -1;
    }
    const long result = ::syscall(call, file);
    if (result == 0) event.log();
    return static_cast<int>(result);
}

int rename_at(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
    const Path source(from_folder, from);
    const Path target(to_folder, to);
    const bool watched = source.watched() || target.watched();
    const bool exchange = (flags & RENAME_EXCHANGE) != 0;
    if (watched && exchange && std::getenv("DISK_NO_EXCHANGE") != nullptr) {
        errno = EINVAL;
        return -1;
    }
    if (watched) Event(exchange ? "exchange" : "rename", source, target.text).happens();
    return static_cast<int>(::syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
}

int remove_at(int folder, const char* name, int flags) {
    happens("remove", Path(folder, name));
    return static_cast<int>(::syscall(SYS_unlinkat, folder, name, flags));
}

int make_folder_at(int folder, const char* name, mode_t mode) {
    happens("mkdir", Path(folder, name));
    return static_cast<int>(::syscall(SYS_mkdirat, folder, name, mode));
}

}  // namespace

extern "C" {

ssize_t write(int file, const void* data, size_t bytes) {
    const ssize_t take = room(file, bytes);
    return take < 0 ? -1 : ::syscall(SYS_write, file, data, take);
}

ssize_t pwrite64(int file, const void* data, size_t bytes, off64_t at) {
    const ssize_t take = room(file, bytes);
    return take < 0 ? -1 : ::syscall(SYS_pwrite64, file, data, take, at);
}

ssize_t pwrite(int file, const void* data, size_t bytes, off_t at) { return pwrite64(file, data, bytes, at); }

ssize_t writev(int file, const iovec* pieces, int count) {
    std::size_t bytes = 0;
    for (int i = 0; i < count; ++i) bytes += pieces[i].iov_len;
    const ssize_t take = room(file, bytes);
    if (take < 0) return -1;
    if (take == static_cast<ssize_t>(bytes)) return ::syscall(SYS_writev, file, pieces, count);
    const auto first = static_cast<ssize_t>(pieces[0].iov_len);  // a short one, of the first piece alone
    return ::syscall(SYS_write, file, pieces[0].iov_base, take < first ? take : first);
}

int ftruncate64(int file, off64_t size) noexcept {
    if (const Path path(file); path.watched()) writes(path, 0);
    return static_cast<int>(::syscall(SYS_ftruncate, file, size));
}

int ftruncate(int file, off_t size) noexcept { return ftruncate64(file, size); }

int fsync(int file) { return sync_by(SYS_fsync, file); }

int fdatasync(int file) { return sync_by(SYS_fdatasync, file); }

int rename(const char* from, const char* to) noexcept { return rename_at(AT_FDCWD, from, AT_FDCWD, to, 0); }

int renameat(int from_folder, const char* from, int to_folder, const char* to) noexcept {
    return rename_at(from_folder, from, to_folder, to, 0);
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) noexcept {
    return rename_at(from_folder, from, to_folder, to, flags);
}

int unlink(const char* path) noexcept { return remove_at(AT_FDCWD, path, 0); }

int unlinkat(int folder, const char* name, int flags) noexcept { return remove_at(folder, name, flags); }

int rmdir(const char* path) noexcept { return remove_at(AT_FDCWD, path, AT_REMOVEDIR); }

int remove(const char* path) noexcept {
    struct stat status {};
    const bool folder = ::lstat(path, &status) == 0 && S_ISDIR(status.st_mode);
    return remove_at(AT_FDCWD, path, folder ? AT_REMOVEDIR : 0);
}

int mkdir(const char* path, mode_t mode) noexcept { return make_folder_at(AT_FDCWD, path, mode); }

int mkdirat(int folder, const char* name, mode_t mode) noexcept { return make_folder_at(folder, name, mode); }
}
