#include "descriptor.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "tdrm/base/errors.hpp"
#include "tdrm/store/directory.hpp"

namespace tdrm::store {
namespace fs = std::filesystem;

void throw_errno(std::string_view action, const fs::path& path) {
    const int error = errno;
    const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
    throw IoError(cat("can't ", action, " ", path.string(), " (", std::strerror(error), ").",
                      full ? " Free some space or raise the quota, then run again." : ""));
}

Descriptor::Descriptor(const fs::path& path, int flags)
    : path_(path), id_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {
    if (id_ < 0) throw_errno("open", path);
}

void Descriptor::reset() noexcept {
    if (id_ >= 0) ::close(std::exchange(id_, -1));
}

void Descriptor::write(const void* data, std::size_t bytes) {
    const char* next = static_cast<const char*>(data);
    while (bytes > 0) {
        const ssize_t written = ::write(id_, next, bytes);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) throw_errno("write", path_);
        next += written;
        bytes -= static_cast<std::size_t>(written);
    }
}

void Descriptor::sync() {
    if (::fsync(id_) != 0 && errno != EINVAL) throw_errno("sync", path_);  // EINVAL: nothing to sync there
}

void rename_unsynced(const fs::path& from, const fs::path& to) {
    if (std::rename(from.c_str(), to.c_str()) != 0) throw_errno(cat("rename ", from.string(), " to"), to);
}

void rename_synced(const fs::path& from, const fs::path& to) {
    rename_unsynced(from, to);
    sync(to.has_parent_path() ? to.parent_path() : fs::path("."));
}

}  // namespace tdrm::store
