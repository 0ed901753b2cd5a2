#include "tdrm/base/progress.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "tdrm/base/log.hpp"

namespace tdrm {
namespace {

struct FakeScreen {
    double now = 100;
    std::vector<std::string> lines, drawn;

    Screen screen(bool terminal) {
        return {terminal, 40, [this] { return now; }, [this](std::string_view text) { drawn.emplace_back(text); },
                [this](std::string_view text) { lines.emplace_back(text); }};
    }
};

TEST(Progress, WithoutATerminalALineAppearsAtMostEvery15SecondsAndAtTheEnd) {
    FakeScreen fake;
    Progress progress("grpo", 100, 0, fake.screen(false));
    for (int i = 1; i <= 100; ++i) {
        fake.now += 0.5;
        progress.update(i, "reward 0.31");
    }
    EXPECT_EQ(fake.lines,
              (std::vector<std::string>{
                  "grpo  1/100  2.0/s  50 s left  reward 0.31", "grpo  31/100  2.0/s  34 s left  reward 0.31",
                  "grpo  61/100  2.0/s  20 s left  reward 0.31", "grpo  91/100  2.0/s  4.5 s left  reward 0.31",
                  "grpo  100/100  2.0/s  in 50 s  reward 0.31"}));
    EXPECT_TRUE(fake.drawn.empty());
}

TEST(Progress, ATerminalGetsOneLineRedrawnAndCutToItsWidth) {
    FakeScreen fake;
    Progress progress("sft", 2, 0, fake.screen(true));
    for (int i = 0; i < 4; ++i) {
        fake.now += 0.06;
        progress.update(1, "a figure that is far too long for the width");
    }
    ASSERT_EQ(fake.drawn.size(), 2U);
    EXPECT_EQ(fake.drawn[0].size(), 39U);
    progress.update(2);
    EXPECT_EQ(fake.drawn.back(), "");
    EXPECT_EQ(fake.lines, std::vector<std::string>{"sft  2/2  8.3/s  in 0.2 s"});
}

TEST(Progress, WorkDoneBeforeAResumeIsNotInTheRate) {
    FakeScreen fake;
    Progress progress("rolls", 100, 90, fake.screen(false));
    fake.now += 10;
    progress.update(91);
    EXPECT_EQ(fake.lines, std::vector<std::string>{"rolls  91/100  10.0 s each  90 s left"});
}

TEST(Progress, WorkThatStopsEarlyLeavesItsLastState) {
    FakeScreen fake;
    {
        Progress progress("rolls", 100, 0, fake.screen(false));
        progress.update(0);
        fake.now += 5;
        progress.update(10);
    }
    EXPECT_EQ(fake.lines, (std::vector<std::string>{"rolls  0/100", "rolls  10/100  2.0/s  in 5.0 s"}));
}

TEST(Progress, OtherRanksAreSilent) {
    FakeScreen fake;
    log::set_rank(1);
    Progress progress("rolls", 2, 0, fake.screen(false));
    progress.update(2);
    log::set_rank(0);
    EXPECT_TRUE(fake.lines.empty());
}

TEST(Progress, TimesAreToldInTheUnitThatFits) {
    EXPECT_EQ(time_text(4.26), "4.3 s");
    EXPECT_EQ(time_text(72), "72 s");
    EXPECT_EQ(time_text(720), "12 min");
    EXPECT_EQ(time_text(11'100), "3 h 05 min");
}

std::string logged_by(int rank) {
    testing::internal::CaptureStderr();
    log::set_rank(rank);
    log::info("starts");
    log::warn("slow {disk}");
    log::error("gone");
    log::set_rank(0);
    return testing::internal::GetCapturedStderr();
}

TEST(Log, Rank0SaysEverythingWithTheTimeOfDay) {
    const std::string text = logged_by(0);
    const std::string time = R"(\[[0-9][0-9]:[0-9][0-9]:[0-9][0-9]\] )";
    EXPECT_TRUE(testing::internal::RE::FullMatch(
        text,
        testing::internal::RE("^" + time + "starts\n" + time + "warning: slow \\{disk\\}\n" + time + "error: gone\n$")))
        << text;
}

TEST(Log, OtherRanksSayOnlyWarningsAndErrorsWithTheirNumber) {
    const std::string text = logged_by(3);
    EXPECT_EQ(text.find("starts"), std::string::npos);
    EXPECT_NE(text.find("] rank 3: warning: slow {disk}\n"), std::string::npos);
    EXPECT_NE(text.find("] rank 3: error: gone\n"), std::string::npos);
}

}  // namespace
}  // namespace tdrm
