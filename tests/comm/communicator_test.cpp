#include "tdrm/comm/communicator.hpp"

#include <gtest/gtest.h>
#include <mpi.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "tdrm/base/random.hpp"
#include "tdrm/comm/work_counter.hpp"

namespace tdrm::comm {
namespace {

std::string message_of(const auto& work) {
    try {
        work();
    } catch (const std::exception& error) {
        return error.what();
    }
    return "";
}

std::vector<std::int64_t> random_integers(std::size_t count, int rank) {
    const Random random(random_key(7, "test", static_cast<std::uint64_t>(rank)));
    std::vector<std::int64_t> values(count);
    for (std::size_t i = 0; i < count; ++i) {
        const auto w = random.words(i);
        values[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(w[0]) << 32U | w[1]) >> 3;
    }
    return values;
}

TEST(Communicator, KnowsItsRanks) {
    const Communicator ranks;
    int size = 0;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    EXPECT_EQ(ranks.size(), size);
    EXPECT_TRUE(ranks.one_node());
}

TEST(Communicator, BroadcastsTextInPieces) {
    Communicator ranks({.shared_memory = true, .piece_bytes = 7});
    const int root = ranks.size() - 1;
    const std::string mine = ranks.rank() == root ? "a text of more than seven bytes" : "x";
    EXPECT_EQ(ranks.broadcast_text(mine, root), "a text of more than seven bytes");
    EXPECT_EQ(ranks.broadcast_text("", root), "");
}

TEST(Communicator, GathersRaggedBytesInPieces) {
    for (const std::size_t piece : {std::size_t{5}, std::size_t{1} << 20U}) {
        Communicator ranks({.shared_memory = true, .piece_bytes = piece});
        const auto text = [](int rank) {
            return std::string(static_cast<std::size_t>(rank * 17 % 23), static_cast<char>('a' + rank));
        };
        const auto all = ranks.all_gather_bytes(text(ranks.rank()));
        ASSERT_EQ(all.size(), static_cast<std::size_t>(ranks.size()));
        for (int r = 0; r < ranks.size(); ++r) EXPECT_EQ(all[static_cast<std::size_t>(r)], text(r));
    }
}

TEST(Communicator, GathersRaggedVectors) {
    Communicator ranks;
    std::vector<double> mine(static_cast<std::size_t>(ranks.rank()), 0.5 * ranks.rank());
    const auto all = ranks.all_gather(std::span<const double>(mine));
    for (std::size_t r = 0; r < all.size(); ++r)
        EXPECT_EQ(all[r], std::vector<double>(r, 0.5 * static_cast<double>(r)));
}

TEST(Communicator, SumsAndVotes) {
    Communicator ranks;
    const int n = ranks.size();
    std::vector<double> values{1.0, static_cast<double>(ranks.rank())};
    ranks.sum(values);
    EXPECT_EQ(values, (std::vector<double>{static_cast<double>(n), n * (n - 1) / 2.0}));
    EXPECT_EQ(ranks.sum(std::int64_t{2}), 2 * n);
    EXPECT_TRUE(ranks.all(true));
    EXPECT_EQ(ranks.all(ranks.rank() != n - 1), false);
    EXPECT_TRUE(ranks.any(ranks.rank() == n - 1));
    EXPECT_FALSE(ranks.any(false));
}

// Sizes around the chunk of the shared slab, and far beyond it.
TEST(Communicator, ExactSumEqualsAllreduceOverBothWays) {
    for (const bool shared : {true, false}) {
        Communicator ranks({.shared_memory = shared});
        for (const std::size_t count : {0UL, 1UL, 3UL, 8UL, 131071UL, 131072UL, 131073UL, 1000003UL}) {
            auto values = random_integers(count, ranks.rank());
            std::vector<std::int64_t> expected(count);
            MPI_Allreduce(values.data(), expected.data(), static_cast<int>(count), MPI_INT64_T, MPI_SUM,
                          MPI_COMM_WORLD);
            ranks.exact_sum(values);
            ASSERT_EQ(values, expected) << count << " values, shared memory " << shared;
        }
    }
}

TEST(Communicator, FastSumHasEqualBitsOnEveryRank) {
    for (const bool shared : {true, false}) {
        Communicator ranks({.shared_memory = shared});
        constexpr std::size_t kCount = 300001;
        const Random random(random_key(7, "test", static_cast<std::uint64_t>(ranks.rank())));
        std::vector<float> values(kCount);
        for (std::size_t i = 0; i < kCount; ++i) values[i] = static_cast<float>(random.uniform(i) - 0.5);
        const auto before = ranks.all_gather(std::span<const float>(values));
        ranks.fast_sum(values);
        for (std::size_t i = 0; i < kCount; ++i) {
            double expected = 0.0;
            for (const auto& part : before) expected += static_cast<double>(part[i]);
            ASSERT_NEAR(static_cast<double>(values[i]), expected, 1e-6);
        }
        const auto after = ranks.all_gather(std::span<const float>(values));
        for (const auto& other : after) ASSERT_EQ(std::memcmp(other.data(), values.data(), kCount * sizeof(float)), 0);
    }
}

TEST(Agree, ReturnsWhatTheWorkReturned) {
    Communicator ranks;
    EXPECT_EQ(ranks.agree("counting", [&] { return ranks.rank() + 1; }), ranks.rank() + 1);
    EXPECT_FALSE(ranks.shared_failure());
}

TEST(Agree, MakesTheFailureOfOneRankEverybodys) {
    Communicator ranks;
    const int bad = ranks.size() - 1;
    const auto work = [&] {
        ranks.agree("reading the problems", [&] {
            if (ranks.rank() == bad) throw DataError("line 7 is broken.");
        });
    };
    if (ranks.rank() == bad) {
        EXPECT_THROW(work(), DataError);
        EXPECT_EQ(message_of(work), "line 7 is broken.");
    } else {
        EXPECT_THROW(work(), PeerError);
        EXPECT_EQ(message_of(work), cat("rank ", bad, ", reading the problems: line 7 is broken."));
    }
    ASSERT_TRUE(ranks.shared_failure());
    EXPECT_EQ(ranks.shared_failure()->code, ExitCode::data);
    ranks.barrier();
    EXPECT_FALSE(ranks.shared_failure())
        << "a failure that was dealt with must not be taken for the cause of a later one";
}

TEST(Agree, LetsAnErrorSpeakBeforeAStopRequest) {
    Communicator ranks;
    const int bad = ranks.size() - 1;
    message_of([&] {
        ranks.agree("training", [&] {
            if (ranks.rank() == bad) throw IoError("disk full.");
            throw Preempted("stopped.");
        });
    });
    ASSERT_TRUE(ranks.shared_failure());
    EXPECT_EQ(ranks.shared_failure()->code, ExitCode::io);
}

TEST(Agree, RefusesACollectiveInside) {
    Communicator ranks;
    EXPECT_THROW(ranks.agree("working", [&] { ranks.barrier(); }), BugError);
    ranks.barrier();
}

TEST(RequireEqual, NamesTheRanksThatDiffer) {
    Communicator ranks;
    ranks.require_equal("build", "same");
    const bool odd = ranks.rank() % 2 == 1;
    const std::string message = message_of([&] { ranks.require_equal("build", odd ? "b" : "a"); });
    const std::map<int, std::string> expected{{1, ""},
                                              {2, "rank(s) 1 differ from rank 0 in the build: 'b' against 'a'"},
                                              {4, "rank(s) 1, 3 differ from rank 0"}};
    EXPECT_EQ(message.substr(0, expected.at(ranks.size()).size()), expected.at(ranks.size()));
    EXPECT_EQ(message.empty(), ranks.size() == 1);
}

TEST(WorkCounter, GivesEachNumberOutOnce) {
    Communicator ranks;
    WorkCounter counter(ranks);
    for (const std::int64_t first : {0, 100}) {
        counter.reset(first);
        constexpr std::int64_t kUnits = 2000;
        std::vector<std::int64_t> drawn;
        for (std::int64_t unit = counter.next(); unit < first + kUnits; unit = counter.next()) drawn.push_back(unit);
        EXPECT_TRUE(std::is_sorted(drawn.begin(), drawn.end()));
        std::vector<std::int64_t> all;
        for (const auto& part : ranks.all_gather(std::span<const std::int64_t>(drawn)))
            all.insert(all.end(), part.begin(), part.end());
        std::sort(all.begin(), all.end());
        std::vector<std::int64_t> expected(kUnits);
        std::iota(expected.begin(), expected.end(), first);
        EXPECT_EQ(all, expected);
    }
}

}  // namespace
}  // namespace tdrm::comm
