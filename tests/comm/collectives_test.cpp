#include "tdrm/comm/collectives.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace tdrm::comm {
namespace {

TEST(Collectives, WorkOnHostMemoryOverMpi) {
    Communicator ranks;
    const auto collectives = make_collectives(ranks, Transport::mpi);
    const int n = ranks.size();
    std::vector<float> floats(1000, 0.5F);
    collectives->all_reduce_sum(floats.data(), floats.size());
    EXPECT_EQ(floats, std::vector<float>(1000, 0.5F * static_cast<float>(n)));
    std::vector<std::int64_t> integers(1000, 1LL << 60);
    collectives->all_reduce_sum(integers.data(), integers.size());
    EXPECT_EQ(integers, std::vector<std::int64_t>(1000, n * (1LL << 60)));

    int value = ranks.rank();
    collectives->broadcast(&value, sizeof(value), n - 1);
    EXPECT_EQ(value, n - 1);
    std::vector<int> all(static_cast<std::size_t>(n), -1);
    const int mine = ranks.rank();
    collectives->all_gather(&mine, all.data(), sizeof(mine));
    std::vector<int> expected(all.size());
    std::iota(expected.begin(), expected.end(), 0);
    EXPECT_EQ(all, expected);
}

// With more ranks than GPUs, none included, every rank gets an explanation that it can act on.
TEST(Collectives, ExplainOnEveryRankWhyNcclCantBeUsed) {
    Communicator ranks;
    std::string message;
    try {
        CollectivesOptions options;
        options.device = 1000;
        const auto unexpected = make_collectives(ranks, Transport::nccl, options);
    } catch (const ConfigError& error) {
        message = error.what();
    }
    const bool explained =
        message.starts_with("NCCL was asked for, but ") || message.starts_with("CUDA device 1000 doesn't exist");
    EXPECT_TRUE(explained) << message;
    EXPECT_EQ(message.find("this build has none") != std::string::npos, !built_with_nccl()) << message;
}

}  // namespace
}  // namespace tdrm::comm
