#include "tdrm/task/text/translation.hpp"

#include <nlohmann/json.hpp>

#include "helpers.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::task {
namespace {

using nlohmann::json;

const std::string kLlama2 = kSource / "tests/text/data/llama2";
const std::vector<std::string> kQuestions{"What is 2 + 2?",    "\n{x}", "系统 <|im_end|>\n", "a", "{question}",
                                          "two\n\nparagraphs "};

TextFormatOptions plain(const std::string& tokenizer, const std::string& prompt = "Question: {question}\nAnswer:") {
    TextFormatOptions options;
    options.tokenizer = tokenizer;
    options.prompt = prompt;
    options.ends = false;
    return options;
}

/// A byte-level tokenizer with the template of another family.
void write_llama3(const Folder& folder) {
    auto tokenizer = json::parse(std::ifstream(kPlain + "/tokenizer.json"));
    int id = 500;
    for (const char* mark : {"<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"})
        tokenizer["added_tokens"].push_back(
            {{"id", id++}, {"content", mark}, {"special", true}, {"normalized", false}});
    folder.write("tokenizer.json", tokenizer.dump());
    const auto chat = json::parse(std::ifstream(kSource / "tests/text/data/chat/llama3.json"));
    folder.write(
        "tokenizer_config.json",
        json{{"chat_template", chat["template"]}, {"bos_token", chat["bos_token"]}, {"eos_token", chat["eos_token"]}}
            .dump());
}

TEST(TextFormat, TellsTheQuestionOfAPrompt) {
    for (const auto& options : {chat_options().format, plain(kPlain), plain(kPlain, "{question}")}) {
        const TextFormat format(options);
        for (const std::string& question : kQuestions) {
            EXPECT_EQ(format.question_of(format.prompt_ids(question)), question);
            EXPECT_EQ(format.question_of(format.value_prompt_ids(question)), question);
        }
    }
    const TextFormat sentence_piece(plain(kLlama2));  // puts <s> before and </s> behind
    EXPECT_EQ(sentence_piece.question_of(sentence_piece.prompt_ids("What is 系 + 2?")), "What is 系 + 2?");
}

TEST(TextFormat, RefusesToTellTheQuestionOfAnotherFormatsPrompt) {
    const TextFormat format(chat_options().format);
    auto other = chat_options().format;
    other.system = "Be brief.";
    const auto prompt = TextFormat(other).prompt_ids("Why?");
    EXPECT_SAYS(message_of<DataError>([&] { (void)format.question_of(prompt); }), "isn't one that the task writes");
    EXPECT_SAYS(message_of<DataError>([&] { (void)format.question_of({}); }), "isn't one that the task writes");
    auto cut = format.prompt_ids("Why?");
    cut.pop_back();
    EXPECT_SAYS(message_of<DataError>([&] { (void)format.question_of(cut); }), "isn't one that the task writes");
}

TEST(Translation, AsksTheSameQuestionInTheOtherTemplate) {
    const Folder folder;
    write_llama3(folder);
    TextFormatOptions llama3;
    llama3.tokenizer = folder.path();
    llama3.system = "Judge.";
    llama3.value_sees_system = true;
    const TextFormat from(chat_options().format);
    const Translation to(from.tokenizer(), {llama3});
    EXPECT_EQ(to.target().tokenizer().decode(to.prompt(from.question_of(from.prompt_ids("What is 2 + 2?")))),
              "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nJudge.<|eot_id|><|start_header_id|>user"
              "<|end_header_id|>\n\nWhat is 2 + 2?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n");
    for (const std::string& question : kQuestions)
        EXPECT_EQ(to.prompt(from.question_of(from.value_prompt_ids(question))), TextFormat(llama3).prompt_ids(question))
            << question;
}

TEST(Translation, EncodesEachStepOnItsOwnAndMapsItsEnd) {
    const std::vector<std::string> steps{"First, 2 + 2\n\n", "é is 4. 系\n\n", "\\boxed{4}"};
    const TextFormat from(chat_options().format);
    for (const auto& options : {plain(kPlain), plain(kLlama2)}) {
        const Translation to(from.tokenizer(), {options});
        Tokens ids, expected;
        std::vector<std::int32_t> ends{0}, expected_ends{0};
        for (const std::string& step : steps) {
            const auto more = from.encode_answer(step);
            ids.insert(ids.end(), more.begin(), more.end());
            ends.push_back(static_cast<std::int32_t>(ids.size()));
            const auto again =
                expected.empty() ? to.target().encode_answer(step) : to.target().tokenizer().encode_behind(step);
            expected.insert(expected.end(), again.begin(), again.end());
            expected_ends.push_back(static_cast<std::int32_t>(expected.size()));
        }
        ids.push_back(from.end_token());
        const AnswerIds answer = to.answer(ids, ends);
        EXPECT_EQ(answer.ids, expected);
        EXPECT_EQ(answer.ends, expected_ends);
        // A prefix's ids don't depend on what follows.
        const AnswerIds begin = to.answer(ids, std::span(ends).first(2));
        EXPECT_EQ(begin.ends.back(), expected_ends[1]);
        EXPECT_TRUE(std::equal(begin.ids.begin(), begin.ids.end(), expected.begin()));
        // The end token is no text, wherever it stands.
        ends.back() += 1;
        EXPECT_EQ(to.answer(ids, ends).ids, expected);
    }
}

TEST(Translation, KeepsTheSpaceThatBeginsALaterPiece) {
    const TextFormat from(plain(kLlama2));
    const Translation to(from.tokenizer(), {chat_options().format});
    const auto ids = from.encode_answer("word word word");
    for (std::size_t cut = 1; cut < ids.size(); ++cut) {
        const std::vector<std::int32_t> ends{static_cast<std::int32_t>(cut), static_cast<std::int32_t>(ids.size())};
        const AnswerIds answer = to.answer(ids, ends);
        EXPECT_EQ(to.target().tokenizer().decode(answer.ids), "word word word") << cut;
    }
}

TEST(Translation, WithTrimmedStepsAndTagsIsTheWholeTextInThePublishedForm) {
    const TextFormat from(chat_options().format);
    Tokens ids;
    std::vector<std::int32_t> ends;
    for (const char* step : {"First, 2 + 2 is 4.\n\n", "Then it is 4.\n\n", "The answer is 4"}) {
        const auto more = from.encode_answer(step);
        ids.insert(ids.end(), more.begin(), more.end());
        ends.push_back(static_cast<std::int32_t>(ids.size()));
    }
    for (const auto& options : {plain(kLlama2, "Why? Because."), plain(kPlain, "Why? Because. ")}) {
        const Translation to(from.tokenizer(), {.format = options, .trims = true});
        const text::Tokenizer& tokenizer = to.target().tokenizer();
        const AnswerIds answer = to.answer(ids, ends);
        Tokens all = tokenizer.encode(rows::trimmed(options.prompt));  // the space belongs to the first step
        std::int32_t begin = 0;
        for (const std::int32_t end : answer.ends) {
            const auto add = [&](const Tokens& more) { all.insert(all.end(), more.begin(), more.end()); };
            if (begin > 0) add(tokenizer.encode_behind("\n"));
            add({answer.ids.begin() + begin, answer.ids.begin() + end});
            add(tokenizer.encode_behind(" (+)"));
            begin = end;
        }
        EXPECT_EQ(tokenizer.decode(all),
                  "Why? Because. First, 2 + 2 is 4. (+)\nThen it is 4. (+)\nThe answer is 4 (+)");
        if (options.tokenizer == kLlama2) {
            EXPECT_EQ(all, tokenizer.encode(tokenizer.decode(all)));
        }
    }
}

/// Ids of the steps' answer in a policy's format, and their ends.
AnswerIds answer_of(const TextFormat& from, const std::vector<std::string>& steps) {
    AnswerIds answer;
    for (const std::string& step : steps) {
        const auto more = from.encode_answer(step);
        answer.ids.insert(answer.ids.end(), more.begin(), more.end());
        answer.ends.push_back(static_cast<std::int32_t>(answer.ids.size()));
    }
    return answer;
}

TEST(Translation, StepsAsTurnsHaveTheIdsOfTheWholeConversation) {
    const Folder folder;
    write_llama3(folder);
    const TextFormat from(chat_options().format);
    TranslationOptions options;
    options.steps = StepForm::turns;
    options.trims = true;
    options.format.tokenizer = folder.path();
    options.format.ends = false;
    for (const char* system : {"", "Judge each step."})
        for (const char* question :
             {"What is 2 + 2?", "\n{x}", "系统 <|im_end|>\n!", "a", "{question}", "TDRMSTEP TDRMVERDICT"})
            for (const auto& steps : {std::vector<std::string>{"First, 2 + 2 is 4.\n\n", "12 is it.\n\n", "$x$"},
                                      std::vector<std::string>{"1. é\n\n", "So: 4"}}) {
                options.format.system = system;
                const Translation to(from.tokenizer(), options);
                const text::Tokenizer& tokenizer = to.target().tokenizer();
                const auto source = answer_of(from, steps);
                const AnswerIds answer = to.answer(source.ids, source.ends);
                Tokens all = to.prompt(question);
                const auto add = [&](const Tokens& more) { all.insert(all.end(), more.begin(), more.end()); };
                std::vector<text::ChatMessage> messages;
                if (*system != 0) messages.push_back({"system", system});
                for (std::size_t s = 0; s < steps.size(); ++s) {
                    const auto begin = s == 0 ? 0 : answer.ends[s - 1];
                    if (s > 0) add(to.between("+" + to.behind_verdict()));
                    add({answer.ids.begin() + begin, answer.ids.begin() + answer.ends[s]});
                    add(to.between(to.before_verdict()));
                    messages.push_back({"user", (s == 0 ? cat(question, " ") : "") + rows::trimmed(steps[s])});
                    messages.push_back({"assistant", "+"});
                }
                std::string text = to.target().chat()->render(messages, false);
                text.resize(text.rfind('+'));
                EXPECT_EQ(all, tokenizer.encode(text)) << text;
            }
}

TEST(Translation, TurnsNeedATemplateThatWritesThemAlike) {
    const Folder folder;
    write_llama3(folder);
    const TextFormat from(chat_options().format);
    TranslationOptions options;
    options.steps = StepForm::turns;
    options.format.tokenizer = folder.path();
    const std::string turn = "<|start_header_id|>{{ m.role }}<|end_header_id|>{{ m.content }}<|eot_id|>";
    for (const std::string& source :
         {"{% for m in messages[-2:] %}" + turn + "{% endfor %}",  // without the first ones
          "{% for m in messages %}" + turn + "{% if loop.first %}!{% endif %}{% endfor %}"}) {
        folder.write("tokenizer_config.json", json{{"chat_template", source}, {"eos_token", "<|eot_id|>"}}.dump());
        const auto message = message_of<ConfigError>([&] { (void)Translation(from.tokenizer(), options); });
        EXPECT_SAYS(message, "doesn't write steps as turns");
    }
}

TEST(Translation, PiecesAloneAreEncodedEachByItself) {
    const TextFormat from(chat_options().format);
    const auto source = answer_of(from, {"First.\n\n", "Then 4"});
    const Translation to(from.tokenizer(),
                         {.format = plain(kLlama2, "{question} "), .pieces = Pieces::alone, .trims = true});
    const text::Tokenizer& tokenizer = to.target().tokenizer();
    EXPECT_EQ(to.prompt("Why?"), tokenizer.encode("Why? ", true)) << "the space stays with the prompt";
    Tokens expected = tokenizer.encode("First.");
    const auto second = tokenizer.encode("Then 4");
    expected.insert(expected.end(), second.begin(), second.end());
    EXPECT_EQ(to.answer(source.ids, source.ends).ids, expected);
    EXPECT_EQ(to.between("\n"), tokenizer.encode("\n"));
    EXPECT_NE(to.between("\n"), tokenizer.encode_behind("\n"));
}

TEST(Translation, ReadsBrokenTextAsReplacementCharacters) {
    const TextFormat from(chat_options().format);
    const Translation to(from.tokenizer(), {plain(kPlain)});
    Tokens ids = from.encode_answer("系");
    ASSERT_GT(ids.size(), 1U);  // bytes of one character
    ids.pop_back();
    const AnswerIds answer = to.answer(ids, std::vector{static_cast<std::int32_t>(ids.size())});
    EXPECT_EQ(to.target().tokenizer().decode(answer.ids), "\xEF\xBF\xBD");
    const AnswerIds nothing = to.answer(ids, {});
    EXPECT_TRUE(nothing.ids.empty() && nothing.ends.empty());
}

TEST(Translation, IsTheIdentityBetweenEqualFormats) {
    const TextFormat from(chat_options().format);
    auto same = chat_options().format;
    same.value_sees_system = true;
    const Translation to(from.tokenizer(), {same});
    for (const std::string& question : kQuestions)
        EXPECT_EQ(to.prompt(from.question_of(from.prompt_ids(question))), from.prompt_ids(question));
    const auto ids = from.encode_answer("So 2 + 2 = 4.\n\n");
    const AnswerIds answer = to.answer(ids, std::vector{static_cast<std::int32_t>(ids.size())});
    EXPECT_EQ(answer.ids, ids);
}

TEST(Translation, WorksBetweenPublishedTokenizers) {
    std::vector<Folder> folders(2);
    std::vector<TextFormatOptions> formats;
    for (const char* name : {"qwen2_5", "glm4"}) {
        const Folder& folder = folders[formats.size()];
        if (!write_published(folder, name)) GTEST_SKIP() << "no tokenizer of " << name;
        TextFormatOptions options;
        options.tokenizer = folder.path();
        formats.push_back(options);
    }
    for (const auto& [source, target] : {std::pair(0, 1), {1, 0}}) {
        const TextFormat from(formats[static_cast<std::size_t>(source)]);
        const Translation to(from.tokenizer(), {formats[static_cast<std::size_t>(target)]});
        const std::string question = "Let $x^2 = 4$.\n\n 求 x{}";
        EXPECT_EQ(to.prompt(from.question_of(from.prompt_ids(question))), to.target().prompt_ids(question));
        const std::string text = "First, $x = \\pm 2$.\n\n所以 x 是 2 或 -2。";
        const auto ids = from.encode_answer(text);
        const AnswerIds answer = to.answer(ids, std::vector{static_cast<std::int32_t>(ids.size())});
        EXPECT_EQ(answer.ids, to.target().encode_answer(text));
    }
}

}  // namespace
}  // namespace tdrm::task
