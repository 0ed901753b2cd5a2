// Attention on the emulated device against that of processors, on random forests.
#include <numeric>

#include "../../src/engine/attention_plan.hpp"
#include "../../src/gpu/kernels.hpp"
#include "../gpu/kernel_fixture.hpp"
#include "tdrm/model/ops.hpp"

namespace tdrm::engine {
namespace {

using gpu::bf16;
using gpu::number;
using gpu::poisoned;

struct Case {
    gpu::HeadShape shape;
    int segments, longest;
    std::uint64_t seed;
    int window = 0;
};

/// Up to depth 5, cuts from none to all of the parent, segments from one token on.
model::Forest random_forest(const Case& c) {
    gpu::Numbers numbers(c.seed);
    model::Forest forest;
    std::vector<int> depth;
    for (int s = 0; s < c.segments; ++s) {
        const int length = numbers.below(3) == 0 ? 1 + numbers.below(3) : 1 + numbers.below(c.longest);
        const std::vector<std::int32_t> tokens(static_cast<std::size_t>(length), 0);
        const int parent = s == 0 || numbers.below(6) == 0 ? -1 : numbers.below(s);
        const bool root = parent < 0 || depth[static_cast<std::size_t>(parent)] == 5;
        const int whole = root ? 0 : forest.segments()[static_cast<std::size_t>(parent)].length;
        const int cut = numbers.below(3) == 0 ? whole : numbers.below(whole + 1);
        if (root) {
            forest.add(tokens);
        } else {
            forest.add(tokens, parent, cut);
        }
        depth.push_back(root ? 1 : depth[static_cast<std::size_t>(parent)] + 1);
    }
    return forest;
}

std::vector<float> widened(const std::vector<bf16>& values) {
    std::vector<float> floats;
    for (const bf16 x : values) floats.push_back(gpu::to_float(x));
    return floats;
}

gpu::QueryPlan plan_of(const QueryTiles& tiles) {
    return {tiles.tiles.data(), tiles.ranges.data(), tiles.row_of.data(), tiles.seen.data(),
            static_cast<int>(tiles.tiles.size())};
}

/// |a - b| / |b|
double distance(const std::vector<float>& a, const std::vector<float>& b) {
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < b.size(); ++i) {
        difference += (number(a[i]) - number(b[i])) * (number(a[i]) - number(b[i]));
        norm += number(b[i]) * number(b[i]);
    }
    return std::sqrt(difference / norm);
}

class DeviceAttention : public testing::TestWithParam<Case> {
protected:
    const gpu::HeadShape shape_ = GetParam().shape;
    const model::Forest forest_ = random_forest(GetParam());
    const int window_ = GetParam().window;
    const AttentionPlan plan_{forest_, true, window_};
    const std::size_t tokens_ = static_cast<std::size_t>(forest_.num_tokens());
    const std::size_t out_size_ = tokens_ * static_cast<std::size_t>(shape_.heads * shape_.head_dim);
    const std::size_t lse_size_ = tokens_ * static_cast<std::size_t>(shape_.heads);
    const float scale_ = 1.0F / std::sqrt(static_cast<float>(shape_.head_dim));
    gpu::Numbers numbers_{GetParam().seed + 100};
    const std::vector<bf16> qkv_ = numbers_.bf16s(tokens_ * static_cast<std::size_t>(shape_.stride()));
    const model::ops::AttentionShape cpu_{shape_.heads, shape_.kv_heads, shape_.head_dim, 0, window_};
    model::ops::AttentionScratch scratch_;

    [[nodiscard]] std::int32_t position(int token) const {
        return forest_.positions()[static_cast<std::size_t>(token)];
    }

    struct Attended {
        std::vector<bf16> out;
        std::vector<float> lse;
    };
    [[nodiscard]] Attended attended(const QueryTiles& tiles) const {
        Attended result{poisoned<bf16>(out_size_), poisoned<float>(lse_size_)};
        start(gpu::Attend{result.out.data(), result.lse.data(), qkv_.data(), plan_of(tiles), shape_, scale_, nullptr,
                          nullptr, nullptr},
              nullptr);
        return result;
    }
};
INSTANTIATE_TEST_SUITE_P(Shapes, DeviceAttention,
                         testing::Values(Case{{4, 2, 8}, 25, 50, 1}, Case{{3, 3, 16}, 8, 200, 2},
                                         Case{{4, 1, 24}, 40, 20, 3}, Case{{7, 1, 64}, 7, 80, 4},
                                         Case{{2, 1, 128}, 7, 60, 5}, Case{{2, 1, 256}, 7, 60, 6},
                                         Case{{4, 2, 16}, 25, 60, 7, 37}, Case{{2, 2, 8}, 8, 300, 8, 5}));

TEST_P(DeviceAttention, IsThatOfProcessorsUnderEverySchedule) {
    std::vector<float> lse;
    const auto out = gpu::under_all_schedules([&] {
        auto result = attended(plan_.queries());
        lse = result.lse;
        return result.out;
    });
    std::vector<float> expected(out_size_), expected_lse(lse_size_);
    model::ops::attention(expected.data(), expected_lse.data(), widened(qkv_).data(), forest_, cpu_, scratch_);
    for (std::size_t i = 0; i < lse_size_; ++i) ASSERT_NEAR(number(lse[i]), number(expected_lse[i]), 1e-4);
    EXPECT_LT(distance(widened(out), expected), gpu::kBf16Step);
}

TEST_P(DeviceAttention, ARowHasTheSameBitsInATileOfItsOwn) {
    const auto whole = attended(plan_.queries());
    QueryTiles alone;
    std::vector<std::size_t> rows;
    std::vector<model::VisibleRange> above;
    for (int s = 0; s < std::ssize(forest_.segments()); ++s) {
        const model::Segment& segment = forest_.segments()[static_cast<std::size_t>(s)];
        const int i = numbers_.below(segment.length);
        rows.push_back(static_cast<std::size_t>(segment.begin + i));
        const std::vector<QueryTiles::Row> row{{segment.begin + i, position(segment.begin + i)}};
        alone.open(row);
        forest_.visible(s, above);
        const auto add = [&](std::int32_t of, std::int32_t end) {
            const std::int32_t begin = forest_.segments()[static_cast<std::size_t>(of)].begin;
            alone.add_range({of, begin, position(begin), 1}, row, std::vector{end}, window_);
        };
        for (auto range = above.rbegin(); range != above.rend(); ++range) add(range->segment, range->count);
        add(s, i + 1);
    }
    const auto single = attended(alone);
    const auto width = static_cast<std::size_t>(shape_.heads * shape_.head_dim);
    const auto heads = static_cast<std::size_t>(shape_.heads);
    for (const std::size_t row : rows) {
        EXPECT_EQ(0, std::memcmp(&single.out[row * width], &whole.out[row * width], width * sizeof(bf16)));
        EXPECT_EQ(0, std::memcmp(&single.lse[row * heads], &whole.lse[row * heads], heads * sizeof(float)));
    }
}

/// The forest's keys and values in pages, dealt out at random; in tiles, and one row at a time.
TEST_P(DeviceAttention, PagesGiveTheBitsOfTheForest) {
    const auto whole = attended(plan_.queries());
    const auto width = static_cast<std::size_t>(shape_.head_dim);
    std::vector<std::int32_t> first_page, pages;
    for (const auto& segment : forest_.segments()) {
        first_page.push_back(static_cast<std::int32_t>(pages.size()));
        pages.resize(pages.size() + static_cast<std::size_t>((segment.length + 15) / 16));
    }
    std::iota(pages.begin(), pages.end(), 0);
    for (std::size_t i = pages.size() - 1; i > 0; --i)
        std::swap(pages[i], pages[static_cast<std::size_t>(numbers_.below(static_cast<int>(i) + 1))]);
    const std::size_t page_size = gpu::kPageTokens * static_cast<std::size_t>(shape_.kv_heads) * width;
    auto keys = poisoned<bf16>(pages.size() * page_size), values = keys;
    for (std::size_t s = 0; s < forest_.segments().size(); ++s) {
        const auto& segment = forest_.segments()[s];
        for (int i = 0; i < segment.length; ++i)
            for (int kv = 0; kv < shape_.kv_heads; ++kv) {
                const auto page = static_cast<std::size_t>(pages[static_cast<std::size_t>(first_page[s] + i / 16)]);
                const std::size_t to = page * page_size + static_cast<std::size_t>(kv * 16 + i % 16) * width;
                const std::size_t from =
                    static_cast<std::size_t>(segment.begin + i) * static_cast<std::size_t>(shape_.stride()) +
                    static_cast<std::size_t>(shape_.heads + kv) * width;
                std::copy_n(&qkv_[from], width, &keys[to]);
                std::copy_n(&qkv_[from + static_cast<std::size_t>(shape_.kv_heads) * width], width, &values[to]);
            }
    }
    QueryTiles tiles = plan_.queries();
    for (std::size_t r = 0; r < tiles.ranges.size(); ++r)
        tiles.ranges[r].begin =
            first_page[static_cast<std::size_t>(tiles.range_segment[r])] + tiles.range_first[r] / gpu::kPageTokens;
    const auto paged = gpu::under_all_schedules([&] {
        auto out = poisoned<bf16>(out_size_);
        start(gpu::Attend{out.data(), nullptr, qkv_.data(), plan_of(tiles), shape_, scale_, keys.data(), values.data(),
                          pages.data()},
              nullptr);
        return out;
    });
    EXPECT_EQ(0, std::memcmp(paged.data(), whole.out.data(), out_size_ * sizeof(bf16)));

    std::vector<gpu::KeyRange> ranges;
    std::vector<std::int32_t> first_range{0}, first_key;
    std::vector<model::VisibleRange> above;
    for (int s = 0; s < std::ssize(forest_.segments()); ++s) {
        forest_.visible(s, above);
        const model::Segment& segment = forest_.segments()[static_cast<std::size_t>(s)];
        for (int i = 0; i < segment.length; ++i) {
            first_key.push_back(0);
            const auto add = [&](std::int32_t of, std::int32_t end) {
                const std::int32_t base = position(forest_.segments()[static_cast<std::size_t>(of)].begin);
                const std::int32_t first = first_in_window(position(segment.begin + i), base, window_);
                if (first >= end) return;
                const std::int32_t out = whole_steps(first);
                if (std::ssize(ranges) == first_range.back()) first_key.back() = first - out;
                ranges.push_back({first_page[static_cast<std::size_t>(of)] + out / gpu::kPageTokens, end - out});
            };
            for (auto range = above.rbegin(); range != above.rend(); ++range) add(range->segment, range->count);
            add(s, i + 1);
            first_range.push_back(static_cast<std::int32_t>(ranges.size()));
        }
    }
    const auto once = gpu::under_all_schedules([&] {
        auto out = poisoned<bf16>(out_size_);
        start(gpu::AttendOnce{out.data(), qkv_.data(), ranges.data(), first_range.data(), first_key.data(),
                              static_cast<int>(tokens_), shape_, scale_, keys.data(), values.data(), pages.data()},
              nullptr);
        return out;
    });
    EXPECT_EQ(0, std::memcmp(once.data(), whole.out.data(), out_size_ * sizeof(bf16)));
}

TEST_P(DeviceAttention, GradientsAreThoseOfProcessorsUnderEverySchedule) {
    const auto forward = attended(plan_.queries());
    const auto d_out = numbers_.bf16s(out_size_);
    std::vector<double> frequencies;
    for (int i = 0; i < shape_.head_dim / 4; ++i) frequencies.push_back(std::pow(100.0, -i));
    model::ops::RotaryTable table(frequencies);
    table.grow(512);
    const gpu::Rotary rotary{table.cosine(0), table.sine(0), table.num_pairs(), false, forest_.positions().data()};
    const std::size_t shares =
        static_cast<std::size_t>(plan_.num_shares()) * static_cast<std::size_t>(shape_.heads * shape_.head_dim);
    const auto d_qkv = gpu::under_all_schedules([&] {
        auto gradient = poisoned<bf16>(qkv_.size());
        auto delta = poisoned<float>(lse_size_), dq = poisoned<float>(out_size_), dk = poisoned<float>(shares),
             dv = poisoned<float>(shares);
        const gpu::AttendGradient of{qkv_.data(), d_out.data(), forward.lse.data(), delta.data(), shape_, scale_};
        start(gpu::AttendDelta{delta.data(), forward.out.data(), d_out.data(), static_cast<int>(tokens_), shape_},
              nullptr);
        start(gpu::AttendQueries{dq.data(), of, plan_of(plan_.queries())}, nullptr);
        start(gpu::AttendKeys{dk.data(), dv.data(), of, plan_of(plan_.queries()), plan_.chunks().data(),
                              plan_.parts().data(), static_cast<int>(plan_.chunks().size())},
              nullptr);
        start(gpu::AttendReduce{gradient.data(), dq.data(), dk.data(), dv.data(), plan_.key_tiles().data(),
                                static_cast<int>(plan_.key_tiles().size()), rotary, shape_},
              nullptr);
        return gradient;
    });
    const auto qkv = widened(qkv_), d = widened(d_out);
    std::vector<float> out(out_size_), lse(lse_size_), expected(qkv.size());
    model::ops::attention(out.data(), lse.data(), qkv.data(), forest_, cpu_, scratch_);
    model::ops::attention_backward(expected.data(), d.data(), out.data(), lse.data(), qkv.data(), forest_, cpu_,
                                   scratch_);
    model::ops::rotate(expected.data(), table, forest_.positions(), shape_.heads + shape_.kv_heads, shape_.head_dim,
                       shape_.stride(), -1);
    EXPECT_LT(distance(widened(d_qkv), expected), 1.5 * gpu::kBf16Step);
}

TEST(AttentionPlan, LeavesOutStepsThatAWindowHasPassed) {
    model::Forest forest;
    forest.add(std::vector<std::int32_t>(1000));
    const AttentionPlan all(forest, true), near(forest, true, 100);
    const auto keys = [](const AttentionPlan& plan) {
        std::int64_t sum = 0;
        for (const auto& range : plan.queries().ranges) sum += range.count;
        return sum;
    };
    EXPECT_EQ(keys(all), 8680);
    EXPECT_LE(keys(near), 16 * (64 + 100 + gpu::kKeyStep));
    EXPECT_LT(near.parts().size(), all.parts().size() / 2);
    for (const auto& tile : near.key_tiles()) EXPECT_GE(tile.chunks, 1);
}

TEST(AttentionPlan, PacksShortSiblingsAndCutsManyReaders) {
    model::Forest forest;
    const std::vector<std::int32_t> prompt(70), answer(200), probe(2);
    const int root = forest.add(prompt);
    for (int a = 0; a < 40; ++a) {
        const int trunk = forest.add(answer, root);
        for (int cut = 5; cut < 200; cut += 10) forest.add(probe, trunk, cut);
    }
    const AttentionPlan plan(forest, true);
    // The root 2, answers 4 each, and 20 probes of an answer 1 together.
    EXPECT_EQ(plan.queries().tiles.size(), 2U + 40U * (4U + 1U));
    for (const auto& chunk : plan.chunks()) EXPECT_LE(chunk.parts, 32);
    const auto& shared = plan.key_tiles()[0];
    EXPECT_GT(shared.chunks, 8) << "the prompt is read by all answers";
    int keys = 0;
    for (const auto& tile : plan.key_tiles()) {
        EXPECT_EQ(tile.begin, keys);
        keys += tile.keys;
    }
    EXPECT_EQ(keys, forest.num_tokens());
}

}  // namespace
}  // namespace tdrm::engine
