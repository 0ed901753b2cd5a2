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
    bool any = false;
    for (const char* name : {"qwen2_5", "glm4"}) {
        const fs::path folder = kReal / "tokenizers" / name;
        if (!fs::exists(folder)) continue;
        any = true;
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
    if (!any)
        GTEST_SKIP() << "no " << kReal / "tokenizers"
                     << "; their committed cuts are above";
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

const std::string kHead = "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n";
const std::string kThought = "<think>\nhm\n</think>\n\n";

TEST(ChatTemplate, PutsNoEmptyThinkBlockBeforeAKeptOne) {
    const ChatTemplate keep = make("think_last", {"", Thinking::keep});
    const std::vector<ChatMessage> one{{"user", "a"}, {"assistant", kThought + "5"}};
    EXPECT_EQ(keep.render(one, false), kHead + kThought + "5<|im_end|>\n");
    const std::vector<ChatMessage> closed{{"user", "a"}, {"assistant", "hm</think>5"}};
    EXPECT_EQ(keep.render(closed, false), kHead + "hm</think>5<|im_end|>\n");
    // An answer without thinking keeps the block that the template writes.
    const std::vector<ChatMessage> plain{{"user", "a"}, {"assistant", "5"}};
    EXPECT_EQ(keep.render(plain, false), kHead + "<think>\n\n</think>\n\n5<|im_end|>\n");
    const std::vector<ChatMessage> two{
        {"user", "a"}, {"assistant", kThought + "5"}, {"user", "b"}, {"assistant", kThought + "6"}};
    const std::string kept = keep.render(two, false);
    EXPECT_EQ(kept, kHead + kThought + "5<|im_end|>\n<|im_start|>user\nb<|im_end|>\n<|im_start|>assistant\n" +
                        kThought + "6<|im_end|>\n");
    EXPECT_EQ(kept.find("<think>\n\n"), std::string::npos);
}

TEST(ChatTemplate, KnowsWhatBecomesOfThinkingByDefault) {
    const auto resolved = [](const std::string& name) {
        return make(name, {"", Thinking::template_default}).thinking();
    };
    EXPECT_EQ(resolved("think_last"),
              Thinking::drop);  // it drops that of earlier answers only, as its model was trained
    EXPECT_EQ(resolved("deepseek_r1"), Thinking::keep);
    EXPECT_EQ(resolved("glm_z1_0414"), Thinking::keep);
    EXPECT_EQ(resolved("qwen2.5"), Thinking::keep);  // the same as drop
    const std::vector<ChatMessage> two{
        {"user", "a"}, {"assistant", kThought + "5"}, {"user", "b"}, {"assistant", kThought + "6"}};
    EXPECT_EQ(
        make("think_last", {"", Thinking::template_default}).render(two, false),
        kHead + "5<|im_end|>\n<|im_start|>user\nb<|im_end|>\n<|im_start|>assistant\n" + kThought + "6<|im_end|>\n");
}

ChatTemplate styled(const std::string& name, const ChatOptions& options = {}) {
    const json styles = read_json(kData / "chat/styles.json");
    for (const json& row : styles.at("templates"))
        if (row.at("name") == name)
            return ChatTemplate::parse(row.at("template").get<std::string>(), "<s>", "</s>", options);
    throw std::runtime_error(name);
}

TEST(ChatTemplate, ShowsTemplatesTheReasoningOfAMessage) {
    const std::string more = R"({"reasoning_content": "hm"})";
    const std::vector<ChatMessage> two{
        {"user", "a"}, {"assistant", "5", more}, {"user", "b"}, {"assistant", "6", more}};
    const std::string last = "<|im_start|>user\nb<|im_end|>\n<|im_start|>assistant\n" + kThought + "6<|im_end|>\n";
    EXPECT_EQ(styled("thinking_history", {"", Thinking::drop}).render(two, false), kHead + "5<|im_end|>\n" + last);
    // Kept, the reasoning of the earlier answer stands where a generated one would.
    EXPECT_EQ(styled("thinking_history", {"", Thinking::keep}).render(two, false),
              kHead + kThought + "5<|im_end|>\n" + last);
    EXPECT_THROW((void)styled("thinking_history").render(two, false), ConfigError);
    // A template without <think> has no place for it.
    EXPECT_THROW((void)make("chatml", {"", Thinking::keep}).render(two, false), ConfigError);
    EXPECT_EQ(make("chatml", {"", Thinking::drop}).render(std::span(two).first(2), false), kHead + "5<|im_end|>\n");
    const std::vector<ChatMessage> odd{{"user", "a", "[1]"}};
    EXPECT_THROW((void)make("chatml").render(odd, false), DataError);
}

TEST(ChatTemplate, TakesVariables) {
    const std::vector<ChatMessage> messages{{"user", "a"}};
    const ChatTemplate off = make("think_last", {.variables = R"({"enable_thinking": false})"});
    EXPECT_EQ(off.render(messages, true), kHead + "<think>\n\n</think>\n\n");
    EXPECT_EQ(make("think_last").render(messages, true), kHead);
    EXPECT_NE(off.fingerprint(), make("think_last").fingerprint());
    const ChatTemplate named =
        ChatTemplate::parse("{{ who }}{{ list[1] }}{{ m }}{% for m in messages %}{{ m.content }}|{% endfor %}", "", "",
                            {.variables = R"({"who": "I", "list": [1, 2.5], "m": {"z": 1, "a": null}})"});
    EXPECT_EQ(named.render(messages, true), "I2.5{'z': 1, 'a': None}a|");
    EXPECT_THROW((void)make("chatml", {.variables = "[1]"}), ConfigError);
    EXPECT_THROW((void)make("chatml", {.variables = R"({"messages": []})"}), ConfigError);
}

TEST(ChatTemplate, WritesTheGivenDateInEveryFormat) {
    const auto text = [](const std::string& date) {
        return ChatTemplate::parse(
                   "{{ strftime_now('%Y-%m-%d|%d %B %Y|%A') }}{% for m in messages %}{{ m.content }}|{% endfor %}", "",
                   "", {.date = date})
            .render(std::vector<ChatMessage>{{"user", "a"}}, false);
    };
    EXPECT_EQ(text("26 Jul 2024"), "2024-07-26|26 July 2024|Fridaya|");
    EXPECT_EQ(text("2025-02-28"), "2025-02-28|28 February 2025|Fridaya|");
    for (const char* date : {"2025-02-30", "tomorrow", "", "26 Jux 2024", "2024-07-26x"})
        EXPECT_THROW((void)text(date), DataError) << date;
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
    // What a template does wrong names its file, at loading and later.
    const auto error = [&](const std::string& source) -> std::string {
        std::ofstream(folder / "chat_template.jinja") << source;
        try {
            (void)ChatTemplate::load(folder).render(std::vector<ChatMessage>{{"user", "a"}, {"user", "b"}}, false);
        } catch (const DataError& caught) {
            return caught.what();
        }
        return "no error";
    };
    for (const char* source :
         {"{{ x", "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
          "{% for m in messages %}{{ m.content }}|{% endfor %}{{ raise_exception('no') if messages[1].role == 'user' "
          "}}"})
        EXPECT_NE(error(source).find("chat_template.jinja: "), std::string::npos) << error(source);
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
