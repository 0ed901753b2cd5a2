// Seconds by section and counted work: what a stage's figures are made of.
#include "tdrm/base/ledger.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <optional>
#include <thread>

namespace tdrm::ledger {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kNap{20};

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

TEST(Ledger, AnInnerSectionTakesOverFromTheOuterOne) {
    (void)close();
    const auto start = Clock::now();
    {
        const In outer(Section::batch);
        std::this_thread::sleep_for(kNap);
        {
            const In inner(Section::generate);
            std::this_thread::sleep_for(kNap);
        }
        std::this_thread::sleep_for(kNap);
    }
    const double passed = seconds(Clock::now() - start);
    const Sheet sheet = close();
    EXPECT_GE(sheet[Section::batch], 2 * seconds(kNap));
    EXPECT_GE(sheet[Section::generate], seconds(kNap));
    const double all = std::accumulate(sheet.seconds.begin(), sheet.seconds.end(), 0.0);
    EXPECT_LE(all, passed);
    EXPECT_DOUBLE_EQ(all, sheet[Section::batch] + sheet[Section::generate]);
}

TEST(Ledger, SectionsCanFollowEachOtherInOneOptional) {
    (void)close();
    std::optional<In> phase;
    phase.emplace(Section::step);
    std::this_thread::sleep_for(kNap);
    phase.emplace(Section::eval);
    phase.reset();
    const Sheet sheet = close();
    EXPECT_GE(sheet[Section::step], seconds(kNap));
    EXPECT_LT(sheet[Section::eval], sheet[Section::step]);
}

TEST(Ledger, ASectionLeftByAnExceptionIsBooked) {
    (void)close();
    try {
        const In section(Section::work);
        std::this_thread::sleep_for(kNap);
        throw 1;
    } catch (int) {
    }
    { const In next(Section::merge); }
    const Sheet sheet = close();
    EXPECT_GE(sheet[Section::work], seconds(kNap));
    EXPECT_LT(sheet[Section::merge], sheet[Section::work]);
}

TEST(Ledger, CloseGivesWhatCameSinceTheLastClose) {
    (void)close();
    count(Work::trained, 3);
    count(Work::trained, 4);
    count(Work::flop, 1e12);
    const Sheet sheet = close();
    EXPECT_EQ(sheet[Work::trained], 7);
    EXPECT_EQ(sheet[Work::flop], 1e12);
    EXPECT_EQ(sheet[Work::generated], 0);
    EXPECT_EQ(close()[Work::trained], 0);
}

}  // namespace
}  // namespace tdrm::ledger
