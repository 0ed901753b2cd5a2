#include "tdrm/store/directory.hpp"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "descriptor.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::store {
namespace fs = std::filesystem;
namespace {

// Runs a std::filesystem operation and turns its exception into ours.
template <class Operation>
auto file_system(Operation operation) {
    try {
        return operation();
    } catch (const fs::filesystem_error& error) {
        throw IoError(cat("can't write ", error.path1().string(), " (", error.code().message(),
                          "). Check that the folder may be written and its disk has room."));
    }
}

fs::path with_suffix(const fs::path& path, const char* suffix) { return path.native() + suffix; }

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

void sync_tree(const fs::path& directory) {
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
        if (!entry.is_symlink()) sync(entry.path());
    }
    sync(directory);
}

// Where the kernel can't exchange names (NFS, some Lustre), the old folder is moved aside; remove_leftovers() and
// begin_directory() put it back if we die in between.
void replace_directory(const fs::path& temporary, const fs::path& final) {
    if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, final.c_str(), RENAME_EXCHANGE) == 0)
        return sync(folder_of(final));
    const fs::path old = with_suffix(final, ".old");
    fs::remove_all(old);
    rename_synced(final, old);
    rename_synced(temporary, final);
    fs::remove_all(old);
}

void restore_old(const fs::path& final) {
    const fs::path old = with_suffix(final, ".old");
    if (!fs::exists(old)) return;
    if (fs::exists(final)) {
        fs::remove_all(old);
    } else {
        rename_synced(old, final);
    }
}

}  // namespace

void sync(const fs::path& path) { Descriptor(path, O_RDONLY).sync(); }

void make_directories(const fs::path& directory) {
    file_system([&] {
        if (fs::is_directory(directory)) return;
        const fs::path parent = folder_of(directory);
        make_directories(parent);
        fs::create_directory(directory);
        if (::access(parent.c_str(), R_OK) == 0) sync(parent);  // one that may only be entered can't be synced
    });
}

void write_text_atomic(const fs::path& path, std::string_view text) {
    const fs::path temporary = temporary_of(path);
    try {
        Descriptor file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
        file.write(text.data(), text.size());
        file.sync();
        rename_synced(temporary, path);
    } catch (...) {
        ::unlink(temporary.c_str());
        throw;
    }
}

fs::path temporary_of(const fs::path& final) { return with_suffix(final, ".tmp"); }

fs::path begin_directory(const fs::path& final) {
    return file_system([&] {
        restore_old(final);
        fs::path temporary = temporary_of(final);
        fs::remove_all(temporary);
        make_directories(temporary);
        return temporary;
    });
}

void commit_directory(const fs::path& final) {
    file_system([&] {
        const fs::path temporary = temporary_of(final);
        sync_tree(temporary);
        if (fs::exists(final)) {
            replace_directory(temporary, final);
        } else {
            rename_synced(temporary, final);
        }
        fs::remove_all(temporary);
    });
}

void discard_directory(const fs::path& final) noexcept {
    std::error_code ignored;
    fs::remove_all(temporary_of(final), ignored);
}

void atomic_directory(const fs::path& final, const std::function<void(const fs::path&)>& fill) {
    try {
        fill(begin_directory(final));
        commit_directory(final);
    } catch (...) {
        discard_directory(final);
        throw;
    }
}

void remove_directory(const fs::path& directory) {
    file_system([&] {
        if (!fs::exists(directory)) return;
        const fs::path temporary = temporary_of(directory);
        fs::remove_all(temporary);
        rename_synced(directory, temporary);
        fs::remove_all(temporary);
    });
}

void remove_leftovers(const fs::path& parent) {
    file_system([&] {
        if (!fs::exists(parent)) return;
        std::vector<fs::path> entries;
        for (const auto& entry : fs::directory_iterator(parent)) entries.push_back(entry.path());
        for (const fs::path& path : entries) {
            if (path.extension() == ".tmp") fs::remove_all(path);
            if (path.extension() == ".old") restore_old(fs::path(path).replace_extension());
        }
    });
}

std::int64_t free_bytes(const fs::path& path) {
    struct statvfs status {};
    if (::statvfs(path.c_str(), &status) != 0) throw_errno("ask for the free space of", path);
    return static_cast<std::int64_t>(status.f_bavail) * static_cast<std::int64_t>(status.f_frsize);
}

namespace {

// True if the lock is ours now. The lock belongs to the open file, so that two objects of one process exclude each
// other.
bool try_lock(int file, const fs::path& path, short type = F_WRLCK) {
    struct flock request {};
    request.l_type = type;
    request.l_whence = SEEK_SET;
    int failed = 0;
    do {
        failed = ::fcntl(file, F_OFD_SETLK, &request);
    } while (failed != 0 && errno == EINTR);
    if (failed == 0) return true;
    if (errno == EAGAIN || errno == EACCES) return false;
    throw IoError(cat("can't lock ", path.string(), " (", std::strerror(errno),
                      "). Put the run's folder on a file system with fcntl locks (Lustre: mount with -o flock)."));
}

std::string holder_of(int file) {
    std::array<char, 512> text{};
    const ssize_t got = ::pread(file, text.data(), text.size() - 1, 0);
    std::string holder(text.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
    while (!holder.empty() && holder.back() == '\n') holder.pop_back();
    return holder.empty() ? "an unknown process" : holder;
}

std::string own_name() {
    std::array<char, 256> host{};
    const bool known = ::gethostname(host.data(), host.size() - 1) == 0;
    return cat("host ", known ? host.data() : "unknown", ", pid ", ::getpid(), "\n");
}

}  // namespace

RunLock::RunLock(const fs::path& directory, std::chrono::duration<double> patience,
                 const std::function<void(const std::string& holder)>& on_wait) {
    make_directories(directory);
    const fs::path path = directory / ".lock";
    Descriptor file(path, O_RDWR | O_CREAT);
    const auto deadline = std::chrono::steady_clock::now() + patience;
    for (bool told = false; !try_lock(file.id(), path);) {
        if (std::chrono::steady_clock::now() >= deadline) {
            throw ConfigError(
                cat(directory.string(), " is in use by ", holder_of(file.id()),
                    " (two runs in one folder would overwrite each other). Wait for it or stop it, or choose "
                    "another run.dir."));
        }
        if (!told && on_wait) on_wait(holder_of(file.id()));
        told = true;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    if (::ftruncate(file.id(), 0) != 0) throw_errno("write", path);
    const std::string name = own_name();
    file.write(name.data(), name.size());
    file_ = file.release();
}

void RunLock::share() {
    if (!try_lock(file_, "the run's folder", F_RDLCK))
        throw IoError("the lock of the run's folder is lost (another run may write there). Start again.");
}

RunLock RunLock::shared(const fs::path& directory) {
    const fs::path path = directory / ".lock";
    Descriptor file(path, O_RDWR);
    if (!try_lock(file.id(), path, F_RDLCK))
        throw IoError(cat(path.string(), " is held by another run (the ranks must share it). Start again."));
    return RunLock(file.release());
}

RunLock::~RunLock() {
    if (file_ >= 0) ::close(file_);
}

RunLock::RunLock(RunLock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}

}  // namespace tdrm::store
