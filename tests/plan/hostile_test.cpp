// Run files that are wrong in ways nobody meant, or somebody did: all of it becomes problems, in a moment.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>

#include "../base/mutate.hpp"
#include "plan_fixture.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/files.hpp"

namespace tdrm::plan {
namespace {

namespace fs = std::filesystem;

class RunFiles : public testing::Test {
protected:
    RunFiles() : path_(fs::path(testing::TempDir()) / "tdrm_hostile_plan") {
        fs::remove_all(path_);
        fs::create_directories(path_);
    }
    ~RunFiles() override { fs::remove_all(path_); }

    void write(const std::string& name, const std::string& text) { std::ofstream(path_ / name) << text; }

    /// The problems of a run file of the folder, one a line.
    std::string problems(const std::string& name = "run.yaml") {
        Problems found;
        (void)load_plan({.file = (path_ / name).string()}, kKinds, found);
        std::string text;
        for (const auto& problem : found) text += problem.text() + "\n";
        return text;
    }

    void expect_problem(const std::string& words) {
        const std::string text = problems();
        EXPECT_NE(text.find(words), std::string::npos) << "\"" << words << "\" isn't in: " << text.substr(0, 2000);
    }

    fs::path path_;
};

TEST_F(RunFiles, IncludesThatDoubleAreBounded) {
    for (int i = 0; i < 20; ++i) write(cat("f", i, ".yaml"), cat("include: [f", i + 1, ".yaml, f", i + 1, ".yaml]\n"));
    write("f20.yaml", "run: {dir: x}\n");
    write("run.yaml", "include: f0.yaml\n");
    const auto start = std::chrono::steady_clock::now();
    expect_problem("more than 100 files");
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
    EXPECT_LT(problems().size(), 3000U) << "the problem is told once";
}

TEST_F(RunFiles, AListOfOneLargeFileIsBounded) {
    std::string large = "run:\n", list;
    for (int i = 0; i < 20000; ++i) large += cat("  k", i, ": 1\n");
    for (int i = 0; i < 99; ++i) list += "large.yaml, ";
    write("large.yaml", large);
    write("run.yaml", "include: [" + list + "large.yaml]\n");
    expect_problem("100000 nodes");
}

TEST_F(RunFiles, AChainOfIncludesIsBounded) {
    for (int i = 0; i < 60; ++i) write(cat("f", i, ".yaml"), cat("include: f", i + 1, ".yaml\n"));
    write("f60.yaml", "run: {dir: x}\n");
    write("run.yaml", "include: f0.yaml\n");
    expect_problem("20 files within each other");
}

TEST_F(RunFiles, WhatIsNoRegularFileIsNamed) {
    ASSERT_EQ(::mkfifo((path_ / "fifo").c_str(), 0600), 0);
    fs::create_symlink("loop", path_ / "loop");
    fs::create_directory(path_ / "folder");
    write("pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
    const std::string longest(300, 'x');
    for (const auto& [file, words] :
         std::vector<std::pair<std::string, std::string>>{{"fifo", "named pipe"},
                                                          {"loop", "symbolic links"},
                                                          {"folder", "folder"},
                                                          {"/dev/zero", "device"},
                                                          {"none", "No such file"},
                                                          {"pointer", "Git LFS pointer"},
                                                          {longest, "too long"},
                                                          {longest + "/../run.yaml", "too long"},
                                                          {"", "folder"},
                                                          {".", "folder"},
                                                          {"run.yaml", "includes itself"},
                                                          {"./folder/../run.yaml", "includes itself"}}) {
        write("run.yaml", "include: \"" + file + "\"\n");
        expect_problem(words);
        EXPECT_LT(problems().size(), 2000U) << file;
        if (file.starts_with("/") || file == "run.yaml" || file.find("folder/") != std::string::npos) continue;
        EXPECT_NE(problems(file), "") << file;
    }
}

TEST(Hostile, NamesThatMeetFilesOfTheRunAreRefused) {
    for (const char* name : {"config.yaml", "history.jsonl", "performance.json", "report", "Report", "CONFIG.YAML",
                             "a.tmp", "a.old", "trajectories.h5", "x.json", "x.csv", "core.log"}) {
        const auto found = read(cat("stages: {", name, ": {do: sft}}")).problems;
        ASSERT_EQ(found.size(), 1U) << name;
        EXPECT_NE(found[0].find("Take another name"), std::string::npos) << found[0];
    }
    for (const char* name : {"td.v2", "config", "history", "jsonl", "a-tmp", "reports", "x[lambda=0.8]", "x[v=a.json]"})
        EXPECT_EQ(read(cat("stages: {\"", name, "\": {do: sft}}")).problems, Texts{}) << name;
}

TEST(Hostile, LongChainsOfCopiesAreBounded) {
    constexpr int kStages = 3000;
    std::string text = "stages:\n";
    for (int i = kStages; i > 0; --i) text += cat("  s", i, ": {like: s", i - 1, "}\n");
    const auto found = read(text + "  s0: {do: sft}\n").problems;
    ASSERT_FALSE(found.empty());
    EXPECT_NE(found[0].find("copy each other in a row"), std::string::npos) << found[0];
}

TEST(Hostile, ManyStagesAndLongGlobsTakeNoLongerThanAMoment) {
    const auto start = std::chrono::steady_clock::now();
    std::string text = "stages:\n  base: {do: sft, each: {seed: [";
    for (int i = 0; i < 3000; ++i) text += cat(i == 0 ? "" : ", ", i);
    text += "]}}\n  all: {do: best_of_n, data: x, values: [\"base[*]\", \"*a*a*a*a*a*a*a*a*a*b\"]}\n";
    (void)read(text);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(Hostile, VersionsThatAreNoNumbersOf64BitsAreRefused) {
    const auto found =
        read("stages: {a: {do: sft}, b: {do: rollout, policy: a@update-99999999999999999999999}}").problems;
    ASSERT_EQ(found.size(), 1U);
    EXPECT_NE(found[0].find("there is no version"), std::string::npos) << found[0];
}

TEST(Hostile, MutatedRunFilesBecomePlansOrProblems) {
    std::vector<std::string> seeds;
    for (const char* name : {"countdown.yaml", "smoke.yaml", "chain.yaml"})
        seeds.push_back(read_file(fs::path(TDRM_SOURCE_DIR) / "configs" / name));
    Random random(random_key(1, "run files"));
    const auto rounds = std::min<std::uint64_t>(fuzz_rounds(300), 50'000);
    std::uint64_t whole = 0;
    for (std::uint64_t round = 0; round < rounds; ++round) {
        const std::string text = mutated(seeds[round % seeds.size()], random);
        try {
            const auto [plan, problems] = read(text);
            if (!problems.empty()) continue;
            ++whole;
            ASSERT_EQ(names(read(resolved_text(plan)).plan), names(plan)) << text;
        } catch (const ConfigError&) {
        }
    }
    EXPECT_LT(whole, rounds);
}

}  // namespace
}  // namespace tdrm::plan
