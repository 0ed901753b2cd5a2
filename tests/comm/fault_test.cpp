// Jobs that go wrong: each ends by itself, with the right exit code, and says why.
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

namespace {

struct Outcome {
    int code;            // 124 if it hung
    std::string output;  // of all ranks
};

class Fault : public testing::Test {
protected:
    void SetUp() override {
        std::string name = std::filesystem::temp_directory_path() / "tdrm-fault-XXXXXX";
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        directory_ = name;
    }
    void TearDown() override { std::filesystem::remove_all(directory_); }

    Outcome run(const std::string& fault, int ranks) {
        const std::string log = directory_ / "log";
        std::ostringstream command;
        command << "timeout -k 5 60 " << MPIEXEC << " --allow-run-as-root --oversubscribe --bind-to none -np " << ranks
                << " " << FAULT_JOB << " " << fault << " " << (directory_ / "records").string() << " >" << log
                << " 2>&1";
        const int status = std::system(command.str().c_str());
        std::ostringstream output;
        output << std::ifstream(log).rdbuf();
        return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), output.str()};
    }

    std::filesystem::path directory_;
};

int count(const std::string& text, const std::string& part) {
    int found = 0;
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
    return found;
}

TEST_F(Fault, ASoundJobEndsWell) {
    const Outcome outcome = run("none", 2);
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    EXPECT_EQ(outcome.output, "");
}

TEST_F(Fault, ALocalExceptionEndsTheJobAndNamesItsRank) {
    const Outcome outcome = run("local", 3);
    EXPECT_EQ(outcome.code, 65) << outcome.output;
    EXPECT_EQ(count(outcome.output, "tdrm: rank 1: rank-local trouble."), 1) << outcome.output;
}

TEST_F(Fault, ASharedFailureIsToldOnceAndEndsAllRanksNormally) {
    const Outcome outcome = run("shared", 3);
    EXPECT_EQ(outcome.code, 65) << outcome.output;
    EXPECT_EQ(count(outcome.output, "tdrm: "), 1) << outcome.output;
    EXPECT_EQ(count(outcome.output, "tdrm: rank 1, reading: shared trouble."), 1) << outcome.output;
    EXPECT_EQ(count(outcome.output, "MPI_ABORT"), 0) << outcome.output;
}

TEST_F(Fault, AFailureOfEveryRankIsToldOnce) {
    const Outcome outcome = run("everybody", 3);
    EXPECT_EQ(outcome.code, 64) << outcome.output;
    EXPECT_EQ(count(outcome.output, "trouble everywhere."), 1) << outcome.output;
}

TEST_F(Fault, ASingleRankNeedsNoAbort) {
    const Outcome outcome = run("everybody", 1);
    EXPECT_EQ(outcome.code, 64) << outcome.output;
    EXPECT_EQ(count(outcome.output, "tdrm: trouble everywhere."), 1) << outcome.output;
}

TEST_F(Fault, UnequalRanksAreRefused) {
    const Outcome outcome = run("unequal", 2);
    EXPECT_EQ(outcome.code, 71) << outcome.output;
    EXPECT_EQ(count(outcome.output, "tdrm: rank(s) 1 differ from rank 0 in the build"), 1) << outcome.output;
}

TEST_F(Fault, TheWatchdogNamesTheRankThatSleeps) {
    const Outcome outcome = run("sleep", 3);
    EXPECT_EQ(outcome.code, 71) << outcome.output;
    EXPECT_GE(
        count(outcome.output, "rank 1 is behind: phase rollout, unit problem 41, last collective barrier, silent for"),
        1)
        << outcome.output;
    EXPECT_EQ(count(outcome.output, "rank 0 is behind"), 0) << outcome.output;
    EXPECT_EQ(count(outcome.output, "rank 2 is behind"), 0) << outcome.output;
}

TEST_F(Fault, TheWatchdogLeavesASlowRankAloneThatShowsSignsOfLife) {
    const Outcome outcome = run("slow", 2);
    EXPECT_EQ(outcome.code, 0) << outcome.output;
}

TEST_F(Fault, AStopRequestToOneRankStopsAll) {
    const Outcome outcome = run("stop", 2);
    EXPECT_EQ(outcome.code, 75) << outcome.output;
    EXPECT_EQ(count(outcome.output, "stopped on request after a commit."), 1) << outcome.output;
}

TEST_F(Fault, AKilledRankEndsTheJob) {
    const Outcome outcome = run("killed", 2);
    EXPECT_EQ(outcome.code, 137) << outcome.output;
}

TEST_F(Fault, RanksDieWithTheirLauncher) {
    const Outcome outcome = run("orphan", 2);
    EXPECT_EQ(outcome.code, 137) << outcome.output;
    for (const char* rank : {"0", "1"}) {
        int pid = 0;
        std::ifstream(directory_ / (std::string("records.pid-") + rank)) >> pid;
        ASSERT_GT(pid, 0);
        for (int tries = 0; tries < 200 && kill(pid, 0) == 0; ++tries)
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
        EXPECT_NE(kill(pid, 0), 0) << "rank " << rank << " outlived mpirun";
    }
}

}  // namespace
