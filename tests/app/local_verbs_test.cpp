// tokenize and verify as a shell sees them: output, messages and exit codes.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct Result {
    int code = -1;
    std::string output;      ///< of both streams
    std::vector<json> rows;  ///< the lines that are JSON
};

class LocalVerbs : public testing::Test {
protected:
    LocalVerbs() { fs::create_directories(folder_); }
    ~LocalVerbs() override { fs::remove_all(folder_); }

    std::string file(const std::string& name, const std::string& text) const {
        std::ofstream(folder_ / name, std::ios::binary) << text;
        return (folder_ / name).string();
    }

    /// Runs tdrm with `input` as standard input.
    Result run(const std::string& arguments, const std::string& input = "") const {
        const std::string command =
            std::string(TDRM_BINARY_DIR) + "/tdrm " + arguments + " < " + file("input", input) + " 2>&1";
        FILE* pipe = popen(command.c_str(), "r");
        Result result;
        std::array<char, 4096> buffer;
        for (std::size_t n; (n = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
            result.output.append(buffer.data(), n);
        const int status = pclose(pipe);
        result.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        std::istringstream lines(result.output);
        for (std::string line; std::getline(lines, line);) {
            if (json row = json::parse(line, nullptr, false); !row.is_discarded())
                result.rows.push_back(std::move(row));
        }
        return result;
    }

    const std::string tokenizer_ = "tokenize --tokenizer " TDRM_SOURCE_DIR "/tests/text/data/qwen ";
    const fs::path folder_ = fs::temp_directory_path() / ("tdrm_verbs_" + std::to_string(::getpid()));
};

#define EXPECT_SAYS(result, part) EXPECT_NE((result).output.find(part), std::string::npos) << (result).output

TEST_F(LocalVerbs, VerifyPrintsAVerdictWithAReasonForEachPair) {
    const Result result =
        run("verify --file " + file("pairs", R"({"gold": "\\frac{1}{2}", "answer": "so \\boxed{0.5}"})"
                                             "\n\n"
                                             R"({"gold": "1/2", "answer": 3})"
                                             "\n"));
    EXPECT_EQ(result.code, 0);
    ASSERT_EQ(result.rows.size(), 2u) << result.output;
    EXPECT_EQ(result.rows[0]["equal"], true);
    EXPECT_EQ(result.rows[0]["reason"], "same value");
    EXPECT_EQ(result.rows[1]["equal"], false);
    EXPECT_EQ(result.rows[1]["line"], 3);
    EXPECT_SAYS(result, "2 pairs, 1 equal");
}

TEST_F(LocalVerbs, VerifyGivesABrokenLineAnErrorVerdictAndNamesIt) {
    const std::string good = "{\"gold\": \"1\", \"answer\": \"1\"}\n";
    for (const char* bad : {"{broken", "[1, 2]", "{\"gold\": \"1\"}", "{\"gold\": \"1\", \"answer\": null}",
                            "{\"gold\": \"1\", \"answer\": \"1\", \"precision\": \"x\"}", "\"\xFF\"",
                            "{\"gold\": \"1\", \"answer\": \"\\ud800\"}"}) {
        const Result result = run("verify --file " + file("pairs", good + good + bad + "\n" + good));
        EXPECT_EQ(result.code, 65) << bad;
        ASSERT_EQ(result.rows.size(), 4u) << result.output;
        EXPECT_EQ(result.rows[2]["reason"], "error") << bad;
        EXPECT_EQ(result.rows[2]["equal"], false) << bad;
        EXPECT_EQ(result.rows[3]["equal"], true) << "the lines behind it are judged too";
        EXPECT_SAYS(result, "line 3: ");
    }
}

TEST_F(LocalVerbs, VerifyTellsAMissingFileAFullDiskAndAWrongCommandLineApart) {
    const std::string pairs = file("pairs", "{\"gold\": \"1\", \"answer\": \"1\"}\n");
    EXPECT_EQ(run("verify --file /nowhere/pairs").code, 74);
    EXPECT_EQ(run("verify --file " + folder_.string()).code, 74);
    EXPECT_EQ(run("verify --file " + pairs + " > /dev/full").code, 74);
    EXPECT_EQ(run("verify").code, 64);
    EXPECT_EQ(run("verify --fil " + pairs).code, 64);
    EXPECT_EQ(run("verify --file " + file("empty", "")).code, 0);
}

TEST_F(LocalVerbs, TokenizeThereAndBackGivesTheTexts) {
    const Result lines = run(tokenizer_, "She sold 24 clips.\n\n\xE5\xB0\x8F\xE6\x98\x8E");
    ASSERT_EQ(lines.rows.size(), 3u) << lines.output;
    EXPECT_EQ(lines.rows[1], json::array());
    const Result texts = run(tokenizer_ + "--decode", lines.output);
    ASSERT_EQ(texts.rows.size(), 3u);
    EXPECT_EQ(texts.rows[0], "She sold 24 clips.");
    EXPECT_EQ(texts.rows[2], "\xE5\xB0\x8F\xE6\x98\x8E");
    const Result two_lines = run(tokenizer_ + "--json", "\"a\\nb\"\n");
    ASSERT_EQ(two_lines.rows.size(), 1u);
    EXPECT_EQ(run(tokenizer_ + "--decode", two_lines.output).rows.at(0), "a\nb");
}

TEST_F(LocalVerbs, TokenizeNamesTheLineThatItCannotRead) {
    const auto expect = [&](const std::string& options, const std::string& input) {
        const Result result = run(tokenizer_ + options, input);
        EXPECT_EQ(result.code, 65) << result.output;
        EXPECT_EQ(result.rows.size(), 1u) << result.output;
        EXPECT_SAYS(result, "line 2");
    };
    expect("", "a\nb\xFF\n");
    expect("--json", "\"a\"\n\"b\n");
    expect("--json", "\"a\"\n[1]\n");
    expect("--decode", "[1]\n[1.5]\n");
    expect("--decode", "[1]\n5\n");
    EXPECT_EQ(run(tokenizer_ + "--decode", "[-1,10000000000]\n").rows.at(0), "");
    EXPECT_EQ(run("tokenize --tokenizer /nowhere", "a\n").code, 74);
    EXPECT_EQ(run("tokenize", "a\n").code, 64);
    EXPECT_EQ(run(tokenizer_ + "--decode --json", "").code, 64);
}

TEST_F(LocalVerbs, TokenizeChecksAFileOfIds) {
    const std::string cases = std::string(TDRM_SOURCE_DIR) + "/tests/text/data/qwen/cases.jsonl";
    const Result good = run(tokenizer_ + "--check " + cases);
    EXPECT_EQ(good.code, 0);
    EXPECT_SAYS(good, "150 lines checked, 0 differences");
    const Result bad =
        run(tokenizer_ + "--check " + file("ids", "{\"text\": \"a\", \"ids\": [5], \"decoded\": \"b\"}\n"));
    EXPECT_EQ(bad.code, 65);
    ASSERT_EQ(bad.rows.size(), 2u) << bad.output;
    EXPECT_EQ(bad.rows[0]["differs"], "ids");
    EXPECT_EQ(bad.rows[0]["expected"], json{5});
    EXPECT_EQ(bad.rows[1]["differs"], "decoded");
    EXPECT_EQ(run(tokenizer_ + "--check " + file("ids", "{\"text\": \"a\"}\n")).code, 65);
    EXPECT_EQ(run(tokenizer_ + "--check " + file("ids", "{\"ids\": [5]}\n")).code, 65);
    EXPECT_EQ(run(tokenizer_ + "--check /nowhere").code, 74);
}

}  // namespace
