#include "command_worker.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace tdrm {
namespace {

constexpr double kStatusSeconds = 5;   // between the end of its output and its own
constexpr int kPollMilliseconds = 20;  // between looks whether it has ended

using Buffer = std::array<char, 1 << 16>;

}  // namespace

bool CommandWorker::takes(int window) const {
    if (held_.empty()) return true;
    return !alone_ && held_.size() < static_cast<std::size_t>(window) && process_->input() >= 0;
}

void CommandWorker::give(const std::string& command, std::size_t item, std::string_view line, bool alone) {
    const bool deaf = runs() && process_->input() < 0;
    if (alone || deaf) stop();
    if (!runs()) process_ = std::make_unique<Process>(command);
    held_.push_back(item);
    alone_ = alone;
    unsent_ += line;
}

void CommandWorker::answered(std::size_t item, double now) {
    if (item == held_.front()) since_ = now;
    std::erase(held_, item);
    has_replied_ = true;
}

void CommandWorker::write() {
    while (!unsent_.empty()) {
        const ssize_t written = ::write(process_->input(), unsent_.data(), unsent_.size());
        if (written < 0 && errno == EAGAIN) return;
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return close_input();  // it reads no more; what it has read it may still reply to
        unsent_.erase(0, static_cast<std::size_t>(written));
    }
}

bool CommandWorker::read(const std::function<void(std::string_view)>& take) {
    Buffer buffer;
    const ssize_t got = ::read(process_->output(), buffer.data(), buffer.size());
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    std::string_view text(buffer.data(), static_cast<std::size_t>(got));
    for (auto end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
        line_ += text.substr(0, end);
        text.remove_prefix(end + 1);
        take(line_);
        line_.clear();
    }
    line_ += text;
    return got > 0;
}

void CommandWorker::close_input() {
    if (runs()) process_->close_input();
    unsent_.clear();
}

void CommandWorker::let_end(std::chrono::steady_clock::time_point limit) {
    if (!runs()) return;
    const auto seconds_left = [&] {
        return std::max(0.0, std::chrono::duration<double>(limit - std::chrono::steady_clock::now()).count());
    };
    pollfd output{process_->output(), POLLIN, 0};
    Buffer unread;
    // What it has started may go on and keep the output open.
    for (ssize_t got = 1; got != 0 && seconds_left() > 0 && !process_->wait(0);)
        if (::poll(&output, 1, kPollMilliseconds) > 0) got = ::read(output.fd, unread.data(), unread.size());
    (void)process_->wait(seconds_left());
}

std::optional<int> CommandWorker::status() { return process_->wait(kStatusSeconds); }

void CommandWorker::stop() { *this = CommandWorker(); }

}  // namespace tdrm
