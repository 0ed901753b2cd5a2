#include "tdrm/store/directory.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>

#include "tdrm/base/errors.hpp"
#include "temporary_folder.hpp"

namespace tdrm::store {
namespace {
namespace fs = std::filesystem;

void put(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }

TEST(AtomicDirectory, AppearsWholeAndReplacesTheOldOne) {
    const TemporaryFolder folder;
    const fs::path final = folder / "update-1";
    for (const char* text : {"old", "new"}) {
        atomic_directory(final, [&](const fs::path& temporary) {
            EXPECT_NE(temporary, final);
            fs::create_directory(temporary / "inner");
            put(temporary / "inner" / "a", text);
        });
        EXPECT_EQ(bytes_of(final / "inner" / "a"), text);
        EXPECT_FALSE(fs::exists(temporary_of(final)));
    }
}

TEST(AtomicDirectory, AFailureLeavesTheOldOne) {
    const TemporaryFolder folder;
    const fs::path final = folder / "update-1";
    atomic_directory(final, [&](const fs::path& temporary) { put(temporary / "a", "old"); });
    const auto failing = [](const fs::path& temporary) {
        put(temporary / "a", "new");
        throw DataError("no");
    };
    EXPECT_THROW(atomic_directory(final, failing), DataError);
    EXPECT_THROW(atomic_directory(folder / "update-2", failing), DataError);
    EXPECT_EQ(bytes_of(final / "a"), "old");
    EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 1);
}

TEST(AtomicDirectory, WhatAKilledRunLeftIsRemovedOrPutBack) {
    const TemporaryFolder folder;
    for (const char* name : {"update-1.tmp", "update-2.old", "update-3", "update-3.old", "td[lambda=0.8]"}) {
        fs::create_directory(folder / name);
        put(folder / name / "a", name);
    }
    put(folder / "report.json.tmp", "half");
    remove_leftovers(folder.path());
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder.path())) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    EXPECT_EQ(names, (std::vector<std::string>{"td[lambda=0.8]", "update-2", "update-3"}));
    EXPECT_EQ(bytes_of(folder / "update-3" / "a"), "update-3");
    remove_directory(folder / "update-3");
    remove_directory(folder / "update-3");
    EXPECT_FALSE(fs::exists(folder / "update-3"));
    remove_leftovers(folder / "none");
}

TEST(AtomicText, IsReplacedWholeOrNotAtAll) {
    const TemporaryFolder folder;
    const fs::path path = folder / "stage.json";
    write_text_atomic(path, "old");
    const pid_t child = ::fork();
    if (child == 0) {
        std::signal(SIGXFSZ, SIG_IGN);
        const rlimit small{1000, 1000};
        ::setrlimit(RLIMIT_FSIZE, &small);
        try {
            write_text_atomic(path, std::string(5000, 'n'));
        } catch (const IoError& error) {
            std::_Exit(std::string(error.what()).find("stage.json") == std::string::npos ? 1 : 0);
        }
        std::_Exit(2);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(bytes_of(path), "old");
    EXPECT_FALSE(fs::exists(temporary_of(path)));
    write_text_atomic(path, "new");
    EXPECT_EQ(bytes_of(path), "new");
    EXPECT_THROW(write_text_atomic(folder / "no" / "x", "y"), IoError);
}

TEST(FreeBytes, AreThoseOfTheFileSystem) {
    EXPECT_GT(free_bytes("/tmp"), 0);
    EXPECT_EQ(free_bytes("/proc"), 0);
    EXPECT_THROW((void)free_bytes("/no/such/folder"), IoError);
}

// A process that takes the lock, says so through a pipe, and keeps it until it is killed.
class Holder {
public:
    explicit Holder(const fs::path& run) {
        int ends[2];
        EXPECT_EQ(::pipe(ends), 0);
        pid_ = ::fork();
        if (pid_ == 0) {
            const RunLock lock(run);
            if (::write(ends[1], "x", 1) != 1) std::_Exit(1);
            for (;;) ::pause();
        }
        char byte = 0;
        EXPECT_EQ(::read(ends[0], &byte, 1), 1);
        ::close(ends[0]);
        ::close(ends[1]);
    }
    ~Holder() { end(); }
    void end() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        pid_ = 0;
    }
    [[nodiscard]] pid_t pid() const { return pid_; }

private:
    pid_t pid_ = 0;
};

TEST(RunLock, ASecondStartIsRefusedAndToldWhoHoldsIt) {
    const TemporaryFolder folder;
    const Holder holder(folder / "run");
    char host[256] = {};
    ::gethostname(host, sizeof host - 1);
    const std::string message = message_of<ConfigError>([&] { RunLock lock(folder / "run"); });
    EXPECT_NE(message.find("pid " + std::to_string(holder.pid())), std::string::npos) << message;
    EXPECT_NE(message.find(host), std::string::npos) << message;
    EXPECT_NO_THROW(RunLock(folder / "another run"));
}

TEST(RunLock, ASecondStartWaitsForTheFirstToDie) {
    const TemporaryFolder folder;
    Holder holder(folder / "run");
    int told = 0;
    const RunLock lock(folder / "run", std::chrono::seconds(60), [&](const std::string& who) {
        ++told;
        EXPECT_NE(who.find("pid " + std::to_string(holder.pid())), std::string::npos) << who;
        holder.end();
    });
    EXPECT_EQ(told, 1);
    EXPECT_EQ(bytes_of(folder / "run" / ".lock").find("pid " + std::to_string(::getpid())) != std::string::npos, true);
}

TEST(RunLock, EndsWithTheObject) {
    const TemporaryFolder folder;
    { const RunLock lock(folder / "run"); }
    RunLock again(folder / "run");
    EXPECT_THROW(RunLock(folder / "run"), ConfigError);
    const RunLock moved(std::move(again));
    EXPECT_THROW(RunLock(folder / "run"), ConfigError);
}

}  // namespace
}  // namespace tdrm::store
