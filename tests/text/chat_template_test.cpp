// Chat templates against transformers: tests/text/data/chat holds what it rendered (tools/fixtures/make_chat_cases.py).
#include "tdrm/text/chat_template.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "real_data.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::text {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

const fs::path kData = fs::path(TDRM_SOURCE_DIR) / "tests/text/data";

json read_json(const fs::path& path) {
    std::ifstream file(path);
    return json::parse(file);
}

std::vector<ChatMessage> messages_of(const json& list) {
    std::vector<ChatMessage> messages;
    for (const json& message : list) messages.push_back({message.at("role"), message.at("content")});
    return messages;
}

ChatTemplate make(const std::string& name, const ChatOptions& options = {}) {
    const json data = read_json(kData / "chat" / (name + ".json"));
    return ChatTemplate::parse(data.at("template").get<std::string>(), data.at("bos_token").get<std::string>(),
                               data.at("eos_token").get<std::string>(), options);
}

/// A byte-level tokenizer with these special tokens.
Tokenizer make_tokenizer(const std::vector<std::string>& specials) {
    std::ifstream file(kData / "qwen/tokenizer.json");
    json config = json::parse(file);
    int id = 420;  // the first that is free
    for (const std::string& token : specials) {
        config["added_tokens"].push_back({{"id", id++}, {"content", token}, {"special", true}, {"normalized", false}});
    }
    return Tokenizer::parse(config.dump(), "test");
}

struct Family {
    std::string name;
    ChatFamily family;
    std::string end_of_turn;
};
const std::vector<Family> kFamilies = {
    {"chatml", ChatFamily::chatml, "<|im_end|>\n"},
    {"qwen2.5", ChatFamily::chatml, "<|im_end|>\n"},
    {"qwen2.5_math", ChatFamily::chatml, "<|im_end|>\n"},
    {"smollm2", ChatFamily::chatml, "<|im_end|>\n"},
    {"llama3", ChatFamily::llama3, "<|eot_id|>"},
    {"llama3.1", ChatFamily::llama3, "<|eot_id|>"},
    {"llama3.2", ChatFamily::llama3, "<|eot_id|>"},
    {"glm4_0414", ChatFamily::glm4, "<|user|>"},
    {"glm_z1_0414", ChatFamily::glm4, "<|user|>"},
    {"glm4_9b_chat", ChatFamily::glm4, "<|user|>"},
    {"deepseek_r1", ChatFamily::deepseek_r1,
     "<\xEF\xBD\x9C"
     "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>"},
    {"deepseek_r1_first", ChatFamily::deepseek_r1,
     "<\xEF\xBD\x9C"
     "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>"},
    {"think_last", ChatFamily::chatml, "<|im_end|>\n"},
};

TEST(ChatTemplate, RendersWhatTransformersRenders) {
    for (const Family& family : kFamilies) {
        const ChatTemplate chat = make(family.name, {"", Thinking::drop});
        EXPECT_EQ(chat.family(), family.family) << family.name;
        EXPECT_EQ(chat.end_of_turn(), family.end_of_turn) << family.name;
        const json data = read_json(kData / "chat" / (family.name + ".json"));
        for (const json& row : data.at("cases")) {
            EXPECT_EQ(chat.render(messages_of(row.at("messages")), row.at("add_generation_prompt")), row.at("text"))
                << family.name << row;
        }
    }
}

TEST(ChatTemplate, RendersTheRealTemplatesToTheId) {
    for (const char* name : {"qwen2_5", "glm4"}) {
        const fs::path folder = kReal / "tokenizers" / name;
        if (!fs::exists(folder)) continue;  // their committed cuts are above
        const Tokenizer tokenizer = Tokenizer::parse(gunzip(folder / "tokenizer.json.gz"), name);
        const ChatTemplate here = ChatTemplate::load(folder, {"", Thinking::drop});
        const ChatTemplate older = make("glm4_9b_chat");
        std::ifstream file(folder / "chat.jsonl");
        for (std::string line; std::getline(file, line);) {
            const json row = json::parse(line);
            const ChatTemplate& chat = row.at("template") == "glm-4-9b-chat" ? older : here;
            const auto messages = messages_of(row.at("messages"));
            EXPECT_EQ(chat.render(messages, row.at("add_generation_prompt")), row.at("text"));
            EXPECT_EQ(tokenizer.encode(chat.render(messages, row.at("add_generation_prompt"))), row.at("ids"));
        }
        EXPECT_EQ(tokenizer.decode(here.probe_ids(tokenizer)),
                  std::string(name) == "glm4" ? "<|user|>" : "<|im_end|>\n");
    }
}

TEST(ChatTemplate, GivesTheIdsOfTheRenderedTextAndOfTheProbe) {
    const Tokenizer tokenizer = make_tokenizer({"<|im_start|>", "<|im_end|>", "<|user|>", "<|eot_id|>"});
    const std::vector<ChatMessage> messages{{"user", "clips"}};
    const ChatTemplate chat = make("chatml");
    const auto ids = tokenizer.encode(chat.render(messages, true));
    EXPECT_EQ(ids, tokenizer.encode("<|im_start|>user\nclips<|im_end|>\n<|im_start|>assistant\n"));
    EXPECT_EQ(ids.front(), 420);
    EXPECT_EQ(chat.probe_ids(tokenizer), (std::vector<std::int32_t>{421, tokenizer.encode("\n").at(0)}));
    EXPECT_EQ(make("glm4_0414").probe_ids(tokenizer), (std::vector<std::int32_t>{422}));
    EXPECT_EQ(make("llama3").probe_ids(tokenizer), (std::vector<std::int32_t>{423}));
    EXPECT_THROW((void)make("deepseek_r1").probe_ids(tokenizer), DataError);
}

TEST(ChatTemplate, AsksWhatBecomesOfTheThinkingPartThatItWouldDrop) {
    const std::vector<ChatMessage> plain{{"user", "a"}, {"assistant", "5"}};
    const std::vector<ChatMessage> thinking{{"user", "a"}, {"assistant", "hm</think>5"}};
    const std::string bar = "\xEF\xBD\x9C";
    const auto text = [&](const std::string& answer) {
        return "<" + bar + "begin\xE2\x96\x81of\xE2\x96\x81sentence" + bar + "><" + bar + "User" + bar + ">a<" + bar +
               "Assistant" + bar + ">" + answer + "<" + bar + "end\xE2\x96\x81of\xE2\x96\x81sentence" + bar + ">";
    };
    EXPECT_EQ(make("deepseek_r1").render(plain, false), text("5"));
    EXPECT_THROW((void)make("deepseek_r1").render(thinking, false), ConfigError);
    EXPECT_EQ(make("deepseek_r1", {"", Thinking::drop}).render(thinking, false), text("5"));
    const ChatTemplate keep = make("deepseek_r1", {"", Thinking::keep});
    // The generation prompt opens the thinking part: the turn then is that prompt with the answer behind it.
    EXPECT_EQ(keep.render(thinking, false), text("<think>\nhm</think>5"));
    EXPECT_TRUE(
        keep.render(thinking, false).starts_with(keep.render({{ChatMessage{"user", "a"}}}, true) + "hm</think>5"));
    EXPECT_EQ(keep.render(plain, false), text("5"));
    const std::vector<ChatMessage> whole{{"user", "a"}, {"assistant", "<think>hm</think>5"}};
    EXPECT_EQ(keep.render(whole, false), text("<think>hm</think>5"));
    // A template that keeps everything has nothing to ask.
    EXPECT_NE(make("qwen2.5").render(thinking, false).find("\nhm</think>5<|im_end|>"), std::string::npos);
}

TEST(ChatTemplate, ReadsModelFoldersAndRefusesOtherFamilies) {
    const fs::path folder = fs::temp_directory_path() / ("tdrm_chat_" + std::to_string(::getpid()));
    fs::create_directories(folder);
    EXPECT_THROW((void)ChatTemplate::load(folder), IoError);
    const json data = read_json(kData / "chat/smollm2.json");
    const auto write = [&](const json& config) { std::ofstream(folder / "tokenizer_config.json") << config; };
    write({{"chat_template", data.at("template")}, {"bos_token", {{"content", "<|im_start|>"}}}});
    EXPECT_EQ(ChatTemplate::load(folder, {"smollm2"}).family(), ChatFamily::chatml);
    EXPECT_THROW((void)ChatTemplate::load(folder, {"llama3"}), DataError);
    EXPECT_THROW((void)ChatTemplate::load(folder, {"lama3"}), ConfigError);
    write({{"chat_template", {{{"name", "default"}, {"template", data.at("template")}}}}});
    EXPECT_EQ(ChatTemplate::load(folder).family(), ChatFamily::chatml);
    std::ofstream(folder / "chat_template.jinja")
        << read_json(kData / "chat/llama3.1.json").at("template").get<std::string>();
    EXPECT_EQ(ChatTemplate::load(folder).family(), ChatFamily::llama3);
    std::ofstream(folder / "tokenizer_config.json") << "{";
    EXPECT_THROW((void)ChatTemplate::load(folder), DataError);
    fs::remove_all(folder);
}

TEST(ChatTemplate, FingerprintFollowsTemplateAndOptions) {
    EXPECT_EQ(make("qwen2.5").fingerprint(), make("qwen2.5").fingerprint());
    EXPECT_NE(make("qwen2.5").fingerprint(), make("qwen2.5_math").fingerprint());
    EXPECT_NE(make("deepseek_r1", {"", Thinking::keep}).fingerprint(),
              make("deepseek_r1", {"", Thinking::drop}).fingerprint());
    EXPECT_NE(make("llama3.2").fingerprint(), make("llama3.2", {"", {}, "1 Jan 2025"}).fingerprint());
}

TEST(ChatTemplate, PrintsTheGivenDateWhereTheTemplateAsksForTodays) {
    const std::vector<ChatMessage> messages{{"user", "a"}};
    EXPECT_NE(make("llama3.2", {"", {}, "1 Jan 2025"}).render(messages, true).find("Today Date: 1 Jan 2025\n"),
              std::string::npos);
}

}  // namespace
}  // namespace tdrm::text
