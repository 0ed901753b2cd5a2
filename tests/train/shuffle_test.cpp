#include "tdrm/train/shuffle.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/random.hpp"

namespace tdrm::train {
namespace {

std::vector<std::int64_t> epoch(const Shuffle& shuffle, std::int64_t n, std::int64_t e) {
    std::vector<std::int64_t> order;
    for (std::int64_t k = e * n; k < (e + 1) * n; ++k) {
        EXPECT_EQ(shuffle(k).visit, e);
        order.push_back(shuffle(k).index);
    }
    return order;
}

TEST(Shuffle, IsAPermutationInEachEpochForEverySmallNumberOfItems) {
    std::vector<std::int64_t> sizes(70);
    std::iota(sizes.begin(), sizes.end(), 1);
    sizes.insert(sizes.end(), {255, 256, 257, 1000, 4096, 5000});
    for (const std::int64_t n : sizes)
        for (const std::int64_t e : {0, 1, 2, 1000}) {
            auto order = epoch(Shuffle(3, n), n, e);
            std::sort(order.begin(), order.end());
            std::vector<std::int64_t> all(static_cast<std::size_t>(n));
            std::iota(all.begin(), all.end(), 0);
            ASSERT_EQ(order, all) << n << " items, epoch " << e;
        }
}

TEST(Shuffle, EpochsAndSeedsHaveOrdersOfTheirOwn) {
    const std::int64_t n = 100;
    std::vector<std::vector<std::int64_t>> orders;
    for (const std::uint64_t seed : {1, 2})
        for (const std::int64_t e : {0, 1, 2}) orders.push_back(epoch(Shuffle(seed, n), n, e));
    std::vector<std::int64_t> sorted(static_cast<std::size_t>(n));
    std::iota(sorted.begin(), sorted.end(), 0);
    orders.push_back(sorted);
    for (std::size_t a = 0; a < orders.size(); ++a)
        for (std::size_t b = a + 1; b < orders.size(); ++b) {
            // Two random orders of n items agree in one place on average, and hardly ever in ten.
            std::size_t alike = 0;
            for (std::size_t i = 0; i < orders[a].size(); ++i) alike += orders[a][i] == orders[b][i] ? 1 : 0;
            EXPECT_LT(alike, 10U) << a << " " << b;
        }
}

TEST(Shuffle, DrawIsTheSameInAnyOrderOfAsking) {
    const std::int64_t n = 37;
    const Shuffle one(5, n), other(5, n);
    std::vector<task::Draw> forwards;
    for (std::int64_t k = 0; k < 4 * n; ++k) forwards.push_back(one(k));
    for (std::int64_t k = 4 * n - 1; k >= 0; --k) {
        EXPECT_EQ(other(k).index, forwards[static_cast<std::size_t>(k)].index);
        EXPECT_EQ(other(k).visit, forwards[static_cast<std::size_t>(k)].visit);
    }
}

TEST(Shuffle, EveryItemIsEquallyOftenTheFirst) {
    std::vector<double> first(8, 0);
    const Shuffle shuffle(11, 8);
    for (std::int64_t e = 0; e < 8000; ++e) first[static_cast<std::size_t>(shuffle(e * 8).index)] += 1;
    double chi_squared = 0;
    for (const double count : first) chi_squared += (count - 1000) * (count - 1000) / 1000;
    EXPECT_LT(chi_squared, 24.3);  // 7 degrees of freedom: one in a thousand is above
}

TEST(Shuffle, OfNothingIsABug) { EXPECT_THROW(Shuffle(1, 0), BugError); }

}  // namespace
}  // namespace tdrm::train
