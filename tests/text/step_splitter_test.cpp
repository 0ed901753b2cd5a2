#include "tdrm/text/step_splitter.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <regex>

#include "tdrm/base/errors.hpp"
#include "tdrm/base/random.hpp"

namespace tdrm::text {
namespace {

using Ids = std::vector<std::int32_t>;

/// A byte-level tokenizer whose tokens are exactly `tokens` (in GPT-2's byte symbols), the last one special.
Tokenizer make_tokenizer(const std::vector<std::string>& tokens) {
    std::string vocabulary;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        vocabulary += (i > 0 ? ",\"" : "\"") + tokens[i] + "\":" + std::to_string(i);
    }
    const auto last = std::to_string(tokens.size() - 1);
    return Tokenizer::parse(R"({"added_tokens":[{"id":)" + last + R"(,"content":")" + tokens.back() +
                                R"(","special":true,"normalized":false}],"decoder":{"type":"ByteLevel"},)"
                                R"("model":{"type":"BPE","vocab":{)" +
                                vocabulary + R"(},"merges":[]}})",
                            "test");
}
// \u010a is a newline, \u0120 a space, \u0109 a tab.
const std::vector<std::string> kTokens = {"a",
                                          "b.",
                                          ".\u010a\u010a",
                                          "\u010a",
                                          "\u010a\u010a",
                                          "\u010a\u010a\u010a",
                                          "\u0120",
                                          "\u0109\u010a",
                                          "x\u010a",
                                          "\u010ay",
                                          "\u010a\u010az",
                                          "q\u010a\u010ar\u010a\u010as",
                                          "1",
                                          "12",
                                          ".",
                                          ")",
                                          ":",
                                          "2.",
                                          "3.\u0120",
                                          "\u010a4.\u0120",
                                          "Step",
                                          "\u0120",
                                          "**",
                                          "##\u0120",
                                          "\u0120Step\u01207",
                                          "tep",
                                          "S",
                                          "st",
                                          "\u00e5",
                                          "end"};
// The second space has no id of its own.
std::vector<std::string> unique_tokens() {
    std::vector<std::string> tokens;
    for (const std::string& token : kTokens) {
        if (std::find(tokens.begin(), tokens.end(), token) == tokens.end()) tokens.push_back(token);
    }
    return tokens;
}

/// Delimiters of the whole text: where each ends, and how many bytes are needed to know it.
struct Delimiter {
    std::size_t end, known;
};
std::vector<Delimiter> find_delimiters(const std::string& text, StepDelimiter kind) {
    std::vector<Delimiter> found;
    if (kind == StepDelimiter::numbered) {
        static const std::regex marker("\n(?=([ \t#*]*([Ss]tep )?[0-9]{1,3}[.):][ \t\r\n*]))");
        for (std::sregex_iterator it(text.begin(), text.end(), marker), last; it != last; ++it) {
            if ((*it)[1].length() > 32) continue;
            const auto end = static_cast<std::size_t>(it->position()) + 1;
            found.push_back({end, end + static_cast<std::size_t>((*it)[1].length())});
        }
        return found;
    }
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool blank_line = i > 0 && text[i - 1] == '\n';
        if (text[i] == '\n' && (kind == StepDelimiter::newline || blank_line)) found.push_back({i + 1, i + 1});
    }
    return found;
}

/// The slow readable twin, on the decoded text.
Ids split_text(const Tokenizer& tokenizer, const Ids& ids, const StepOptions& options) {
    std::string text;
    std::vector<std::size_t> sizes{0};  // of the text after each token
    for (const std::int32_t id : ids) {
        if (!tokenizer.is_special(id)) text += tokenizer.bytes_of(id);
        sizes.push_back(text.size());
    }
    const auto token_at = [&](std::size_t bytes) {
        return static_cast<std::int32_t>(std::lower_bound(sizes.begin(), sizes.end(), bytes) - sizes.begin());
    };
    const auto delimiters = find_delimiters(text, options.delimiter);
    Ids ends;
    for (std::int32_t now = 1; now < static_cast<std::int32_t>(sizes.size()); ++now) {
        const auto last = [&] { return ends.empty() ? 0 : ends.back(); };
        const auto add = [&](std::int32_t end) {
            if (end > last() && (options.max_steps == 0 || static_cast<int>(ends.size()) < options.max_steps))
                ends.push_back(end);
        };
        for (const Delimiter& delimiter : delimiters) {
            if (token_at(delimiter.known) != now) continue;
            const std::size_t begin = sizes[static_cast<std::size_t>(last())];
            if (begin >= delimiter.end) continue;
            const std::string content = text.substr(begin, delimiter.end - begin);
            if (content.find_first_not_of(" \t\r\n") != std::string::npos) add(token_at(delimiter.end));
        }
        if (options.max_step_tokens > 0 && now - last() >= options.max_step_tokens) add(now);
    }
    return ends;
}

Ids ids_of(const Tokenizer& tokenizer, const std::vector<std::string>& tokens) {
    Ids ids;
    for (const std::string& token : tokens) ids.push_back(tokenizer.id_of(token).value());
    return ids;
}

TEST(StepSplitter, EndsAStepAtTheTokenThatCompletesTheDelimiter) {
    const Tokenizer tokenizer = make_tokenizer(unique_tokens());
    const StepOptions blank;
    EXPECT_EQ(split_steps(tokenizer, ids_of(tokenizer, {"a", ".\u010a\u010a", "b.", "\u010a", "\u010a", "a"}), blank),
              (Ids{2, 5}));
    EXPECT_EQ(split_steps(tokenizer, ids_of(tokenizer, {"a", "x\u010a", "\u010ay", "\u010a\u010az", "a"}), blank),
              Ids{3});  // y is in the token that ended the step
    EXPECT_EQ(split_steps(tokenizer, ids_of(tokenizer, {"a", "x\u010a", "a"}), {StepDelimiter::newline}), (Ids{2}));
}

TEST(StepSplitter, MergesEmptyStepsIntoTheNext) {
    const Tokenizer tokenizer = make_tokenizer(unique_tokens());
    const StepOptions blank;
    EXPECT_EQ(
        split_steps(tokenizer,
                    ids_of(tokenizer, {"\u010a\u010a", "a", "\u010a\u010a\u010a", "\u010a\u010a", "a", "\u010a\u010a"}),
                    blank),
        (Ids{3, 6}));
    EXPECT_EQ(split_steps(tokenizer, ids_of(tokenizer, {"\u010a", "\u010a", "\u0120", "\u010a\u010a"}), blank), Ids{});
}

TEST(StepSplitter, CutsBeforeNumberedLines) {
    const Tokenizer tokenizer = make_tokenizer(unique_tokens());
    const StepOptions numbered{StepDelimiter::numbered};
    // "a\n12. b.\nStep 7: a" : the newlines end the steps
    EXPECT_EQ(split_steps(tokenizer,
                          ids_of(tokenizer, {"a", "\u010a", "12", ".", "\u0120", "b.", "\u010a", "\u0120Step\u01207",
                                             ":", "\u0120", "a"}),
                          numbered),
              (Ids{2, 7}));
    // "a\n12.1" is a number, "a\n4. " is fused into one token
    EXPECT_EQ(split_steps(tokenizer, ids_of(tokenizer, {"a", "\u010a", "12", ".", "1"}), numbered), Ids{});
    EXPECT_EQ(split_steps(tokenizer, ids_of(tokenizer, {"a", "\u010a4.\u0120", "b."}), numbered), Ids{2});
}

TEST(StepSplitter, BoundsTokensPerStepAndStepsPerAnswer) {
    const Tokenizer tokenizer = make_tokenizer(unique_tokens());
    const Ids ids = ids_of(tokenizer, {"a", "a", "a", "a", "a", "\u010a\u010a", "a", "a"});
    EXPECT_EQ(split_steps(tokenizer, ids, {StepDelimiter::blank_line, 4}), (Ids{4, 6}));
    EXPECT_EQ(split_steps(tokenizer, ids, {StepDelimiter::blank_line, 2, 3}), (Ids{2, 4, 6}));
    EXPECT_EQ(split_steps(tokenizer, ids, {StepDelimiter::blank_line, 0, 1}), (Ids{6}));
    EXPECT_THROW(StepSplitter(tokenizer, {StepDelimiter::newline, -1}), ConfigError);
}

TEST(StepSplitter, EqualsTheSplitOfTheDecodedTextOnRandomTokens) {
    const Tokenizer tokenizer = make_tokenizer(unique_tokens());
    Random random(random_key(7, "splitter"));
    std::size_t steps = 0;
    for (int round = 0; round < 6000; ++round) {
        StepOptions options;
        options.delimiter = static_cast<StepDelimiter>(random.next_below(3));
        options.max_step_tokens = random.next_below(2) == 0 ? 0 : static_cast<std::int32_t>(1 + random.next_below(9));
        options.max_steps = random.next_below(2) == 0 ? 0 : static_cast<std::int32_t>(1 + random.next_below(5));
        Ids ids;
        for (auto n = random.next_below(40); n > 0; --n) {
            ids.push_back(
                static_cast<std::int32_t>(random.next_below(static_cast<std::uint64_t>(tokenizer.vocab_size()))));
        }
        const Ids ends = split_steps(tokenizer, ids, options);
        EXPECT_EQ(ends, split_text(tokenizer, ids, options)) << tokenizer.decode(ids);
        steps += ends.size();
    }
    EXPECT_GT(steps, 10000u);
}

TEST(StepSplitter, KnowsItsNames) {
    EXPECT_EQ(parse_step_delimiter("numbered"), StepDelimiter::numbered);
    EXPECT_THROW((void)parse_step_delimiter("line"), ConfigError);
}

}  // namespace
}  // namespace tdrm::text
