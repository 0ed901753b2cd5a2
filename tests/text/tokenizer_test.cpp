// Tokenizers against the Hugging Face tokenizers library: tests/text/data/*/cases.jsonl holds what it gave
// (tools/fixtures/make_tokenizers.py).
#include "tdrm/text/tokenizer.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "real_data.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::text {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;
using Ids = std::vector<std::int32_t>;

const fs::path kData = fs::path(TDRM_SOURCE_DIR) / "tests/text/data";
std::vector<json> read_jsonl(const fs::path& path) {
    std::ifstream file(path);
    std::vector<json> rows;
    for (std::string line; std::getline(file, line);) rows.push_back(json::parse(line));
    return rows;
}

void expect_equal(const Tokenizer& tokenizer, const fs::path& cases) {
    const auto rows = read_jsonl(cases);
    ASSERT_FALSE(rows.empty()) << cases;
    for (const json& row : rows) {
        const auto ids = row.at("ids").get<Ids>();
        if (row.contains("text")) {
            const auto text = row.at("text").get<std::string>();
            EXPECT_EQ(tokenizer.encode(text), ids) << cases << row;
            const char* special = row.contains("ids_with_special") ? "ids_with_special" : "special";
            EXPECT_EQ(tokenizer.encode(text, true), row.contains(special) ? row.at(special).get<Ids>() : ids) << row;
        }
        const auto decoded = row.at("decoded").get<std::string>();
        EXPECT_EQ(tokenizer.decode(ids), decoded) << cases << row;
        const char* skip = row.contains("decoded_skip_special") ? "decoded_skip_special" : "skip";
        EXPECT_EQ(tokenizer.decode(ids, true), row.contains(skip) ? row.at(skip).get<std::string>() : decoded) << row;
    }
}

class TinyTokenizer : public testing::TestWithParam<std::string> {};

TEST_P(TinyTokenizer, GivesTheIdsAndTextsOfTheLibrary) {
    const fs::path folder = kData / GetParam();
    expect_equal(Tokenizer::load(folder), folder / "cases.jsonl");
}

/// A cut of what tools/fixtures/fuzz_tokenizers.py compares.
void expect_no_mismatch(const Tokenizer& tokenizer, const fs::path& file) {
    const TokenizerReport report = check_tokenizer(tokenizer, file);
    EXPECT_GE(report.checked, 50) << file;
    for (const auto& mismatch : report.mismatches) {
        ADD_FAILURE() << file << " line " << mismatch.line << " " << mismatch.what << ": " << mismatch.text << "\n  "
                      << mismatch.expected << "\n  " << mismatch.found;
    }
}

TEST_P(TinyTokenizer, AgreesWithTheLibraryOnRandomTexts) {
    const fs::path folder = kData / GetParam();
    expect_no_mismatch(Tokenizer::load(folder), folder / "fuzz.jsonl");
}

TEST_P(TinyTokenizer, BytesOfTokensJoinToTheDecodedText) {
    const Tokenizer tokenizer = Tokenizer::load(kData / GetParam());
    for (const std::string text : {"x She sold 24 clips in May.\n\nWell", "x \xE5\xB0\x8F\xE6\x98\x8E 3 clips"}) {
        if (tokenizer.encode("x\n\n\xE5\xB0\x8F").size() < 4 || tokenizer.decode(tokenizer.encode(text)) != text)
            continue;
        std::string bytes;
        for (const std::int32_t id : tokenizer.encode(text)) bytes += tokenizer.bytes_of(id);
        EXPECT_EQ(bytes.substr(bytes.find('x')), text);
    }
}

INSTANTIATE_TEST_SUITE_P(OfEveryKind, TinyTokenizer,
                         testing::Values("added", "deepseek_llm", "deepseek_v3", "gpt2", "gpt2_prefix", "gpt4",
                                         "llama2", "llama3", "metaspace", "metaspace_never", "mistral", "qwen",
                                         "smollm", "splits", "tekken", "unknown", "whitespace"),
                         [](const auto& test) { return test.param; });

TEST(RealTokenizer, Qwen25AndGlm4AgreeWithTheirReferences) {
    bool any = false;
    for (const char* name : {"qwen2_5", "glm4"}) {
        const fs::path folder = kReal / "tokenizers" / name;
        if (!fs::exists(folder)) continue;
        any = true;
        const Tokenizer tokenizer = Tokenizer::parse(gunzip(folder / "tokenizer.json.gz"), name);
        EXPECT_EQ(tokenizer.vocab_size(), std::string(name) == "glm4" ? 151343 : 151665);
        expect_equal(tokenizer, folder / "reference.jsonl");
        expect_equal(tokenizer, folder / "decode.jsonl");
        expect_no_mismatch(tokenizer, kData / "real" / (std::string(name) + ".jsonl"));
    }
    if (!any)
        GTEST_SKIP() << "no " << kReal / "tokenizers"
                     << "; the tiny tokenizers cover every component";
}

TEST(RealTokenizer, Stories260KAgreesWithItsReference) {
    const fs::path folder = kReal / "models/stories260K";
    if (!fs::exists(folder)) GTEST_SKIP() << "no " << folder << "; the tiny tokenizer llama2 is of the same kind";
    const Tokenizer tokenizer = Tokenizer::load(folder);
    for (const json& row : read_jsonl(folder / "reference.jsonl")) {
        EXPECT_EQ(tokenizer.encode(row.at("text").get<std::string>(), true), row.at("ids").get<Ids>());
    }
}

json tiny(const std::string& name) {
    std::ifstream file(kData / name / "tokenizer.json");
    return json::parse(file);
}

std::string parse_error(const json& config) {
    try {
        (void)Tokenizer::parse(config.dump(), "here");
    } catch (const DataError& error) {
        return error.what();
    }
    return "no error";
}

TEST(Tokenizer, NamesTheComponentThatItDoesNotSupport) {
    const auto with = [](const char* key, const json& value) {
        json config = tiny("qwen");
        config[key] = value;
        return parse_error(config);
    };
    EXPECT_NE(with("normalizer", {{"type", "Lowercase"}}).find("normalizer \"Lowercase\""), std::string::npos);
    EXPECT_NE(with("pre_tokenizer", {{"type", "UnicodeScripts"}}).find("UnicodeScripts"), std::string::npos);
    EXPECT_NE(with("post_processor", {{"type", "BertProcessing"}}).find("BertProcessing"), std::string::npos);
    EXPECT_NE(with("decoder", {{"type", "WordPiece"}}).find("WordPiece"), std::string::npos);
    EXPECT_NE(with("model", {{"type", "Unigram"}, {"vocab", json::array()}}).find("Unigram"), std::string::npos);
    json dropout = tiny("qwen");
    dropout["model"]["dropout"] = 0.1;
    EXPECT_NE(parse_error(dropout).find("dropout"), std::string::npos);
    json suffix = tiny("qwen");
    suffix["model"]["end_of_word_suffix"] = "</w>";
    EXPECT_NE(parse_error(suffix).find("end_of_word_suffix"), std::string::npos);
}

TEST(Tokenizer, RefusesBrokenFiles) {
    EXPECT_THROW((void)Tokenizer::load("/nowhere/tokenizer.json"), IoError);
    EXPECT_THROW((void)Tokenizer::parse("{\"model\":", "here"), DataError);
    EXPECT_THROW((void)Tokenizer::parse("[]", "here"), DataError);
    EXPECT_THROW((void)Tokenizer::parse("{}", "here"), DataError);
    json bad_merge = tiny("qwen");
    bad_merge["model"]["merges"].push_back({"nowhere", "seen"});
    EXPECT_NE(parse_error(bad_merge).find("merge 163"), std::string::npos);
    json three = tiny("gpt2");
    three["model"]["merges"].push_back("a b c");
    EXPECT_NE(parse_error(three).find("a b c"), std::string::npos);
    json huge = tiny("qwen");
    huge["added_tokens"][0]["id"] = 1000000000;
    EXPECT_NE(parse_error(huge).find("1000000000"), std::string::npos);
    json negative = tiny("qwen");
    negative["model"]["vocab"]["zz"] = -1;
    EXPECT_NE(parse_error(negative).find("-1"), std::string::npos);
}

TEST(Tokenizer, RefusesTextThatIsNotUtf8AndSaysWhere) {
    const Tokenizer tokenizer = Tokenizer::load(kData / "qwen");
    for (const std::string text : {"abc\xFF", "abc\xE5\xB0", "abc\xC0\x80", "abc\xED\xA0\x80", "abc\xF4\x90\x80\x80"}) {
        try {
            (void)tokenizer.encode(text);
            ADD_FAILURE() << text;
        } catch (const DataError& error) {
            EXPECT_NE(std::string(error.what()).find("byte 3"), std::string::npos);
        }
    }
}

TEST(Tokenizer, LeavesUnknownIdsOut) {
    const Tokenizer tokenizer = Tokenizer::load(kData / "qwen");
    const auto ids = tokenizer.encode("clips");
    Ids more{-1, 1 << 30};
    more.insert(more.end(), ids.begin(), ids.end());
    EXPECT_EQ(tokenizer.decode(more), "clips");
    EXPECT_EQ(tokenizer.bytes_of(-1), "");
}

TEST(Tokenizer, FingerprintDependsOnMeaningNotOnLayout) {
    const json config = tiny("qwen");
    const std::string fingerprint = Tokenizer::parse(config.dump(), "a").fingerprint();
    EXPECT_EQ(Tokenizer::parse(config.dump(4), "b").fingerprint(), fingerprint);
    json as_strings = config;
    for (json& merge : as_strings["model"]["merges"]) {
        merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
    }
    EXPECT_EQ(Tokenizer::parse(as_strings.dump(), "c").fingerprint(), fingerprint);
    json fewer = config;
    fewer["model"]["merges"].erase(0);
    EXPECT_NE(Tokenizer::parse(fewer.dump(), "d").fingerprint(), fingerprint);
    json other = config;
    other["normalizer"] = nullptr;
    EXPECT_NE(Tokenizer::parse(other.dump(), "e").fingerprint(), fingerprint);
}

TEST(Tokenizer, FindsTokensByNameAndKnowsSpecialOnes) {
    const Tokenizer tokenizer = Tokenizer::load(kData / "added");
    const auto end = tokenizer.id_of("<|im_end|>");
    ASSERT_TRUE(end.has_value());
    EXPECT_TRUE(tokenizer.is_special(*end));
    EXPECT_FALSE(tokenizer.is_special(tokenizer.id_of("abc").value()));
    EXPECT_EQ(tokenizer.encode("<|im_end|>"), Ids{*end});
    EXPECT_FALSE(tokenizer.id_of("nothing like it").has_value());
}

TEST(CheckTokenizer, ListsEveryMismatchWithItsLine) {
    const Tokenizer tokenizer = Tokenizer::load(kData / "qwen");
    const fs::path path = fs::temp_directory_path() / ("tdrm_check_" + std::to_string(::getpid()) + ".jsonl");
    const auto ids = tokenizer.encode("clips");
    std::ofstream(path) << json{{"text", "clips"}, {"ids", ids}, {"decoded", "clips"}} << "\n\n"
                        << json{{"text", "clips"}, {"ids", {1}}} << "\n"
                        << json{{"text", "clips"}, {"ids", ids}, {"decoded", "cups"}} << "\n";
    const TokenizerReport report = check_tokenizer(tokenizer, path);
    EXPECT_EQ(report.checked, 3);
    ASSERT_EQ(report.mismatches.size(), 2u);
    EXPECT_EQ(report.mismatches[0].line, 3);
    EXPECT_EQ(report.mismatches[0].what, "ids");
    EXPECT_EQ(report.mismatches[0].expected, "[1]");
    EXPECT_EQ(report.mismatches[1].line, 4);
    EXPECT_EQ(report.mismatches[1].found, "\"clips\"");
    std::ofstream(path) << "{\"text\": \"a\"}\n";
    try {
        (void)check_tokenizer(tokenizer, path);
        ADD_FAILURE();
    } catch (const DataError& error) {
        EXPECT_NE(std::string(error.what()).find("line 1"), std::string::npos);
    }
    fs::remove(path);
}

}  // namespace
}  // namespace tdrm::text
