// Files that are read: only regular ones are opened, so that no pipe, device or folder can hang or surprise a reader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tdrm {

/// More than any configuration, index or record of this program has.
constexpr std::uint64_t kMaxTextBytes = std::uint64_t{64} << 20;

/// A regular file that is open for reading. Links are followed; a folder, named pipe, socket or device isn't opened.
class RegularFile {
public:
    /// @param why  completes "can't read PATH: ...": "a model's folder needs it".
    /// @throws IoError if the file isn't there, isn't a regular file, or may not be read
    explicit RegularFile(std::filesystem::path path, std::string_view why = "");
    ~RegularFile();
    RegularFile(RegularFile&& other) noexcept;
    RegularFile& operator=(RegularFile&&) = delete;

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    /// Bytes when it was opened.
    [[nodiscard]] std::uint64_t size() const { return size_; }
    /// The descriptor; stays this object's.
    [[nodiscard]] int id() const { return id_; }
    /// Reads up to out.size() bytes from a place on; fewer only at the end of the file. @throws IoError
    [[nodiscard]] std::size_t read_at(std::uint64_t place, std::span<std::byte> out) const;

private:
    std::filesystem::path path_;
    std::uint64_t size_ = 0;
    int id_ = -1;
};

/// All bytes of a regular file.
/// @throws IoError as RegularFile; DataError if it is longer than `limit`, or the pointer that Git LFS leaves in the
/// place of a file
[[nodiscard]] std::string read_file(const std::filesystem::path& path, std::string_view why = "",
                                    std::uint64_t limit = kMaxTextBytes);

/// The same for a file that may be missing: nothing if there is none of this name.
[[nodiscard]] std::optional<std::string> read_file_if_there(const std::filesystem::path& path,
                                                            std::string_view why = "",
                                                            std::uint64_t limit = kMaxTextBytes);

/// @throws DataError if a file's first bytes are those of a Git LFS pointer
void refuse_lfs_pointer(const std::filesystem::path& path, std::string_view beginning);

/// Whether something of this name is there, also what may not be looked at (a link to itself, a name that is too long):
/// whoever opens it says what is wrong with it. Unlike std::filesystem::exists it throws nothing.
[[nodiscard]] bool is_there(const std::filesystem::path& path) noexcept;

}  // namespace tdrm
