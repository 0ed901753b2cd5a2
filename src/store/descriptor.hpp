// An open file of the operating system. Private to this room.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>
#include <utility>

namespace tdrm::store {

/// Throws IoError: *can't `action` `path` (errno)*, with a suggestion where there is one.
[[noreturn]] void throw_errno(std::string_view action, const std::filesystem::path& path);

class Descriptor {
public:
    /// @param flags  of open(2); O_CLOEXEC is added. @throws IoError
    Descriptor(const std::filesystem::path& path, int flags);
    ~Descriptor() { reset(); }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;

    [[nodiscard]] int id() const { return id_; }
    int release() { return std::exchange(id_, -1); }
    void reset() noexcept;
    /// Writes all bytes at the current position. @throws IoError
    void write(const void* data, std::size_t bytes);
    /// @throws IoError
    void sync();

private:
    std::filesystem::path path_;
    int id_;
};

/// Renames `from` to `to`, replacing it. @throws IoError
void rename_unsynced(const std::filesystem::path& from, const std::filesystem::path& to);
/// The same, then syncs the folder.
void rename_synced(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace tdrm::store
