// SIGKILL at any instant of a save leaves the old state or the new one.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <csignal>

#include "sample_state.hpp"
#include "tdrm/base/random.hpp"
#include "tdrm/store/directory.hpp"
#include "temporary_folder.hpp"

namespace tdrm::store {
namespace {
namespace fs = std::filesystem;

// A process that saves until it is killed.
class Writer {
public:
    explicit Writer(const fs::path& run) {
        int ends[2];
        EXPECT_EQ(::pipe(ends), 0);
        pid_ = ::fork();
        if (pid_ == 0) {
            ::setenv("OMPI_MCA_ess_singleton_isolated", "1", 1);
            ::dup2(ends[1], STDOUT_FILENO);
            ::close(ends[0]);
            ::close(ends[1]);
            ::execl(TDRM_BINARY_DIR "/tests/checkpoint_writer", "checkpoint_writer", run.c_str(), "forever", nullptr);
            std::_Exit(127);
        }
        ::close(ends[1]);
        output_ = ends[0];
    }
    ~Writer() {
        ::kill(pid_, SIGKILL);
        int status = 0;
        ::waitpid(pid_, &status, 0);
        EXPECT_TRUE(WIFSIGNALED(status)) << "the writer ended by itself";
        ::close(output_);
    }
    /// Returns when it begins a round of saves.
    void wait_for_round() const {
        char byte = 0;
        EXPECT_EQ(::read(output_, &byte, 1), 1);
    }

private:
    pid_t pid_ = 0;
    int output_ = -1;
};

// Microseconds of a round of saves on this machine, so that the kills meet saves however fast it is.
std::uint64_t time_of_round(const fs::path& run) {
    const Writer writer(run);
    writer.wait_for_round();
    const auto start = std::chrono::steady_clock::now();
    for (int round = 0; round < 4; ++round) writer.wait_for_round();
    return static_cast<std::uint64_t>((std::chrono::steady_clock::now() - start) / std::chrono::microseconds(4)) + 1;
}

// The update it holds, after checking that every value is of that update.
int consistent_update(const fs::path& directory) {
    const Checkpoint checkpoint = load_checkpoint(directory);
    const int update = checkpoint.progress().at("update");
    const SampleState expected(update, 20'000);
    EXPECT_EQ(checkpoint.read_flat("model"), expected.model);
    EXPECT_EQ(checkpoint.read_flat("optimizer/exp_avg"), expected.first);
    EXPECT_EQ(checkpoint.read_flat("optimizer/exp_avg_sq"), expected.second);
    return update;
}

bool has_temporary_folder(const fs::path& run) {
    const auto is_temporary = [](const fs::directory_entry& entry) { return entry.path().extension() == ".tmp"; };
    return std::any_of(fs::directory_iterator(run), fs::directory_iterator(), is_temporary);
}

TEST(Kill, AtAnyInstantOfASaveLeavesTheOldOrTheNewState) {
    const TemporaryFolder folder("kill-");
    const std::uint64_t longest = 2 * time_of_round(folder.path());
    Random random(random_key(1, "kill"));
    int newest_update = 0;
    int last_update = 0;
    int caught_in_the_act = 0;
    for (int round = 0; round < 30; ++round) {
        {
            const Writer writer(folder.path());
            writer.wait_for_round();
            ::usleep(static_cast<useconds_t>(random.next_below(longest)));
        }
        caught_in_the_act += has_temporary_folder(folder.path());
        const NewestCheckpoint newest = newest_valid_checkpoint(folder.path());
        EXPECT_TRUE(newest.damaged.empty()) << newest.damaged[0].directory;
        ASSERT_TRUE(newest.directory) << "the state is lost";
        const int update = consistent_update(*newest.directory);
        EXPECT_EQ(newest.directory->filename(), "update-" + std::to_string(update));
        EXPECT_GE(update, newest_update);
        newest_update = update;
        const int last = consistent_update(folder / "last-0");  // replaced in every round, and there all the time
        EXPECT_GE(last, last_update);
        last_update = last;
    }
    std::printf("%d updates, %d kills within a save\n", newest_update, caught_in_the_act);
    EXPECT_GT(newest_update, 5);
    EXPECT_GT(caught_in_the_act, 5) << "the kills don't meet the saves";
}

}  // namespace
}  // namespace tdrm::store
