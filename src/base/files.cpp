#include "tdrm/base/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/text.hpp"

namespace tdrm {
namespace {

constexpr std::string_view kLfs = "version https://git-lfs.github.com/spec/";

[[noreturn]] void refuse(const std::filesystem::path& path, std::string_view problem, std::string_view why) {
    throw IoError(cat("can't read ", shortened(path.string(), 500), ": ", problem,
                      why.empty() ? "" : cat(" (", why, ")"), ". Check the path."));
}

std::string_view kind_of(mode_t mode) {
    if (S_ISDIR(mode)) return "it is a folder";
    if (S_ISFIFO(mode)) return "it is a named pipe, not a regular file";
    if (S_ISSOCK(mode)) return "it is a socket, not a regular file";
    return "it is a device, not a regular file";
}

}  // namespace

RegularFile::RegularFile(std::filesystem::path path, std::string_view why) : path_(std::move(path)) {
    struct stat status {};
    if (::stat(path_.c_str(), &status) != 0) refuse(path_, std::strerror(errno), why);
    if (!S_ISREG(status.st_mode)) refuse(path_, kind_of(status.st_mode), why);
    // Should it have been replaced meanwhile, a pipe mustn't wait for its writer.
    id_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (id_ < 0) refuse(path_, std::strerror(errno), why);
    const bool known = ::fstat(id_, &status) == 0;
    if (!known || !S_ISREG(status.st_mode)) {
        const std::string problem = known ? std::string(kind_of(status.st_mode)) : std::strerror(errno);
        ::close(std::exchange(id_, -1));
        refuse(path_, problem, why);
    }
    size_ = static_cast<std::uint64_t>(status.st_size);
}

RegularFile::~RegularFile() {
    if (id_ >= 0) ::close(id_);
}

RegularFile::RegularFile(RegularFile&& other) noexcept
    : path_(std::move(other.path_)), size_(other.size_), id_(std::exchange(other.id_, -1)) {}

std::size_t RegularFile::read_at(std::uint64_t place, std::span<std::byte> out) const {
    std::size_t done = 0;
    while (done < out.size()) {
        const ssize_t got = ::pread(id_, out.data() + done, out.size() - done, static_cast<off_t>(place + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) throw IoError(cat("reading ", path_.string(), " failed (", std::strerror(errno), ")."));
        if (got == 0) break;
        done += static_cast<std::size_t>(got);
    }
    return done;
}

void refuse_lfs_pointer(const std::filesystem::path& path, std::string_view beginning) {
    if (!beginning.starts_with(kLfs)) return;
    throw DataError(cat(path.string(),
                        " is a Git LFS pointer (the file itself wasn't fetched when the repository was cloned). "
                        "Run git lfs pull there."));
}

std::string read_file(const std::filesystem::path& path, std::string_view why, std::uint64_t limit) {
    const RegularFile file(path, why);
    std::string text;
    // Not by the file's size alone: it may grow, and those of /proc say 0.
    for (std::size_t block = std::max<std::size_t>(file.size() + 1, 4096);; block = 1 << 16) {
        if (file.size() > limit || text.size() > limit)
            throw DataError(cat(path.string(), " has more than ", limit, " bytes (none of its kind is so long",
                                why.empty() ? "" : cat("; ", why), "). Is it the right file?"));
        const std::size_t before = text.size();
        text.resize(before + block);
        text.resize(before + file.read_at(before, std::as_writable_bytes(std::span(text).subspan(before))));
        if (text.size() < before + block) break;
    }
    refuse_lfs_pointer(path, text);
    return text;
}

std::optional<std::string> read_file_if_there(const std::filesystem::path& path, std::string_view why,
                                              std::uint64_t limit) {
    return is_there(path) ? std::optional(read_file(path, why, limit)) : std::nullopt;
}

bool is_there(const std::filesystem::path& path) noexcept {
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

}  // namespace tdrm
