#include "tdrm/base/progress.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "console.hpp"
#include "tdrm/base/clock.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/log.hpp"
#include "tdrm/base/text.hpp"

namespace tdrm {
namespace {

constexpr double kRedrawSeconds = 0.1;
constexpr double kLineSeconds = 15;

std::string rate_text(double per_second) {
    std::array<char, 32> text{};
    if (per_second >= 1) {
        std::snprintf(text.data(), text.size(), per_second < 100 ? "%.1f/s" : "%.0f/s", per_second);
    } else {
        std::snprintf(text.data(), text.size(), "%.1f s each", 1 / per_second);
    }
    return text.data();
}

}  // namespace

Screen Screen::standard() {
    return {console::is_terminal(), console::width(), steady_seconds, console::draw, log::info};
}

Progress::Progress(std::string label, std::int64_t total, std::int64_t done, Screen screen)
    : label_(std::move(label)), total_(total), first_(done), done_(done), screen_(std::move(screen)) {
    silent_ = log::rank() != 0;
    start_ = screen_.seconds();
}

Progress::~Progress() {
    try {
        if (!ended_ && !silent_ && anything_shown_) end_line();
    } catch (...) {  // a progress line isn't worth ending the program
    }
}

void Progress::update(std::int64_t done, std::string_view figures) {
    if (silent_ || ended_) return;
    done_ = done;
    figures_ = figures;
    if (total_ > 0 && done >= total_) return end_line();
    const double now = screen_.seconds();
    if (anything_shown_ && now - shown_ < (screen_.terminal ? kRedrawSeconds : kLineSeconds)) return;
    anything_shown_ = true;
    shown_ = now;
    if (screen_.terminal) {
        screen_.draw(shortened(line(now), static_cast<std::size_t>(std::max(screen_.width - 1, 20))));
    } else {
        screen_.print(line(now));
    }
}

void Progress::end_line() {
    ended_ = true;
    if (screen_.terminal) screen_.draw("");
    screen_.print(line(screen_.seconds()));
}

std::string Progress::line(double now) const {
    std::string text = cat(label_, "  ", done_);
    if (total_ > 0) text += cat("/", total_);
    const double elapsed = now - start_;
    const auto worked = static_cast<double>(done_ - first_);
    if (worked > 0 && elapsed > 0) {
        text += "  " + rate_text(worked / elapsed);
        if (ended_) {
            text += "  in " + time_text(elapsed);
        } else if (total_ > 0) {
            text += "  " + time_text(elapsed / worked * static_cast<double>(total_ - done_)) + " left";
        }
    }
    return figures_.empty() ? text : text + "  " + figures_;
}

std::string time_text(double seconds) {
    std::array<char, 48> text{};
    const double minutes = std::round(seconds / 60);
    if (seconds < 9.95) {
        std::snprintf(text.data(), text.size(), "%.1f s", seconds);
    } else if (seconds < 99.5) {
        std::snprintf(text.data(), text.size(), "%.0f s", seconds);
    } else if (minutes < 100) {
        std::snprintf(text.data(), text.size(), "%.0f min", minutes);
    } else {
        std::snprintf(text.data(), text.size(), "%.0f h %02.0f min", std::floor(minutes / 60), std::fmod(minutes, 60));
    }
    return text.data();
}

}  // namespace tdrm
