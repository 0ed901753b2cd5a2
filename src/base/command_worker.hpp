// One process of a command pool: the items that it holds, and the bytes under way.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "process.hpp"

namespace tdrm {

class CommandWorker {
public:
    [[nodiscard]] bool runs() const { return process_ != nullptr; }
    /// Items without a reply, in the order in which they were handed over.
    [[nodiscard]] const std::deque<std::size_t>& held() const { return held_; }
    /// When the time of the oldest began.
    [[nodiscard]] double since() const { return since_; }
    /// Whether another item fits beside those that it holds, `window` at most.
    [[nodiscard]] bool takes(int window) const;
    /// Whether the process of now has replied to something.
    [[nodiscard]] bool has_replied() const { return has_replied_; }
    /// -1 if nothing is to be written.
    [[nodiscard]] int writes_to() const { return unsent_.empty() ? -1 : process_->input(); }
    [[nodiscard]] int reads_from() const { return process_->output(); }
    /// The line that has begun to come in.
    [[nodiscard]] std::string_view unfinished() const { return line_; }

    /// Starts a process if none runs that listens, or the item wants one of its own. @throws IoError
    void give(const std::string& command, std::size_t item, std::string_view line, bool alone);
    /// The time of the oldest item begins now.
    void begin(double now) { since_ = now; }
    /// @param item  one that it holds
    void answered(std::size_t item, double now);

    /// Writes what the pipe takes.
    void write();
    /// Reads what is there, 64 KiB at most, and calls `take` for each whole line. False at the end of the output.
    [[nodiscard]] bool read(const std::function<void(std::string_view line)>& take);

    /// The command reads the end of its input.
    void close_input();
    /// Waits for the command's end after that of its input, until `limit`.
    void let_end(std::chrono::steady_clock::time_point limit);
    /// Status of a command that has closed its output; nothing if it doesn't end soon.
    [[nodiscard]] std::optional<int> status();
    /// Kills the process, if there is one, and forgets what it held.
    void stop();

private:
    std::unique_ptr<Process> process_;
    std::deque<std::size_t> held_;
    bool alone_ = false;  ///< the item that it holds wants no company
    double since_ = 0;
    bool has_replied_ = false;
    std::string unsent_, line_;
};

}  // namespace tdrm
