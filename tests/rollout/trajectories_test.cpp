#include "tdrm/rollout/trajectories.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "../store/temporary_folder.hpp"
#include "tdrm/rollout/answers.hpp"

namespace tdrm::rollout {
namespace {

Trajectories example(std::int64_t first) {
    Trajectories table;
    for (std::int64_t p = first; p < first + 2; ++p) {
        table.add_problem(p, {static_cast<std::uint64_t>(100 + p), {1, 2, static_cast<std::int32_t>(p)}, "gold"});
        for (std::int32_t s = 0; s < 2; ++s) {
            Trajectory t;
            t.sample = s;
            t.ids = {5, 6, static_cast<std::int32_t>(p), s};
            t.logprob = {-1, -2, -3, -4};
            t.step_ends = {2, 4};
            t.finish = task::Finish::length;
            t.verdict = {s == 1, s == 1 ? "gold" : "", task::Reason::truncated};
            table.add(t);
        }
    }
    return table;
}

bool same(const Trajectories& a, const Trajectories& b) { return a.pack() == b.pack(); }

TEST(Trajectories, PackingAndUnpackingKeepsEverything) {
    const auto table = example(0);
    EXPECT_TRUE(same(table, Trajectories::unpack(table.pack())));
    EXPECT_TRUE(same(Trajectories{}, Trajectories::unpack(Trajectories{}.pack())));
}

TEST(Trajectories, AppendingPartsGivesTheTableMadeAtOnce) {
    auto parts = example(0);
    parts.append(example(2));
    EXPECT_EQ(parts.size(), 8U);
    EXPECT_EQ(parts.problem.back(), 3);
    EXPECT_EQ(parts.prompt(3)[2], 3);
    EXPECT_EQ(parts.ids(7)[2], 3);
    EXPECT_EQ(parts.step_ends(7)[1], 4);
    EXPECT_EQ(parts.groups()[3], (std::pair<std::size_t, std::size_t>{6, 8}));
    EXPECT_EQ(parts.problem_of(7).id, 103U);
}

TEST(Trajectories, WritingAndReadingAFileKeepsEverything) {
    const store::TemporaryFolder folder("trajectories");
    const auto path = folder / "table.h5";
    const auto table = example(3);
    store::FileWriter writer(path);
    table.write(writer);
    writer.close();
    EXPECT_TRUE(same(table, Trajectories::read(store::FileReader(path))));
}

TEST(AnswerFigures, CountAnswersProblemsAndTokens) {
    auto table = example(0);
    table.outcome[1] = 0;  // the first problem isn't solved now
    table.finish[3] = static_cast<std::uint8_t>(task::Finish::stop);
    const AnswerFigures figures = figures_of(table);
    EXPECT_EQ(figures.right, 0.25);
    EXPECT_EQ(figures.solved, 0.5);
    EXPECT_EQ(figures.mean_length, 4);
    EXPECT_EQ(figures.cut, 0.75);
}

TEST(Trajectories, ContentHashChangesWithATokenAndNotWithAVerdict) {
    auto a = example(0);
    auto b = example(0);
    b.outcome[0] = 1;
    EXPECT_EQ(content_hash(a), content_hash(b));
    b.token[3] = 9;
    EXPECT_NE(content_hash(a), content_hash(b));
}

}  // namespace
}  // namespace tdrm::rollout
