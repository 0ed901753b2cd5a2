// Tokens that stand beside tokenizer.json, against transformers: tests/text/data/beside.json holds what AutoTokenizer
// gave (tools/fixtures/make_tokenizers.py). And files that nobody should have.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tdrm/base/errors.hpp"
#include "tdrm/text/chat_template.hpp"
#include "tdrm/text/tokenizer.hpp"

namespace tdrm::text {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

const fs::path kData = fs::path(TDRM_SOURCE_DIR) / "tests/text/data";

class Folder {
public:
    Folder() : path_(fs::temp_directory_path() / ("tdrm_files_" + std::to_string(::getpid()))) {
        fs::create_directories(path_);
    }
    ~Folder() { fs::remove_all(path_); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    void write(const std::string& name, const std::string& text) const { std::ofstream(path_ / name) << text; }
    [[nodiscard]] const fs::path& path() const { return path_; }

private:
    fs::path path_;
};

json tiny(const std::string& name) {
    std::ifstream file(kData / name / "tokenizer.json");
    return json::parse(file);
}

std::string error_of(const std::string& text) {
    try {
        (void)Tokenizer::parse(text, "here");
    } catch (const DataError& error) {
        return error.what();
    }
    return "no error";
}

json added(int id, const std::string& content) { return {{"id", id}, {"content", content}, {"special", true}}; }

TEST(TokenizerFiles, GiveTheTokensOfTransformers) {
    std::ifstream file(kData / "beside.json");
    const json data = json::parse(file);
    for (const auto& [name, row] : data.items()) {
        const Folder folder;
        json state = tiny(row.at("base"));
        state.update(row.at("patch"));
        folder.write("tokenizer.json", state.dump());
        for (const auto& [path, content] : row.at("files").items()) folder.write(path, content.dump());
        const Tokenizer tokenizer = Tokenizer::load(folder.path());
        EXPECT_EQ(tokenizer.vocab_size(), row.at("size")) << name;
        for (const auto& [token, text] : row.at("tokens").items())
            EXPECT_EQ(tokenizer.named_token(token), text) << name;
        EXPECT_EQ(tokenizer.named_token("bos_token").empty(), !row.at("tokens").contains("bos_token")) << name;
        for (const json& each : row.at("rows")) {
            EXPECT_EQ(tokenizer.encode(each.at("text").get<std::string>()), each.at("ids")) << name << each;
            EXPECT_EQ(tokenizer.decode(each.at("ids").get<std::vector<std::int32_t>>(), true), each.at("skip"))
                << name << each;
        }
    }
}

TEST(TokenizerFiles, TellTokensWithAnIdFromThoseThatAreOnlyNamed) {
    const Folder folder;
    folder.write("tokenizer.json", tiny("qwen").dump());
    folder.write(
        "tokenizer_config.json",
        R"({"eos_token": "<|im_end|>", "bos_token": "a", "added_tokens_decoder": {"420": {"content": "<x>"}}})");
    const Tokenizer tokenizer = Tokenizer::load(folder.path());
    EXPECT_TRUE(tokenizer.is_given(tokenizer.id_of("<x>").value()));
    EXPECT_TRUE(tokenizer.is_given(tokenizer.id_of("a").value()));
    EXPECT_FALSE(tokenizer.is_given(tokenizer.id_of("<|im_end|>").value()));
}

TEST(TokenizerFiles, GiveTemplatesTheSpecialTokensOfEveryFile) {
    const Folder folder;
    folder.write("tokenizer.json", tiny("qwen").dump());
    folder.write("special_tokens_map.json", R"({"bos_token": {"content": "<s>"}, "eos_token": "</s>"})");
    folder.write(
        "chat_template.jinja",
        "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}{{ pad_token is defined }}");
    const std::vector<ChatMessage> messages{{"user", "a"}};
    EXPECT_EQ(ChatTemplate::load(folder.path()).render(messages, false), "<s>a</s>False");
    const std::string before = ChatTemplate::load(folder.path()).fingerprint();
    folder.write("special_tokens_map.json", R"({"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</p>"})");
    EXPECT_EQ(ChatTemplate::load(folder.path()).render(messages, false), "<s>a</s>True");
    EXPECT_NE(ChatTemplate::load(folder.path()).fingerprint(), before);
}

TEST(TokenizerFiles, AreNamedWhereTheyAreBroken) {
    for (const auto& [name, text] : std::vector<std::pair<std::string, std::string>>{
             {"tokenizer_config.json", "{"},
             {"tokenizer_config.json", "[]"},
             {"special_tokens_map.json", "{"},
             {"tokenizer_config.json", R"({"added_tokens_decoder": {"x": {"content": "a"}}})"},
             {"tokenizer_config.json", R"({"added_tokens_decoder": {"1": {"text": "a"}}})"},
             {"tokenizer_config.json", R"({"added_tokens_decoder": {"99999999999": {"content": "a"}}})"},
             {"tokenizer_config.json", R"({"eos_token": {"text": "a"}})"},
             {"added_tokens.json", R"({"<x>": "a"})"},
             {"added_tokens.json", "[1]"}}) {
        const Folder folder;
        folder.write("tokenizer.json", tiny("qwen").dump());
        folder.write(name, text);
        try {
            (void)Tokenizer::load(folder.path());
            ADD_FAILURE() << name << text;
        } catch (const DataError& error) {
            EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
        }
    }
}

TEST(HostileTokenizer, TwoTokensWithOneIdAreRefused) {
    json config = tiny("qwen");
    config["added_tokens"] = {added(420, "<x>"), added(420, "<y>")};
    EXPECT_NE(error_of(config.dump()).find("one id, 420"), std::string::npos) << error_of(config.dump());
    config["added_tokens"] = json::array({added(3, "<x>")});
    EXPECT_NE(error_of(config.dump()).find("id 3"), std::string::npos) << error_of(config.dump());
    config["added_tokens"] = json::array();
    config["model"]["vocab"]["zz"] = 3;
    EXPECT_NE(error_of(config.dump()).find("id 3"), std::string::npos) << error_of(config.dump());
}

TEST(HostileTokenizer, ManyAddedTokensAreReadInTimeOrRefused) {
    json config = tiny("qwen");
    const std::string head = config.dump();
    std::string tokens;
    for (int i = 0; i < 60'000; ++i)
        tokens += (i > 0 ? "," : "") +
                  added(420 + i, std::string(static_cast<std::size_t>(i % 40 + 1), '<') + std::to_string(i)).dump();
    config["added_tokens"] = "HERE";
    std::string text = config.dump();
    text.replace(text.find("\"HERE\""), 6, "[" + tokens + "]");
    const Tokenizer tokenizer = Tokenizer::parse(text, "here");
    EXPECT_EQ(tokenizer.vocab_size(), 60'420);
    EXPECT_EQ(tokenizer.encode("<<<<43"), (std::vector<std::int32_t>{463}));
    EXPECT_GT(tokenizer.encode(std::string(100'000, '<')).size(), 1000u);
    std::string many;
    for (int i = 0; i < 300'000; ++i) many += i > 0 ? ",{}" : "{}";
    text = config.dump();
    text.replace(text.find("\"HERE\""), 6, "[" + many + "]");
    EXPECT_NE(error_of(text).find("300000 added tokens"), std::string::npos) << error_of(text);
}

TEST(HostileTokenizer, SequencesNestOnlyAsDeepAsRealFilesHaveThem) {
    for (const auto& [key, list] :
         std::vector<std::pair<std::string, std::string>>{{"decoder", "decoders"},
                                                          {"post_processor", "processors"},
                                                          {"normalizer", "normalizers"},
                                                          {"pre_tokenizer", "pretokenizers"}}) {
        for (const int depth : {100, 20'000}) {
            std::string nested;
            for (int i = 0; i < depth; ++i) nested += R"({"type":"Sequence",")" + list + "\":[";
            for (int i = 0; i < depth; ++i) nested += "]}";
            json config = tiny("qwen");
            config[key] = "HERE";
            std::string text = config.dump();
            text.replace(text.find("\"HERE\""), 6, nested);
            EXPECT_NE(error_of(text), "no error") << key << depth;
        }
    }
    json config = tiny("qwen");
    const json twice = {{"type", "TemplateProcessing"},
                        {"special_tokens", json::object()},
                        {"single", {{{"Sequence", {{"id", "A"}}}}, {{"Sequence", {{"id", "A"}}}}}}};
    config["post_processor"] = {{"type", "Sequence"}, {"processors", json::array()}};
    for (int i = 0; i < 60; ++i) config["post_processor"]["processors"].push_back(twice);
    EXPECT_NE(error_of(config.dump()).find("post-processor"), std::string::npos) << error_of(config.dump());
}

TEST(HostileTokenizer, MessagesHoldWholeCharacters) {
    json config = tiny("qwen");
    std::string name(79, 'a');
    for (int i = 0; i < 30; ++i) name += "\xE5\xB0\x8F";
    config["normalizer"] = {{"type", name}};
    EXPECT_NO_THROW((void)json(error_of(config.dump())).dump()) << "half a character in a message";
    config = tiny("qwen");
    config["added_tokens"] = {added(420, name), added(420, "<y>")};
    EXPECT_NO_THROW((void)json(error_of(config.dump())).dump());
}

}  // namespace
}  // namespace tdrm::text
