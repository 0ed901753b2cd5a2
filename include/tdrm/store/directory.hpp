// Folders and small files that appear whole or not at all, and the lock of a run.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace tdrm::store {

/// Writes `path` in one step: temporary file, fsync, rename, fsync of the folder. Local. @throws IoError
void write_text_atomic(const std::filesystem::path& path, std::string_view text);

/// Makes the folder `final`.tmp, lets `fill` write into it, and renames it to `final` once everything is on disk. An
/// existing `final` is replaced (by an atomic exchange where the file system has it). If `fill` throws, the temporary
/// folder is removed and `final` stays as it was. Local. @throws IoError, and whatever `fill` throws
void atomic_directory(const std::filesystem::path& final,
                      const std::function<void(const std::filesystem::path& temporary)>& fill);

/// The three steps of atomic_directory, for callers that fill the folder together: begin removes what a killed run left
/// and returns the new temporary folder; commit syncs and renames; discard removes the temporary folder and never
/// throws.
std::filesystem::path begin_directory(const std::filesystem::path& final);
void commit_directory(const std::filesystem::path& final);
void discard_directory(const std::filesystem::path& final) noexcept;

/// Name of the folder that is filled before it is renamed to `final`.
[[nodiscard]] std::filesystem::path temporary_of(const std::filesystem::path& final);

/// Deletes a folder so that a kill half-way leaves either all of it or only a leftover. Missing folders are fine.
void remove_directory(const std::filesystem::path& directory);

/// Removes `*.tmp` of a killed run directly in `parent`, and puts back `*.old` whose replacement never came. Call it
/// only while holding the RunLock. A missing parent is fine. @throws IoError
void remove_leftovers(const std::filesystem::path& parent);

/// Makes a folder and those above it that are missing, each on disk before anything is put into it. Local. @throws
/// IoError
void make_directories(const std::filesystem::path& directory);

/// fsync of a file, or of a folder's entries. @throws IoError
void sync(const std::filesystem::path& path);

/// Bytes that an ordinary user may still write on the file system of `path`. @throws IoError
[[nodiscard]] std::int64_t free_bytes(const std::filesystem::path& path);

/// The sole right to write into a run's folder: an fcntl lock on `directory`/.lock (the folder is made if missing),
/// held for the life of the object and released by the kernel if the process dies. Children that call exec don't
/// inherit it.
class RunLock {
public:
    /// Waits up to `patience` for another holder to go away; `on_wait`, if given, is called once with the holder's host
    /// and pid before waiting. @throws ConfigError if the folder is still in use; IoError if it can't be locked
    explicit RunLock(const std::filesystem::path& directory, std::chrono::duration<double> patience = {},
                     const std::function<void(const std::string& holder)>& on_wait = {});
    /// Lets the other processes of the run hold the lock too, each by its own RunLock::shared: the folder stays in use
    /// until the last of them is gone. @throws IoError
    void share();
    /// Joins a holder that called share(). @throws IoError, also if the folder is held alone by somebody
    [[nodiscard]] static RunLock shared(const std::filesystem::path& directory);
    ~RunLock();
    RunLock(RunLock&& other) noexcept;
    RunLock& operator=(RunLock&&) = delete;

private:
    explicit RunLock(int file) : file_(file) {}
    int file_ = -1;
};

}  // namespace tdrm::store
