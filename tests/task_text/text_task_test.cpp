#include "tdrm/task/text/text_task.hpp"

#include "helpers.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::task {
namespace {

const std::string kQuestion = "What is 2 + 2?";

TEST(TextFormat, PromptsAreTheTemplatesTextWithSystemTurnAndGenerationPrompt) {
    const TextFormat format(chat_options().format);
    EXPECT_EQ(format.tokenizer().decode(format.prompt_ids(kQuestion)),
              "<|im_start|>system\n" + kSystem + "<|im_end|>\n<|im_start|>user\n" + kQuestion +
                  "<|im_end|>\n<|im_start|>assistant\n");
    EXPECT_EQ(format.end_token(), *format.tokenizer().id_of("<|im_end|>"));
    EXPECT_EQ(format.tokenizer().decode(format.probe()), "<|im_end|>\n");
}

TEST(TextFormat, ValueModelsDontSeeOurSystemTurn) {
    const TextFormat format(chat_options().format);
    for (const std::string question : {"What is 2 + 2?", "\n{x}", "系统 <|im_end|>\n", "a"}) {
        auto prompt = format.prompt_ids(question);
        auto expected = format.value_prompt_ids(question);
        EXPECT_EQ(format.value_prompt(prompt), expected) << question;
        EXPECT_EQ(format.tokenizer().decode(expected).find(kSystem), std::string::npos);
        // with the begin of an answer behind it, as search scores children; and ids that are no prompt of ours stay
        const auto answer = format.encode_answer("First,\n\n");
        prompt.insert(prompt.end(), answer.begin(), answer.end());
        expected.insert(expected.end(), answer.begin(), answer.end());
        EXPECT_EQ(format.value_prompt(prompt), expected);
        EXPECT_EQ(format.value_prompt(expected), expected);
    }
    auto options = chat_options().format;
    options.value_sees_system = true;
    const TextFormat seeing(options);
    EXPECT_EQ(seeing.value_prompt(seeing.prompt_ids(kQuestion)), seeing.prompt_ids(kQuestion));
    EXPECT_EQ(seeing.value_prompt_ids(kQuestion), seeing.prompt_ids(kQuestion));
    EXPECT_NE(seeing.fingerprint(), format.fingerprint());
}

TEST(TextFormat, WorksWithPublishedTokenizersAndTemplates) {
    for (const auto& [name, value_start] : std::vector<std::pair<std::string, std::string>>{
             {"qwen2_5",
              "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful "
              "assistant.<|im_end|>\n<|im_start|>user\n"},
             {"glm4", "[gMASK]<sop><|user|>\n"}}) {
        const Folder folder;
        if (!write_published(folder, name)) GTEST_SKIP() << "no tokenizer of " << name;
        TextFormatOptions options;
        options.tokenizer = folder.path();
        options.system = kSystem;
        const TextFormat format(options);
        for (const std::string question : {"What is $2^3$?", "\n\n 系统 {x}", "<|user|>"}) {
            const auto prompt = format.prompt_ids(question);
            EXPECT_NE(format.tokenizer().decode(prompt).find(kSystem), std::string::npos);
            const auto value = format.value_prompt(prompt);
            EXPECT_EQ(value, format.value_prompt_ids(question)) << name << question;
            EXPECT_TRUE(format.tokenizer().decode(value).starts_with(value_start)) << format.tokenizer().decode(value);
        }
        const std::vector<text::ChatMessage> messages{
            {"user", "1 + 1?"}, {"assistant", "2"}, {"user", "Sure?"}, {"assistant", "Yes"}};
        const Conversation all = format.conversation(messages);
        Tokens learnt;
        for (std::size_t i = 0; i < all.ids.size(); ++i)
            if (all.learnt[i] != 0) learnt.push_back(all.ids[i]);
        const std::string end = format.tokenizer().decode(std::span(&learnt.back(), 1));
        const std::string text = format.tokenizer().decode(learnt);
        EXPECT_EQ(end, name == "glm4" ? "<|user|>" : "<|im_end|>");
        EXPECT_TRUE(text.find('2') != std::string::npos && text.ends_with("Yes" + end)) << text;
        EXPECT_EQ(text.find("Sure"), std::string::npos) << text;
    }
}

TEST(TextFormat, PlainPromptsFillInTheQuestion) {
    TextFormatOptions options;
    options.tokenizer = kPlain;
    options.prompt = "Question: {question}\nAnswer:";
    options.end = "<|endoftext|>";
    const TextFormat format(options);
    EXPECT_EQ(format.tokenizer().decode(format.prompt_ids(kQuestion)), "Question: " + kQuestion + "\nAnswer:");
    EXPECT_EQ(format.value_prompt(format.prompt_ids(kQuestion)), format.prompt_ids(kQuestion));
    ASSERT_EQ(format.probe().size(), 1U);
    EXPECT_EQ(format.probe()[0], format.end_token());
}

TEST(TextFormat, RefusesFoldersAndOptionsThatDontFit) {
    TextFormatOptions options;
    options.tokenizer = "/nowhere";
    EXPECT_SAYS(message_of<ConfigError>([&] { TextFormat{options}; }), "/nowhere doesn't exist");
    options.tokenizer = kPlain;  // without a template
    EXPECT_SAYS(message_of<IoError>([&] { TextFormat{options}; }), "no chat template");
    options.prompt = "{question}";
    EXPECT_SAYS(message_of<ConfigError>([&] { TextFormat{options}; }), "task.end is missing");
    options.end = "</s>";
    EXPECT_SAYS(message_of<ConfigError>([&] { TextFormat{options}; }), "\"</s>\" isn't a token");
    options.prompt = "no place";
    EXPECT_SAYS(options.validate().at(0), "{question}");
    options = chat_options().format;
    options.family = "llama3";
    EXPECT_SAYS(message_of<DataError>([&] { TextFormat{options}; }), "not llama3");

    Folder folder;  // the template of one model and the tokenizer of another
    std::filesystem::copy(kPlain + "/tokenizer.json", folder.path() + "/tokenizer.json");
    std::filesystem::copy(kChat + "/tokenizer_config.json", folder.path() + "/tokenizer_config.json");
    options = chat_options().format;
    options.tokenizer = folder.path();
    EXPECT_SAYS(message_of<DataError>([&] { TextFormat{options}; }), "<|im_start|>, which isn't a token");
}

TEST(TextFormat, LearnsThinkingWhereTheTemplateWritesIt) {
    Folder folder;  // a template that drops the thinking part of earlier answers
    std::filesystem::copy(kChat + "/tokenizer.json", folder.path() + "/tokenizer.json");
    std::ifstream file(std::string(TDRM_SOURCE_DIR) + "/tests/text/data/chat/styles.json");
    const nlohmann::json styles = nlohmann::json::parse(file);
    for (const auto& row : styles.at("templates"))
        if (row.at("name") == "thinking_history")
            std::ofstream(folder.path() + "/chat_template.jinja") << row.at("template").get<std::string>();
    TextFormatOptions options = chat_options().format;
    options.tokenizer = folder.path();
    options.system.clear();
    const auto learnt = [&](text::Thinking thinking, const std::vector<text::ChatMessage>& messages) {
        options.thinking = thinking;
        const TextFormat format(options);
        const Conversation all = format.conversation(messages);
        Tokens ids;
        for (std::size_t i = 0; i < all.ids.size(); ++i)
            if (all.learnt[i] != 0) ids.push_back(all.ids[i]);
        EXPECT_EQ(format.tokenizer().decode(all.ids) + "\n", format.chat()->render(messages, false));
        return format.tokenizer().decode(ids);
    };
    const std::string thought = "<think>\nhm\n</think>\n\n";
    const std::vector<text::ChatMessage> written{
        {"user", "a"}, {"assistant", thought + "5"}, {"user", "b"}, {"assistant", thought + "6"}};
    const std::string more = R"({"reasoning_content": "hm"})";
    const std::vector<text::ChatMessage> apart{
        {"user", "a"}, {"assistant", "5", more}, {"user", "b"}, {"assistant", "6", more}};
    for (const auto& messages : {written, apart}) {
        EXPECT_EQ(learnt(text::Thinking::template_default, messages), "5<|im_end|>" + thought + "6<|im_end|>");
        EXPECT_EQ(learnt(text::Thinking::keep, messages), thought + "5<|im_end|>" + thought + "6<|im_end|>");
    }
    const std::vector<text::ChatMessage> plain{{"user", "a"}, {"assistant", "5"}, {"user", "b"}, {"assistant", "6"}};
    EXPECT_EQ(learnt(text::Thinking::template_default, plain), "5<|im_end|>6<|im_end|>");
    // Variables are part of what decides ids.
    options.thinking = text::Thinking::template_default;
    const std::string before = TextFormat(options).fingerprint();
    options.variables = R"({"enable_thinking": false})";
    const TextFormat off(options);
    EXPECT_NE(off.fingerprint(), before);
    EXPECT_TRUE(off.tokenizer().decode(off.prompt_ids("a")).ends_with("assistant\n<think>\n\n</think>\n\n"));
}

TEST(TextFormat, LearnsAssistantTurnsAndTheirEndTokensOnly) {
    const TextFormat format(chat_options().format);
    const std::vector<text::ChatMessage> messages{{"system", "Be brief."},
                                                  {"user", "1 + 1?"},
                                                  {"assistant", "That is\n\n2"},
                                                  {"user", "And 2 + 2?"},
                                                  {"assistant", "4"}};
    const Conversation all = format.conversation(messages);
    ASSERT_EQ(all.ids.size(), all.learnt.size());
    Tokens learnt, other;
    for (std::size_t i = 0; i < all.ids.size(); ++i) (all.learnt[i] != 0 ? learnt : other).push_back(all.ids[i]);
    EXPECT_EQ(format.tokenizer().decode(learnt), "That is\n\n2<|im_end|>4<|im_end|>");
    EXPECT_EQ(format.tokenizer().decode(other),
              "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1 + 1?<|im_end|>\n<|im_start|>assistant\n"
              "\n<|im_start|>user\nAnd 2 + 2?<|im_end|>\n<|im_start|>assistant\n");
    EXPECT_EQ(format.tokenizer().decode(all.ids) + "\n", format.chat()->render(messages, false));
    EXPECT_SAYS(message_of<DataError>([&] { (void)format.conversation(std::span(messages).first(2)); }),
                "no assistant turn");
}

struct Answers : testing::Test {
    TextTask task{chat_options(),
                  {{"dev", {a_problem(1, kQuestion, "4", "2 + 2 = 4\n\n#### 4"), a_problem(2, "Half?", "0.5")}}}};
    Problem problem = task.problem("dev", 0);

    [[nodiscard]] Tokens answer(const std::string& text, bool ended = true) const {
        Tokens ids = task.encode_answer(text);
        if (ended) ids.push_back(task.end_token());
        return ids;
    }
    [[nodiscard]] std::vector<std::string> steps(const Tokens& ids) const {
        std::vector<std::string> texts;
        std::size_t begin = 0;
        for (const std::int32_t end : task.step_ends(ids)) {
            texts.push_back(task.text(TokenSpan(ids).subspan(begin, static_cast<std::size_t>(end) - begin)));
            begin = static_cast<std::size_t>(end);
        }
        return texts;
    }
    [[nodiscard]] std::int64_t penultimate(const std::string& text) const {
        const Tokens ids = answer(text);
        return task.penultimate(ids, task.step_ends(ids));
    }
};

TEST_F(Answers, AreJudgedByTheVerifierAndVoteInNormalForm) {
    const Verdict right = task.verdict(problem, answer("So it's\n\n\\boxed{4}"));
    EXPECT_TRUE(right.correct);
    EXPECT_EQ(right.reason, Reason::correct);
    EXPECT_TRUE(task.verdict(problem, answer("#### 4.0")).correct);
    EXPECT_EQ(task.verdict(problem, answer("\\boxed{5}")).reason, Reason::wrong_answer);
    EXPECT_EQ(task.verdict(problem, answer("")).reason, Reason::no_answer);
    EXPECT_EQ(task.verdict(problem, answer("\\boxed{4}", false)).reason, Reason::truncated);
    EXPECT_EQ(task.verdict(problem, answer("\\boxed{4}", false)).answer, "") << "it can't win, so it doesn't vote";
    EXPECT_FALSE(task.verdict(problem, answer("\\boxed{4}", false)).correct);
    Tokens twice = answer("\\boxed{4}");
    twice.push_back(task.end_token());
    EXPECT_EQ(task.verdict(problem, twice).reason, Reason::trailing_tokens);
    const Problem half = task.problem("dev", 1);
    EXPECT_TRUE(task.verdict(half, answer("\\boxed{\\frac{1}{2}}")).correct);
    EXPECT_EQ(task.verdict(half, answer("\\boxed{\\frac{1}{2}}")).answer,
              task.verdict(half, answer("The answer is $\\dfrac12$.")).answer);
}

TEST_F(Answers, HaveTheTextBeforeTheEndTokenAsLastStep) {
    EXPECT_EQ(steps(answer("a b\n\nc\n\nd")), (std::vector<std::string>{"a b\n\n", "c\n\n", "d"}));
    EXPECT_EQ(steps(answer("a b\n\nc\n\nd", false)), (std::vector<std::string>{"a b\n\n", "c\n\n"}));
    EXPECT_EQ(steps(answer("a\n\n")), (std::vector<std::string>{"a\n\n"}));
    EXPECT_TRUE(steps(answer("")).empty());
    EXPECT_TRUE(steps(answer(" \n\n")).empty());
}

TEST_F(Answers, HaveThePenultimateStateBeforeTheFirstMarker) {
    EXPECT_EQ(penultimate("a\n\nb\n\n\\boxed{4}"), 2);
    EXPECT_EQ(penultimate("a\n\nb \\boxed{4}\n\nc \\boxed{4}"), 1);
    EXPECT_EQ(penultimate("a \\boxed{4}\n\nb"), 1);
    EXPECT_EQ(penultimate("a\n\n#### 4"), 1);
    EXPECT_EQ(penultimate("a\n\nb\n\nThe answer is 4"), 2);
    EXPECT_EQ(penultimate("a\n\nb"), 2);
    EXPECT_EQ(penultimate("\\boxed{4}"), 1);
}

TEST_F(Answers, MayHoldIdsOfAModelsSpareRows) {
    Tokens ids = answer("\\boxed{4}", false);
    ids.push_back(task.vocab_size() + 3);
    ids.push_back(task.end_token());
    EXPECT_EQ(task.text(ids), "\\boxed{4}<|im_end|>");
    EXPECT_EQ(task.token_text(task.vocab_size() + 3), "\xEF\xBF\xBD");
    EXPECT_TRUE(task.verdict(problem, ids).correct);
    EXPECT_EQ(task.step_ends(ids), std::vector<std::int32_t>{static_cast<std::int32_t>(ids.size()) - 1});
}

struct SeveralEnds : testing::Test {
    Folder folder;
    SeveralEnds() { std::filesystem::copy(kChat, folder.path(), std::filesystem::copy_options::recursive); }
    [[nodiscard]] TextTaskOptions options() const {
        TextTaskOptions found = chat_options();
        found.format.tokenizer = folder.path();
        return found;
    }
};

TEST_F(SeveralEnds, AreReadFromTheModelsConfigUnlessTheTaskNamesOne) {
    const TextFormat plain(options().format);
    EXPECT_EQ(plain.end_tokens(), Tokens{plain.end_token()});
    folder.write("config.json", R"({"eos_token_id": 5})");
    EXPECT_EQ(TextFormat(options().format).end_tokens(), (Tokens{plain.end_token(), 5}));
    folder.write("generation_config.json", cat(R"({"eos_token_id": [7, )", plain.end_token(), ", 9]}"));
    const TextFormat several(options().format);
    EXPECT_EQ(several.end_tokens(), (Tokens{plain.end_token(), 7, 9}));
    EXPECT_NE(several.fingerprint(), plain.fingerprint());
    EXPECT_EQ(several.probe().front(), plain.end_token());
    folder.write("generation_config.json", cat(R"({"eos_token_id": )", plain.end_token(), "}"));
    EXPECT_EQ(TextFormat(options().format).fingerprint(), plain.fingerprint());
    for (const char* wrong : {"[7, 1000000]", "-1", "\"</s>\"", "[[7]]"}) {
        folder.write("generation_config.json", cat(R"({"eos_token_id": )", wrong, "}"));
        EXPECT_SAYS(message_of<DataError>([&] { const TextFormat format(options().format); }),
                    "generation_config.json: eos_token_id");
        auto named = options().format;
        named.end = "<|im_end|>";
        EXPECT_EQ(TextFormat(named).end_tokens(), Tokens{plain.end_token()});
    }
}

TEST_F(SeveralEnds, EachEndsAnAnswerAndBelongsToNoStep) {
    folder.write("generation_config.json", R"({"eos_token_id": [7]})");
    const TextTask task(options(), {{"dev", {a_problem(1, kQuestion, "4")}}});
    const Problem problem = task.problem("dev", 0);
    Tokens ids = task.encode_answer("2 + 2\n\n\\boxed{4}");
    const auto content = static_cast<std::int32_t>(ids.size());
    EXPECT_EQ(task.verdict(problem, ids).reason, Reason::truncated);
    EXPECT_EQ(task.end_tokens().size(), 2U);
    for (const Token end : task.end_tokens()) {
        ids.push_back(end);
        EXPECT_TRUE(task.verdict(problem, ids).correct);
        EXPECT_EQ(task.step_ends(ids).back(), content);
        ids.push_back(task.end_token());
        EXPECT_EQ(task.verdict(problem, ids).reason, Reason::trailing_tokens);
        ids.resize(static_cast<std::size_t>(content));
    }
}

TEST_F(Answers, AreDemonstratedBySolutions) {
    const Tokens ids = task.demonstration(problem, 1, 0);
    EXPECT_EQ(task.text(ids), "2 + 2 = 4\n\n#### 4<|im_end|>");
    EXPECT_TRUE(task.verdict(problem, ids).correct);
    EXPECT_TRUE(task.learnt_tokens(problem, 1, 0).empty());
    EXPECT_SAYS(message_of<DataError>([&] { (void)task.demonstration(task.problem("dev", 1), 1, 0); }),
                "has no solution");
}

TEST(TextTask, SaysHowItsPromptsAreMade) {
    const std::vector<TextSplit> splits{{"test", {a_problem(1, kQuestion, "4")}}};
    const TextTask chat(chat_options(), splits);
    EXPECT_EQ(chat.prompt_form(), "chat:" + chat.format().chat()->fingerprint());
    auto options = chat_options();
    options.format.system.clear();
    EXPECT_EQ(TextTask(options, splits).prompt_form(), chat.prompt_form()) << "the template alone counts";
    options.format.prompt = "Question: {question}\nAnswer:";
    EXPECT_EQ(TextTask(options, splits).prompt_form(), "plain");
    EXPECT_EQ(chat.question_of(chat.problem("test", 0).prompt), kQuestion);
    EXPECT_EQ(chat.question_of(chat.question_ids(kQuestion)), kQuestion);
    EXPECT_EQ(chat.question_ids(kQuestion), chat.value_prompt(chat.prompt_ids(kQuestion)));
}

TEST(TextTask, DropsOrRefusesLongPrompts) {
    TextTaskOptions options = chat_options();
    const auto splits = [] {
        return std::vector<TextSplit>{{"dev", {a_problem(1, "short", "1"), a_problem(2, std::string(3000, 'x'), "1")}}};
    };
    EXPECT_SAYS(message_of<DataError>([&] { TextTask(options, splits()); }), "more than max_prompt_tokens = 1024");
    options.too_long = Unusable::drop;
    const TextTask task(options, splits());
    EXPECT_EQ(task.split_size("dev"), 1);
    ASSERT_EQ(task.notes().size(), 1U);
    EXPECT_SAYS(task.notes()[0], "1 of 2 problems of the split dev");
}

TEST(TextTask, LearnsConversationsBehindTheirFirstPrompt) {
    TextProblem chat{
        7, "chat", "Hi", "", "", {}, {{"user", "Hi"}, {"assistant", "Ho"}, {"user", "Hu"}, {"assistant", "He"}}};
    const TextTask task(chat_options(), {{"sft", {chat}}});
    const Problem problem = task.problem("sft", 0);
    const Tokens ids = task.demonstration(problem, 1, 0);
    const auto learnt = task.learnt_tokens(problem, 1, 0);
    ASSERT_EQ(ids.size(), learnt.size());
    Tokens marked;
    for (std::size_t i = 0; i < ids.size(); ++i)
        if (learnt[i] != 0) marked.push_back(ids[i]);
    EXPECT_EQ(task.text(marked), "Ho<|im_end|>He<|im_end|>");
    EXPECT_TRUE(task.text(problem.prompt).ends_with("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"));
}

}  // namespace
}  // namespace tdrm::task
