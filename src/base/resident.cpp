#include "tdrm/base/resident.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <string>

namespace tdrm {
namespace {

/// The number of kilobytes behind a name of /proc/self/status, in bytes.
double field(const std::string& status, const char* name) {
    const auto at = status.find(name);
    return at == std::string::npos ? 0 : 1024 * std::strtod(status.c_str() + at + std::string(name).size(), nullptr);
}

}  // namespace

Resident resident_memory() {
    std::array<char, 4096> text{};
    const int file = ::open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    if (file < 0) return {};
    const auto length = ::read(file, text.data(), text.size());
    ::close(file);
    if (length <= 0) return {};
    const std::string status(text.data(), static_cast<std::size_t>(length));
    const double files = field(status, "RssFile:");
    return {field(status, "VmRSS:") - files, field(status, "VmHWM:") - files};
}

}  // namespace tdrm
