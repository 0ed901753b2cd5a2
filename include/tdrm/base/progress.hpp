// One line about long work: what, how much is done, rate, time left, and the two figures that matter.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace tdrm {

/// Where a progress line goes. `standard()` is standard error; tests bring their own.
struct Screen {
    bool terminal = false;                        ///< the line can be redrawn
    int width = 80;                               ///< longer lines are cut on a terminal
    std::function<double()> seconds;              ///< a monotonic clock
    std::function<void(std::string_view)> draw;   ///< replaces the line on a terminal; "" removes it
    std::function<void(std::string_view)> print;  ///< adds a line

    [[nodiscard]] static Screen standard();
};

/// Shows progress on rank 0; other ranks do nothing. Local. A terminal gets one line, redrawn up to ten times a second;
/// elsewhere a line appears at the first update, at most every 15 s, and at the end.
class Progress {
public:
    /// @param total units of work, 0 if unknown. @param done units that were done before (resume): not in the rate.
    Progress(std::string label, std::int64_t total, std::int64_t done = 0, Screen screen = Screen::standard());
    /// Ends the line; prints the last state if the work didn't reach its end.
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    /// @param figures the one or two figures that matter, e.g. "loss 0.31, kl 0.02".
    void update(std::int64_t done, std::string_view figures = "");

private:
    [[nodiscard]] std::string line(double now) const;
    void end_line();

    std::string label_;
    std::int64_t total_, first_, done_;
    Screen screen_;
    std::string figures_;
    double start_ = 0;
    double shown_ = 0;
    bool anything_shown_ = false;
    bool ended_ = false;
    bool silent_ = false;
};

/// "45 s", "12 min", "3 h 05 min".
[[nodiscard]] std::string time_text(double seconds);

}  // namespace tdrm
