#include "tdrm/base/json.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/json_rows.hpp"
#include "tdrm/base/yaml.hpp"

namespace tdrm {
namespace {

namespace fs = std::filesystem;

/// Code and message of what a call throws; code 0 if nothing.
template <class Call>
Failure failure_of(Call&& call) {
    try {
        call();
    } catch (const std::exception& error) {
        return describe(error);
    }
    return {ExitCode::ok, ""};
}

std::string repeated(std::string_view text, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) all += text;
    return all;
}

class Files : public testing::Test {
protected:
    Files() : folder_(fs::path(testing::TempDir()) / "json_test") {
        fs::remove_all(folder_);
        fs::create_directories(folder_);
    }
    ~Files() override { fs::remove_all(folder_); }

    fs::path write(const std::string& name, const std::string& text) {
        std::ofstream(folder_ / name, std::ios::binary) << text;
        return folder_ / name;
    }
    fs::path fifo() {
        EXPECT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
        return folder_ / "fifo";
    }
    fs::path loop() {
        fs::create_symlink("loop", folder_ / "loop");
        return folder_ / "loop";
    }

    fs::path folder_;
};

TEST(Json, TheDeepestAllowedValueIsReadAndOneLevelMoreIsRefused) {
    for (const auto& [open, close] : {std::pair{"[", "]"}, {R"({"a":)", "}"}}) {
        const auto nested = [open = open, close = close](int levels) {
            return repeated(open, levels) + "1" + repeated(close, levels);
        };
        EXPECT_EQ(parse_json(nested(kMaxJsonDepth), "x").dump(), nested(kMaxJsonDepth));
        const auto failure = failure_of([&] { (void)parse_json("\n " + nested(kMaxJsonDepth + 1), "x.json"); });
        EXPECT_EQ(failure.code, ExitCode::data);
        EXPECT_TRUE(failure.message.starts_with("x.json: line 2, column ")) << failure.message;
        EXPECT_NE(failure.message.find("128 levels"), std::string::npos) << failure.message;
    }
}

TEST(Json, AMillionLevelsAreRefusedWhetherTheyAreClosedOrNot) {
    for (const std::string& text :
         {repeated("[", 1000000), repeated(R"({"a":[)", 1000000), repeated("[", 1000000) + repeated("]", 1000000)}) {
        EXPECT_EQ(failure_of([&] { (void)parse_json(text, "x"); }).code, ExitCode::data);
        EXPECT_TRUE(parse_json_or_discard(text).is_discarded());
    }
}

TEST(Json, BracketsInStringsAreNoLevels) {
    const std::string text = "[\"" + repeated("[{", 1000) + "\\\"[[[" + repeated("\\\\", 7) + "\"]";
    EXPECT_EQ(parse_json(text, "x")[0].get<std::string>().size(), 2000U + 4U + 7U);
}

TEST(Json, SiblingsMayBeMany) { EXPECT_EQ(parse_json("[" + repeated("[[]],", 10000) + "0]", "x").size(), 10001U); }

TEST(Json, AByteOrderMarkIsSkippedAndPythonsWordsForNoNumberAreNull) {
    EXPECT_EQ(parse_json("\xEF\xBB\xBF[1]", "x").dump(), "[1]");
    EXPECT_EQ(parse_json(R"([NaN, -Infinity,Infinity, "NaN \" Infinity", {"NaN":-1}])", "x").dump(),
              R"([null,null,null,"NaN \" Infinity",{"NaN":-1}])");
    for (const char* text : {"[nan]", "[NaNN]", "[Inf]", "N", "[1 NaN]", "[-NaN]"})
        EXPECT_EQ(failure_of([&] { (void)parse_json(text, "x"); }).code, ExitCode::data) << text;
}

TEST(Json, AMessageNamesThePlaceAndQuotesNothing) {
    const auto failure = failure_of([&] { (void)parse_json("{\"a\": 1,\n  \"b\": \xE2\x82}", "f"); });
    EXPECT_EQ(failure.message, "f: line 2, column 8: this is no JSON (or no UTF-8). Fetch or write it again.");
    EXPECT_NE(failure_of([] { (void)parse_json("", "f"); }).message.find("empty"), std::string::npos);
    EXPECT_EQ(failure_of([] { (void)parse_json("[1e999]", "f"); }).code, ExitCode::data);
}

TEST_F(Files, OnlyRegularFilesAreOpened) {
    const std::vector<std::pair<fs::path, const char*>> paths{{folder_, "folder"},
                                                              {fifo(), "named pipe"},
                                                              {"/dev/zero", "device"},
                                                              {"/dev/null", "device"},
                                                              {loop(), "symbolic links"},
                                                              {folder_ / repeated("x", 5000), "too long"},
                                                              {folder_ / "none", "No such file"}};
    for (const auto& entry : paths) {
        const fs::path& path = entry.first;  // clang 14 doesn't let lambdas capture structured bindings
        const char* word = entry.second;
        const std::vector<Failure> failures{
            failure_of([&] { (void)read_file(path); }), failure_of([&] { (void)read_json(path, "it is needed"); }),
            failure_of([&] { (void)read_yaml(path.string()); }),
            failure_of([&] { rows::for_each_row(path, [](const auto&, const auto&) {}); })};
        for (const Failure& failure : failures) {
            EXPECT_EQ(failure.code, ExitCode::io) << path;
            EXPECT_NE(failure.message.find(word), std::string::npos) << failure.message;
            EXPECT_LT(failure.message.size(), 1000U);
        }
    }
}

TEST_F(Files, WhatTheFileSystemRefusesIsNoBug) {
    EXPECT_EQ(failure_of([&] { (void)fs::exists(loop()); }).code, ExitCode::io);
    EXPECT_EQ(failure_of([&] { (void)fs::is_directory(folder_ / repeated("x", 5000)); }).code, ExitCode::io);
}

TEST_F(Files, AMissingFileIsNothingButOneThatCantBeReadIsAnError) {
    EXPECT_FALSE(read_file_if_there(folder_ / "none"));
    EXPECT_FALSE(read_file_if_there(write("plain", "x") / "none"));
    EXPECT_TRUE(read_json_if_there(folder_ / "none").is_null());
    EXPECT_EQ(failure_of([&] { (void)read_json_if_there(loop()); }).code, ExitCode::io);
}

TEST_F(Files, AFileLongerThanItsLimitIsRefused) {
    const auto path = write("long", repeated("0123456789", 1000));
    EXPECT_EQ(read_file(path, "", 10000).size(), 10000U);
    const auto failure = failure_of([&] { (void)read_file(path, "", 9999); });
    EXPECT_EQ(failure.code, ExitCode::data);
    EXPECT_NE(failure.message.find("more than 9999 bytes"), std::string::npos) << failure.message;
    EXPECT_FALSE(read_file("/proc/self/status").empty()) << "its size is told as 0";
}

TEST_F(Files, ThePointerOfGitLfsIsNamedAsSuch) {
    const auto path = write("model.json", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    for (const Failure& failure :
         {failure_of([&] { (void)read_json(path); }), failure_of([&] { (void)read_yaml(path.string()); }),
          failure_of([&] { rows::for_each_row(path, [](const auto&, const auto&) {}); })}) {
        EXPECT_EQ(failure.code, ExitCode::data);
        EXPECT_NE(failure.message.find("Git LFS pointer"), std::string::npos) << failure.message;
    }
}

TEST_F(Files, RowsAreTheSameWithAndWithoutAMarkInLinesOrAsAnArray) {
    const std::vector<std::string> texts{"\xEF\xBB\xBF{\"a\":1}\n\n{\"a\":NaN}", "[{\"a\":1},{\"a\":null}]",
                                         "\xEF\xBB\xBF [{\"a\":1},{\"a\":null}]", "\n\n{\"a\":1}\r\n{\"a\":null}\r\n"};
    for (const std::string& text : texts) {
        std::string found;
        rows::for_each_row(write("rows", text), [&](const auto& row, const auto&) { found += row.dump(); });
        EXPECT_EQ(found, R"({"a":1}{"a":null})") << text;
    }
}

TEST_F(Files, ARowThatIsTooDeepIsDiscardedAndTheNextOneRead) {
    std::vector<bool> discarded;
    rows::for_each_row(write("rows", "1\n" + repeated("[", 100000) + "\n" + "{}"),
                       [&](const auto& row, const auto&) { discarded.push_back(row.is_discarded()); });
    EXPECT_EQ(discarded, (std::vector{false, true, false}));
}

TEST_F(Files, LinesLongerThanTheBufferAndALastOneWithoutEndAreWhole) {
    std::vector<std::pair<std::size_t, bool>> seen;
    rows::for_each_line(write("lines", repeated("x", 200000) + "\n\n" + repeated("y", 70000)),
                        [&](std::string_view line, bool whole) { seen.emplace_back(line.size(), whole); });
    EXPECT_EQ(seen, (std::vector<std::pair<std::size_t, bool>>{{200000, true}, {0, true}, {70000, false}}));
}

}  // namespace
}  // namespace tdrm
