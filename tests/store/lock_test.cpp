// The lock of a run that several processes hold, and the old state that begin_directory puts back.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <optional>

#include "tdrm/base/errors.hpp"
#include "tdrm/store/directory.hpp"
#include "temporary_folder.hpp"

namespace tdrm::store {
namespace {
namespace fs = std::filesystem;

void put(const fs::path& path, const std::string& text) { std::ofstream(path) << text; }

// A process that joins the lock when it is told to, and holds it until it is killed. Made before anybody locks: a lock
// belongs to the open file, which a fork would share.
class Rank {
public:
    explicit Rank(const fs::path& run) {
        EXPECT_EQ(::pipe(order_), 0);
        EXPECT_EQ(::pipe(answer_), 0);
        pid_ = ::fork();
        if (pid_ == 0) obey(run);
    }
    ~Rank() {
        end();
        for (const int file : {order_[0], order_[1], answer_[0], answer_[1]}) ::close(file);
    }
    Rank(const Rank&) = delete;
    Rank& operator=(const Rank&) = delete;
    /// Whether it holds the lock now.
    [[nodiscard]] bool join() const {
        char answer = 0;
        EXPECT_EQ(::write(order_[1], "?", 1), 1);
        EXPECT_EQ(::read(answer_[0], &answer, 1), 1);
        return answer == 'y';
    }
    void end() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        pid_ = 0;
    }

private:
    [[noreturn]] void obey(const fs::path& run) const {
        std::optional<RunLock> lock;
        for (char order = 0; ::read(order_[0], &order, 1) == 1;) {
            try {
                lock.emplace(RunLock::shared(run));
            } catch (const IoError&) {
            }
            if (::write(answer_[1], lock ? "y" : "n", 1) != 1) break;
        }
        std::_Exit(1);
    }
    int order_[2], answer_[2];
    pid_t pid_ = 0;
};

TEST(SharedLock, KeepsANewStartOutUntilTheLastHolderEnds) {
    const TemporaryFolder folder("lock-");
    Rank second(folder / "run");
    Rank third(folder / "run");
    std::optional<RunLock> first(std::in_place, folder / "run");
    first->share();
    EXPECT_THROW(RunLock(folder / "run"), ConfigError) << "shared isn't free";
    EXPECT_TRUE(second.join());
    EXPECT_TRUE(third.join());
    first.reset();
    EXPECT_THROW(RunLock(folder / "run"), ConfigError) << "two ranks outlive the first";
    second.end();
    EXPECT_THROW(RunLock(folder / "run"), ConfigError) << "one rank outlives the others";
    third.end();
    EXPECT_NO_THROW(RunLock(folder / "run"));
}

TEST(SharedLock, IsRefusedWhileSomebodyHoldsTheRunAlone) {
    const TemporaryFolder folder("lock-");
    const Rank second(folder / "run");
    RunLock alone(folder / "run");
    EXPECT_FALSE(second.join());
    const std::string message = message_of<IoError>([&] { (void)RunLock::shared(folder / "run"); });
    EXPECT_NE(message.find((folder / "run" / ".lock").string()), std::string::npos) << message;
    alone.share();
    EXPECT_TRUE(second.join());
}

TEST(SharedLock, IsNotGivenToAHolderWhileOthersShareIt) {
    const TemporaryFolder folder("lock-");
    Rank second(folder / "run");
    std::optional<RunLock> first(std::in_place, folder / "run");
    first->share();
    EXPECT_TRUE(second.join());
    EXPECT_THROW(RunLock(folder / "run"), ConfigError);
    second.end();
    EXPECT_THROW(RunLock(folder / "run"), ConfigError) << "the first is still there";
}

TEST(SharedLock, IsRefusedWhereNobodyEverLocked) {
    const TemporaryFolder folder("lock-");
    EXPECT_THROW((void)RunLock::shared(folder / "run"), IoError);
    EXPECT_FALSE(fs::exists(folder / "run"));
}

TEST(SharedLock, NamesItsFirstHolderToTheNextStart) {
    const TemporaryFolder folder("lock-");
    RunLock first(folder / "run");
    first.share();
    const RunLock second = RunLock::shared(folder / "run");
    const std::string message = message_of<ConfigError>([&] { const RunLock third(folder / "run"); });
    EXPECT_NE(message.find("pid " + std::to_string(::getpid())), std::string::npos) << message;
}

TEST(AtomicDirectory, BeginsByPuttingBackAnOldStateThatIsLeftAlone) {
    const TemporaryFolder folder("lock-");
    const fs::path final = folder / "update-1";
    fs::create_directory(folder / "update-1.old");
    put(folder / "update-1.old" / "a", "old");
    fs::create_directory(temporary_of(final));
    put(temporary_of(final) / "a", "half");
    EXPECT_EQ(begin_directory(final), temporary_of(final));
    EXPECT_EQ(bytes_of(final / "a"), "old");
    EXPECT_FALSE(fs::exists(folder / "update-1.old"));
    EXPECT_TRUE(fs::is_empty(temporary_of(final)));
}

TEST(AtomicDirectory, BeginsByRemovingAnOldStateThatWasReplaced) {
    const TemporaryFolder folder("lock-");
    const fs::path final = folder / "update-1";
    for (const char* name : {"update-1", "update-1.old"}) {
        fs::create_directory(folder / name);
        put(folder / name / "a", name);
    }
    begin_directory(final);
    EXPECT_EQ(bytes_of(final / "a"), "update-1");
    EXPECT_FALSE(fs::exists(folder / "update-1.old"));
}

}  // namespace
}  // namespace tdrm::store
