// Templates and tokenizer files that nobody wrote: mutated ones end in a text or in a DataError, whatever they hold.
// The sanitizers run a hundred thousand (tests/sanitized.sh); seeds are those of tests/text/data.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "../../src/text/jinja.hpp"
#include "tdrm/base/errors.hpp"
#include "tdrm/base/random.hpp"
#include "tdrm/text/chat_template.hpp"
#include "tdrm/text/tokenizer.hpp"

namespace tdrm::text {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

const fs::path kData = fs::path(TDRM_SOURCE_DIR) / "tests/text/data";

jinja::Json read_ordered(const fs::path& path) {
    std::ifstream file(path);
    return jinja::Json::parse(file);
}

/// Rounds of a test: `share` of those that are asked for, else few.
int rounds(int few, int share) {
    const char* wanted = std::getenv("TDRM_FUZZ_ROUNDS");
    return wanted != nullptr ? std::max(few, std::atoi(wanted) / share) : few;
}

/// Takes out, doubles, swaps or replaces pieces of a text, some of them by `words`.
std::string mutated(std::string text, const std::vector<std::string>& words, Random& random) {
    for (std::uint64_t n = 1 + random.next_below(6); n > 0; --n) {
        const std::size_t at = random.next_below(text.size() + 1);
        const std::size_t length = std::min<std::size_t>(random.next_below(12), text.size() - at);
        switch (random.next_below(5)) {
            case 0:
                text.erase(at, length);
                break;
            case 1:
                text.insert(at, text.substr(at, length));
                break;
            case 2:
                text.insert(at, words[random.next_below(words.size())]);
                break;
            case 3:
                text.replace(at, length, words[random.next_below(words.size())]);
                break;
            default:
                if (at < text.size())
                    text[at] = static_cast<char>(random.next_below(random.next_below(8) == 0 ? 256 : 128));
        }
    }
    return text;
}

TEST(FuzzJinja, MutatedTemplatesEndInATextOrAnError) {
    const jinja::Json styles = read_ordered(kData / "chat/styles.json");
    const jinja::Json constructs = read_ordered(kData / "chat/constructs.json");
    std::vector<std::string> words{"{{",
                                   "}}",
                                   "{%",
                                   "%}",
                                   "-%}",
                                   "{%-",
                                   "{#",
                                   "#}",
                                   "loop",
                                   "loop(",
                                   "(",
                                   ")",
                                   "[",
                                   "]",
                                   "[::-1]",
                                   "{",
                                   "}",
                                   "|",
                                   ".",
                                   ",",
                                   "~",
                                   "+",
                                   "*",
                                   "**",
                                   "//",
                                   "%",
                                   "not ",
                                   " is ",
                                   " in ",
                                   " if ",
                                   " else ",
                                   "'",
                                   "\"",
                                   "\\",
                                   "0",
                                   "-1",
                                   "9223372036854775807",
                                   "1e400",
                                   "99999999999",
                                   "none",
                                   "true",
                                   "messages",
                                   "messages[0]",
                                   "caller()",
                                   "range(99)",
                                   "namespace()",
                                   "* 9999999",
                                   "{% for x in messages %}",
                                   "{% endfor %}",
                                   "{% if x %}",
                                   "{% endif %}",
                                   "{% set x = ",
                                   "{% macro f(x) %}",
                                   "{% endmacro %}",
                                   "{{ f(f) }}",
                                   "{% call f(1) %}",
                                   "{% endcall %}",
                                   "{% filter ",
                                   "{% endfilter %}",
                                   "{% break %}",
                                   "{% raw %}",
                                   "{% endraw %}",
                                   "\xC2\xA0",
                                   "\xF0\x9F\x98\x80"};
    for (const char* filter : {"tojson",
                               "tojson(indent=99999)",
                               "map('upper')",
                               "map(attribute='a.b')",
                               "join",
                               "sort",
                               "batch(2)",
                               "slice(3)",
                               "groupby('role')",
                               "indent(9999)",
                               "center(9999)",
                               "replace('', x)",
                               "selectattr('role')",
                               "unique",
                               "reverse",
                               "first",
                               "last",
                               "int",
                               "float",
                               "round(99)",
                               "format(1)",
                               "title",
                               "truncate(3)",
                               "escape",
                               "safe",
                               "dictsort",
                               "sum",
                               "min",
                               "list",
                               "length",
                               "attr('x')"})
        words.push_back(std::string(" | ") + filter);
    for (const char* method : {".split()", ".rsplit(none, 1)", ".strip('a')", ".format(1)", ".items()", ".get('a')",
                               ".partition(' ')", ".splitlines()", ".zfill(99)", ".find('a', -3, 9)", ".upper()",
                               ".join(messages)", ".count('')", ".replace('a', 'bb')"})
        words.emplace_back(method);
    Random random(random_key(7, "templates"));
    int rendered = 0;
    const int count = rounds(3000, 10);
    for (int i = 0; i < count; ++i) {
        const auto& list = (random.next_below(2) == 0 ? styles : constructs).at("templates");
        const std::string source =
            mutated(list[random.next_below(list.size())].at("template").get<std::string>(), words, random);
        const auto& talk = styles.at("talks")[random.next_below(styles.at("talks").size())];
        jinja::Json context = talk.at("variables");
        context.update(constructs.at("variables"));
        context["messages"] = talk.at("messages");
        try {
            const std::string text = jinja::render(jinja::parse(source), context);
            EXPECT_NO_THROW((void)json(text).dump()) << "half a character from " << json(source).dump();
            ++rendered;
        } catch (const DataError& error) {
            EXPECT_NO_THROW((void)json(error.what()).dump())
                << "half a character in " << json(error.what()).dump(-1, ' ', true, json::error_handler_t::replace);
        }
    }
    EXPECT_GT(rendered, count / 20);
    EXPECT_LT(rendered, count);
}

TEST(FuzzChat, MutatedConversationsAndVariablesEndInATextOrAnError) {
    const json data = json::parse(std::ifstream(kData / "chat/think_last.json"));
    const std::vector<std::string> words{"<think>",      "</think>", "\n", "<|im_end|>",
                                         "\xEE\x80\x80", "{{",       " ",  "\xEF\xA3\xBF"};
    Random random(random_key(11, "conversations"));
    for (int i = 0; i < rounds(300, 200); ++i) {
        ChatOptions options;
        options.thinking = random.next_below(2) == 0 ? Thinking::keep : Thinking::template_default;
        options.variables = mutated(R"({"enable_thinking": false})", {"{", "[", "\"", "null", "1"}, random);
        std::vector<ChatMessage> messages{{"user", "a"}, {"assistant", "b"}, {"user", "c"}, {"assistant", "d"}};
        for (ChatMessage& message : messages) {
            message.content = mutated("<think>\nx\n</think>\n\ny", words, random);
            if (json(message.content).dump(-1, ' ', false, json::error_handler_t::replace).find("\xEF\xBF\xBD") !=
                std::string::npos)
                message.content = "plain";
            message.more = random.next_below(3) == 0
                               ? mutated(R"({"reasoning_content": "r", "tool_calls": []})", {"{", "null"}, random)
                               : "";
        }
        try {
            const ChatTemplate chat =
                ChatTemplate::parse(data.at("template").get<std::string>(), "<s>", "</s>", options);
            (void)chat.render(messages, random.next_below(2) == 0);
        } catch (const DataError&) {
        } catch (const ConfigError&) {
        }
    }
}

/// Replaces values anywhere in a JSON tree by other shapes.
void reshape(json& value, Random& random, int depth = 0) {
    if (depth > 6 || random.next_below(12) == 0) {
        static const std::vector<json> kShapes{nullptr,
                                               true,
                                               0,
                                               -1,
                                               3.5,
                                               1000000000000,
                                               "",
                                               "a",
                                               "\xE5\xB0\x8F",
                                               "(?<",
                                               "[",
                                               json::array(),
                                               json::object(),
                                               {{"type", "Sequence"}},
                                               {{"type", "ByteLevel"}},
                                               {{"Regex", "(a|"}},
                                               {{"String", ""}},
                                               {1, 2},
                                               {"a", "b"}};
        value = kShapes[random.next_below(kShapes.size())];
        return;
    }
    if (value.is_structured() && !value.empty()) {
        auto at = value.begin();
        std::advance(at, static_cast<std::ptrdiff_t>(random.next_below(value.size())));
        if (random.next_below(8) == 0)
            value.erase(at);
        else
            reshape(*at, random, depth + 1);
    }
}

TEST(FuzzTokenizer, ReshapedFilesAreReadOrRefused) {
    std::vector<json> seeds;
    for (const char* name : {"added", "llama2", "llama3", "metaspace", "mistral", "splits", "unknown", "whitespace"}) {
        json seed = json::parse(std::ifstream(kData / name / "tokenizer.json"));
        // A small vocabulary, so that most rounds are spent on the shapes around it.
        seed["model"]["merges"] = json::array();
        seeds.push_back(std::move(seed));
    }
    Random random(random_key(13, "tokenizers"));
    int read = 0;
    const int count = rounds(300, 100);
    for (int i = 0; i < count; ++i) {
        json config = seeds[random.next_below(seeds.size())];
        for (std::uint64_t n = 1 + random.next_below(3); n > 0; --n) reshape(config, random);
        try {
            const Tokenizer tokenizer = Tokenizer::parse(config.dump(), "here");
            const auto ids = tokenizer.encode("She sold 24 clips.\n\n<|im_end|> word\xE5\xB0\x8F  two words", true);
            (void)tokenizer.decode(ids, true);
            (void)tokenizer.decode_behind(ids);
            ++read;
        } catch (const DataError& error) {
            EXPECT_NO_THROW((void)json(error.what()).dump()) << "half a character in a message";
        }
    }
    EXPECT_GT(read, count / 20);
}

}  // namespace
}  // namespace tdrm::text
