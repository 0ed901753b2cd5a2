// Programs of sh and Python that judge well, badly or not at all. Deadlines are short only where their passing is what
// is tested; elsewhere a slow machine changes nothing.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tdrm/base/command_pool.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm {

namespace fs = std::filesystem;
using nlohmann::json;

/// What every program begins with: `reply` writes a line, `once` is true the first time that a name is given.
constexpr const char* kPrelude = R"(import json, os, signal, sys, time
def reply(item, **members):
    sys.stdout.write(json.dumps({"id": item["id"], **members}) + "\n")  # at once, for those with threads
    sys.stdout.flush()
def once(name):
    try:
        os.close(os.open(os.path.join(os.path.dirname(__file__), name), os.O_CREAT | os.O_EXCL))
        return True
    except FileExistsError:
        return False
def note(text):
    with open(os.path.join(os.path.dirname(__file__), "notes"), "a") as file: file.write(text + "\n")
items = (json.loads(line) for line in sys.stdin)
)";

/// Doubles x.
constexpr const char* kGood = R"(for item in items: reply(item, score=item["x"] * 2)
)";

class Command : public testing::Test {
protected:
    fs::path folder = fs::temp_directory_path() / ("tdrm-command-" + std::to_string(::getpid()));

    void SetUp() override {
        fs::remove_all(folder);
        fs::create_directories(folder);
        ::mkfifo((folder / "life").c_str(), 0600);
        life_ = ::open((folder / "life").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    }
    void TearDown() override {
        ::close(life_);
        fs::remove_all(folder);
        EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a process that nobody has reaped";
    }

    [[nodiscard]] CommandOptions python(const std::string& program) const {
        std::ofstream(folder / "program.py") << kPrelude << program;
        return shell(std::string(TDRM_SOURCE_DIR) + "/.deps/venv/bin/python " + (folder / "program.py").string());
    }
    /// As few surprises as possible: a deadline that no machine passes.
    [[nodiscard]] static CommandOptions shell(const std::string& command) {
        return {.run = command, .deadline = {3600}, .attempts = 2};
    }
    /// Writes the same text whatever it reads, and ends.
    [[nodiscard]] CommandOptions says(const std::string& text) const {
        std::ofstream(folder / "text", std::ios::binary) << text;
        CommandOptions options = shell("cat " + (folder / "text").string());
        options.attempts = 1;
        return options;
    }
    [[nodiscard]] std::string notes() const {
        std::ifstream file(folder / "notes");
        return {std::istreambuf_iterator<char>(file), {}};
    }

    /// The pipe `life` is open in a program, which may have written into it.
    [[nodiscard]] std::string open_life() const { return "exec 9>" + (folder / "life").string() + "; "; }
    /// Waits until something was written into it. Never longer than two minutes.
    [[nodiscard]] bool has_begun() const {
        char byte = 0;
        return wait_for_life() && ::read(life_, &byte, 1) == 1;
    }
    /// Waits until no process has it open any more.
    [[nodiscard]] bool has_ended() const {
        // One that was killed before it could open it has ended, too; without a first writer a pipe has no end.
        ::close(::open((folder / "life").c_str(), O_WRONLY | O_CLOEXEC));
        char byte = 0;
        while (wait_for_life())
            if (::read(life_, &byte, 1) == 0) return true;
        return false;
    }

private:
    [[nodiscard]] bool wait_for_life() const {
        pollfd life{life_, POLLIN, 0};
        return ::poll(&life, 1, 120'000) == 1;
    }
    int life_ = -1;
};

/// {"x": 0}, {"x": 1}, ...
inline std::vector<json> numbers(int count, const std::string& ballast = "") {
    std::vector<json> items;
    for (int x = 0; x < count; ++x) {
        items.push_back(json::object({{"x", x}}));
        if (!ballast.empty()) items.back()["ballast"] = ballast;
    }
    return items;
}

inline std::vector<double> scores(CommandPool& pool, const std::vector<json>& items) {
    std::vector<double> result(items.size());
    (void)pool.ask(items, {}, [&](std::size_t i, const json& reply) { result[i] = score_of(reply); });
    return result;
}

inline std::vector<double> doubled(int count) {
    std::vector<double> result;
    for (int x = 0; x < count; ++x) result.push_back(2 * x);
    return result;
}

/// The error of type E that asking such items ends with.
template <class E>
std::string message(CommandPool& pool, const std::vector<json>& items) {
    try {
        (void)scores(pool, items);
    } catch (const E& error) {
        return error.what();
    } catch (const std::exception& error) {
        ADD_FAILURE() << "another error: " << error.what();
    }
    return "no error";
}

template <class E = DataError>
std::string message(const CommandOptions& options, const std::vector<json>& items = numbers(1)) {
    CommandPool pool(options);
    return message<E>(pool, items);
}

inline testing::AssertionResult has(const std::string& text, const std::string& part) {
    if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
    return testing::AssertionFailure() << part << "\nis missing in\n" << text;
}
#define EXPECT_HAS(text, part) EXPECT_TRUE(has(text, part))

}  // namespace tdrm
