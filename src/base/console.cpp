#include "console.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <mutex>
#include <string>

namespace tdrm::console {
namespace {

std::mutex mutex;
std::string drawn;

void put(std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stderr);
    std::fflush(stderr);
}

constexpr std::string_view kErase = "\r\033[K";

}  // namespace

bool is_terminal() { return isatty(STDERR_FILENO) == 1; }

int width() {
    winsize size{};
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void print(std::string_view lines) {
    const std::lock_guard lock(mutex);
    if (drawn.empty()) return put(lines);
    put(std::string(kErase).append(lines).append(drawn));
}

void draw(std::string_view line) {
    const std::lock_guard lock(mutex);
    if (line.empty() && drawn.empty()) return;
    put(std::string(kErase).append(line));
    drawn = line;
}

}  // namespace tdrm::console
