#include "tdrm/base/log.hpp"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "console.hpp"

namespace tdrm::log {
namespace {

std::atomic<int> this_rank{0};

class ConsoleSink : public spdlog::sinks::base_sink<std::mutex> {
    void sink_it_(const spdlog::details::log_msg& message) override {
        spdlog::memory_buf_t line;
        formatter_->format(message, line);
        console::print({line.data(), line.size()});
    }
    void flush_() override {}
};

spdlog::logger& logger() {
    static spdlog::logger instance = [] {
        spdlog::logger made("tdrm", std::make_shared<ConsoleSink>());
        made.set_pattern("[%H:%M:%S] %v");
        return made;
    }();
    return instance;
}

void say(spdlog::level::level_enum level, std::string_view label, std::string_view text) {
    std::string line(label);
    if (rank() != 0) line = "rank " + std::to_string(rank()) + ": " + line;
    line += text;
    logger().log(level, spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace

void set_rank(int rank) { this_rank = rank; }
int rank() { return this_rank; }

void info(std::string_view text) {
    if (rank() == 0) say(spdlog::level::info, "", text);
}
void warn(std::string_view text) { say(spdlog::level::warn, "warning: ", text); }
void error(std::string_view text) { say(spdlog::level::err, "error: ", text); }

}  // namespace tdrm::log
