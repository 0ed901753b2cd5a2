// How a batch is cut into units, and which rank gets which.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tdrm/base/random.hpp"
#include "tdrm/train/trainer.hpp"

namespace tdrm::train {
namespace {

using Lengths = std::vector<std::size_t>;

std::size_t sum(const Lengths& lengths) { return std::accumulate(lengths.begin(), lengths.end(), std::size_t{0}); }

/// Everything that the declaration of cut_units promises.
void expect_promises(const Lengths& lengths, std::size_t unit_tokens) {
    SCOPED_TRACE(testing::PrintToString(lengths) + " at " + std::to_string(unit_tokens));
    const auto first = cut_units(lengths, unit_tokens);
    ASSERT_EQ(first.front(), 0U);
    ASSERT_EQ(first.back(), lengths.size());
    if (lengths.empty()) return;
    ASSERT_TRUE(std::is_sorted(first.begin(), first.end(), std::less_equal<>())) << "no unit is empty";
    const std::size_t units = first.size() - 1, total = sum(lengths);
    const std::size_t most = std::max<std::size_t>(1, (total + unit_tokens - 1) / unit_tokens);
    const std::size_t longest = *std::max_element(lengths.begin(), lengths.end());
    EXPECT_LE(units, most);
    const std::size_t fewest = longest * most <= total ? most : 1;  // no sample is longer than the even share
    EXPECT_GE(units, fewest);
    const std::size_t share = (total + most - 1) / most;  // rounded up; at most unit_tokens
    ASSERT_LE(share, unit_tokens);
    for (std::size_t u = 0; u < units; ++u) {
        const Lengths unit(lengths.begin() + static_cast<std::ptrdiff_t>(first[u]),
                           lengths.begin() + static_cast<std::ptrdiff_t>(first[u + 1]));
        // Half of the first sample may lie before the unit's share, and half of the last one behind it.
        const std::size_t room = unit.size() > 1 ? share + unit.front() / 2 + unit.back() / 2 : longest;
        EXPECT_LE(sum(unit), room) << "unit " << u;
        EXPECT_LT(sum(unit), unit_tokens + std::max<std::size_t>(longest, 1)) << "unit " << u;
    }
}

TEST(CutUnits, WorksByHand) {
    EXPECT_EQ(cut_units({4, 4, 4, 4}, 8), (Lengths{0, 2, 4}));
    EXPECT_EQ(cut_units({1, 1, 1, 9}, 6), (Lengths{0, 3, 4}));
    EXPECT_EQ(cut_units({5}, 8), (Lengths{0, 1}));
    EXPECT_EQ(cut_units({}, 8), (Lengths{0}));
}

TEST(CutUnits, UnitIsLongerThanUnitTokensWhereNoFewerSamplesComeCloserToItsShare) {
    // Three units of 8 are aimed at; the middle one gets two samples of 6.
    EXPECT_EQ(cut_units({6, 6, 6, 6}, 10), (Lengths{0, 1, 3, 4}));
    // The bound is reached: 4 + 3 tokens in the middle, one below unit_tokens + the longest.
    EXPECT_EQ(cut_units({1, 4, 3, 3}, 4), (Lengths{0, 1, 3, 4}));
}

TEST(CutUnits, SampleLongerThanUnitTokensStandsAlone) {
    EXPECT_EQ(cut_units({100}, 10), (Lengths{0, 1}));
    EXPECT_EQ(cut_units({1, 100, 1}, 10), (Lengths{0, 1, 2, 3}));
    EXPECT_EQ(cut_units({100, 1, 1, 1}, 10), (Lengths{0, 1, 2, 3, 4}));  // its successors are ahead of their shares
}

TEST(CutUnits, KeepsItsPromisesForTwentyThousandRandomBatches) {
    Random random(random_key(1, "batches"));
    const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random.next_below(n)); };
    for (int batch = 0; batch < 20'000; ++batch) {
        Lengths lengths(below(batch % 2 == 0 ? 9 : 60));
        const std::size_t longest = 1 + below(batch % 3 == 0 ? 8 : 100);
        const bool equal = below(5) == 0;
        for (auto& length : lengths) length = equal ? longest : below(longest + 1);  // zeros too
        if (!lengths.empty() && below(4) == 0) lengths[below(lengths.size())] = 1000;
        expect_promises(lengths, 1 + below(batch % 5 == 0 ? 10 : 200));
        if (HasFailure()) return;
    }
}

TEST(CutUnits, KeepsItsPromisesForPathologicalBatches) {
    for (const Lengths& lengths : {Lengths{0}, Lengths{0, 0, 0}, Lengths{0, 0, 5, 0}, Lengths{10, 0, 0, 10},
                                   Lengths(50, 1), Lengths(50, 11), Lengths{1, 10, 10}, Lengths{1000, 1, 1000},
                                   Lengths{1, 1, 1, 1, 1, 1, 1, 1, 1000}, Lengths{1000, 1, 1, 1, 1, 1, 1, 1, 1}})
        for (const std::size_t unit_tokens : {1U, 2U, 10U, 11U, 1000U, 1'000'000U})
            expect_promises(lengths, unit_tokens);
}

TEST(AssignUnits, GivesTheLongestFirstToTheLeastLoadedRank) {
    EXPECT_EQ(assign_units({3, 1, 4, 1, 5}, 2), (std::vector<int>{1, 0, 1, 0, 0}));  // 5 + 1 + 1 | 4 + 3
    EXPECT_EQ(assign_units({2, 2, 2}, 3), (std::vector<int>{0, 1, 2}));              // equals in their order
    EXPECT_EQ(assign_units({1}, 4), (std::vector<int>{0}));
    EXPECT_TRUE(assign_units({}, 4).empty());
}

TEST(AssignUnits, GivesEveryUnitToARankWithinTheBoundOfLongestFirst) {
    Random random(random_key(2, "costs"));
    for (int batch = 0; batch < 2000; ++batch) {
        const int ranks = 1 + static_cast<int>(random.next_below(9));
        std::vector<double> costs(random.next_below(40));
        for (double& cost : costs) cost = static_cast<double>(1 + random.next_below(100));
        const auto owner = assign_units(costs, ranks);
        ASSERT_EQ(owner.size(), costs.size());
        ASSERT_EQ(owner, assign_units(costs, ranks));
        std::vector<double> load(static_cast<std::size_t>(ranks), 0.0);
        std::vector<double> least_last(load.size(), 1e9);  // smallest cost on each rank
        for (std::size_t u = 0; u < costs.size(); ++u) {
            ASSERT_TRUE(owner[u] >= 0 && owner[u] < ranks);
            const auto rank = static_cast<std::size_t>(owner[u]);
            load[rank] += costs[u];
            least_last[rank] = std::min(least_last[rank], costs[u]);
        }
        // A rank's last unit went to the least loaded, so without it no rank is above another.
        const double least = *std::min_element(load.begin(), load.end());
        for (std::size_t r = 0; r < load.size(); ++r) ASSERT_LE(load[r] - least_last[r], least) << "batch " << batch;
    }
}

TEST(Units, OfTwoBatchesStandBehindEachOther) {
    const Lengths first{5, 5, 5, 5}, second{7, 2};
    Units units(first, 10);
    const Units other(second, 100);
    units.append(other);
    ASSERT_EQ(units.size(), 3U);
    EXPECT_EQ(units.begin(2), 4U);
    EXPECT_EQ(units.end(2), 6U);
    EXPECT_EQ(units.cost(2), 9);
    EXPECT_EQ(units.samples(0), 2);
    Units none;
    none.append(other);
    EXPECT_EQ(none.size(), 1U);
    EXPECT_EQ(none.end(0), 2U);
}

}  // namespace
}  // namespace tdrm::train
