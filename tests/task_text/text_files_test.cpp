// Recipes of files, splits, overlaps, and what is said about files that are broken.
#include <zlib.h>

#include <set>

#include "helpers.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::task {
namespace {

std::vector<TextProblem> read(const std::string& text, const TextFileOptions& options = {}) {
    Folder folder;
    folder.write("a.jsonl", text);
    TextFileOptions file = options;
    file.path = "a.jsonl";
    std::vector<std::string> notes;
    return read_problems("a", file, folder.path(), notes);
}

TEST(TextFiles, ReadLinesArraysAndGzip) {
    const std::string line = R"({"question": "Q", "answer": "1"})";
    EXPECT_EQ(read(line + "\n\n" + line + "\n").size(), 2U);
    EXPECT_EQ(read("[" + line + ",\n" + line + "]").size(), 2U);
    Folder folder;
    gzFile file = gzopen((folder.path() + "/a.jsonl.gz").c_str(), "wb");
    gzputs(file, (line + "\n").c_str());
    gzclose(file);
    TextFileOptions options;
    options.path = "a.jsonl.gz";
    std::vector<std::string> notes;
    EXPECT_EQ(read_problems("a", options, folder.path(), notes).at(0).answer, "1");
}

TEST(TextFiles, FillInQuestionsAndTakeNumbersAndListsAsText) {
    TextFileOptions options;
    options.question = "{body}\n{messages.0.content}";
    const auto one = [&](const std::string& answer) {
        return read(R"({"body": null, "messages": [{"content": "How many?"}], "answer": )" + answer + "}", options)
            .at(0);
    };
    EXPECT_EQ(one("27.0").question, "How many?");
    EXPECT_EQ(one("27.0").answer, "27");
    EXPECT_EQ(one("-0.5").answer, "-0.5");
    EXPECT_EQ(one(R"(["1", "2"])").answer, "1, 2");
    EXPECT_EQ(one(R"(" x ")").answer, "x");
}

TEST(TextFiles, TakeTheGoldAnswerFromItsPlace) {
    TextFileOptions options;
    options.gold = GoldIn::hashes;
    options.solution = "answer";
    options.strip_notes = true;
    const auto hashes = read(R"({"question": "Q", "answer": "2+2=<<2+2=4>>4 eggs\n#### 1,004"})", options).at(0);
    EXPECT_EQ(hashes.answer, "1,004");
    EXPECT_EQ(hashes.solution, "2+2=4 eggs\n#### 1,004");
    options.gold = GoldIn::boxed;
    options.tolerance = "error";
    const auto boxed =
        read(R"({"question": "Q", "answer": "\\boxed{1} then \\boxed{\\frac{1}{2}}", "error": "1e-1"})", options).at(0);
    EXPECT_EQ(boxed.answer, "\\frac{1}{2}");
    EXPECT_DOUBLE_EQ(*boxed.tolerance, 0.1);
}

TEST(TextFiles, SayWhichLineIsBrokenAndHow) {
    const std::string good = R"({"question": "Q", "answer": "1", "n": null})";
    const auto said = [&](const std::string& line, const TextFileOptions& options = {}) {
        return message_of<DataError>([&] { (void)read(good + "\n" + line, options); });
    };
    EXPECT_SAYS(said(R"({"question": "Q", )"), "a.jsonl line 2: this isn't JSON");
    EXPECT_SAYS(said(R"({"question": "Q"})"), "a.jsonl line 2: the field \"answer\" is missing (the row has question)");
    EXPECT_SAYS(said(R"({"question": "Q", "answer": null})"), "line 2: the answer \"answer\" is empty");
    EXPECT_SAYS(said("[1]"), "the field \"question\" is missing");
    TextFileOptions boxed;
    boxed.gold = GoldIn::boxed;
    EXPECT_SAYS(said(good, boxed), "line 1: the field \"answer\" has no \\boxed{...}");
    TextFileOptions tolerance;
    tolerance.tolerance = "question";
    EXPECT_SAYS(said(good, tolerance), "the tolerance \"Q\" isn't a number");
    const auto with = [&](const std::string& error) {
        const Folder folder;
        folder.write("rows.jsonl", R"({"question": "q", "answer": "1", "e": )" + error + "}\n");
        TextFileOptions options;
        options.path = "rows.jsonl";
        options.tolerance = "e";
        std::vector<std::string> notes;
        return read_problems("rows", options, folder.path(), notes)[0].tolerance;
    };
    EXPECT_EQ(with("\"1e-2\""), 0.01);
    EXPECT_EQ(with("[\" 0.5 \"]"), 0.5);
    for (const char* none : {"null", "\"\"", "\"nan\"", "\"NaN\""}) EXPECT_FALSE(with(none)) << none;
    for (const char* wrong : {"-1", "\"0.1 m\"", "\"inf\"", "[0.1, 0.2]", "{}", "true"})
        EXPECT_SAYS(message_of<DataError>([&] { (void)with(wrong); }), "isn't a number that is at least 0");
    EXPECT_SAYS(message_of<DataError>([] { (void)read(""); }), "a.jsonl is empty");
    EXPECT_SAYS(message_of<DataError>([] { (void)read("[{]"); }), "this is no JSON");
    TextFileOptions missing;
    missing.path = "nowhere.jsonl";
    std::vector<std::string> notes;
    EXPECT_SAYS(message_of<IoError>([&] { (void)read_problems("a", missing, "/tmp", notes); }), "nowhere.jsonl");
}

TEST(TextFiles, LeaveOutIncompleteRowsOnRequest) {
    Folder folder;
    folder.write("a.jsonl", "{\"question\": \"Q\", \"answer\": \"\"}\n{\"question\": \"R\", \"answer\": \"1\"}");
    TextFileOptions options;
    options.path = "a.jsonl";
    options.incomplete = Unusable::drop;
    std::vector<std::string> notes;
    const auto problems = read_problems("a", options, folder.path(), notes);
    ASSERT_EQ(problems.size(), 1U);
    EXPECT_EQ(problems[0].question, "R");
    EXPECT_EQ(problems[0].id & 0xFFFFFFFFU, 2U);
    EXPECT_SAYS(notes.at(0), "1 rows of task.files.a are left out");
}

TEST(TextFiles, ReadConversations) {
    TextFileOptions options;
    options.chat = "messages";
    const auto rows =
        read(R"({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]})", options);
    EXPECT_EQ(rows.at(0).question, "Hi");
    ASSERT_EQ(rows.at(0).conversation.size(), 2U);
    const auto said = [&](const std::string& messages) {
        return message_of<DataError>([&] { (void)read("{\"messages\": " + messages + "}", options); });
    };
    EXPECT_SAYS(said("[]"), "isn't a list of messages");
    EXPECT_SAYS(said(R"([{"role": "user"}])"), "line 1: the field \"content\" is missing");
    EXPECT_SAYS(said(R"([{"role": "robot", "content": ""}])"), "\"robot\" isn't system, user or assistant");
    EXPECT_SAYS(said(R"([{"role": "user", "content": "Hi"}])"), "isn't the assistant's");
}

struct TextSplits : testing::Test {
    Folder folder;
    TextFilesOptions options;
    std::vector<std::string> notes;

    void SetUp() override {
        std::string a, b;
        for (int i = 0; i < 20; ++i) a += "{\"question\": \"a" + std::to_string(i) + "\", \"answer\": \"1\"}\n";
        for (int i = 0; i < 3; ++i) b += "{\"question\": \"A" + std::to_string(i) + " ?\", \"answer\": \"1\"}\n";
        folder.write("a.jsonl", a);
        folder.write("b.jsonl", b);
        options.root = folder.path();
        for (const std::string name : {"a", "b"}) {
            options.files.emplace_back(name, TextFileOptions{});
            options.files.back().second.path = name + ".jsonl";
        }
    }
    std::vector<TextSplit> make(const std::vector<std::pair<std::string, TextSplitOptions>>& splits,
                                std::uint64_t seed = 1) {
        options.splits = splits;
        notes.clear();
        return read_splits(options, seed, notes);
    }
    static std::string questions(const TextSplit& split) {
        std::string text;
        for (const auto& problem : split.problems) text += problem.question + " ";
        return text;
    }
};

TEST_F(TextSplits, AreDisjointAndAFunctionOfTheSeed) {
    const std::vector<std::pair<std::string, TextSplitOptions>> entries{
        {"rest", {"a", "", 0}}, {"some", {"a", "", 5}}, {"named", {"a", "2-4", 0}}, {"more", {"a", "", 4}}};
    const auto splits = make(entries);
    std::set<std::uint64_t> ids;
    for (const auto& split : splits)
        for (const auto& problem : split.problems) ids.insert(problem.id);
    EXPECT_EQ(ids.size(), 20U);
    EXPECT_EQ(questions(splits[2]), "a2 a3 a4 ");
    EXPECT_EQ(splits[0].problems.size(), 8U);
    EXPECT_EQ(splits[1].problems.size(), 5U);
    EXPECT_EQ(questions(make(entries)[1]), questions(splits[1]));
    EXPECT_NE(questions(make(entries, 2)[1]), questions(splits[1]));
    // another split behind them changes nothing in those that draw before it
    EXPECT_EQ(questions(make({entries[1], entries[2], {"last", {"a", "", 1}}})[0]), questions(splits[1]));
    EXPECT_TRUE(notes.empty());
}

TEST_F(TextSplits, SayWhatCantBe) {
    const auto said = [&](const std::vector<std::pair<std::string, TextSplitOptions>>& splits) {
        return message_of<ConfigError>([&] { (void)make(splits); });
    };
    EXPECT_SAYS(said({{"x", {"c", "", 0}}}), "there is no file \"c\"");
    EXPECT_SAYS(said({{"x", {"a", "", 21}}}), "needs 21 problems, and the file a has 20 left of 20");
    EXPECT_SAYS(said({{"x", {"a", "", 0}}, {"y", {"a", "", 0}}}), "has 0 left");
    EXPECT_SAYS(said({{"x", {"a", "0-20", 0}}}), "aren't all there");
    EXPECT_SAYS(said({{"x", {"a", "0-3", 0}}, {"y", {"a", "3-4", 0}}}), "row 3 of the file a is also in the split x");
    EXPECT_SAYS(said({{"x", {"a", "4-3", 0}}}), "ends before it begins");
    EXPECT_SAYS(said({{"x", {"a", "a few", 0}}}), "isn't a range");
}

TEST_F(TextSplits, TellOfProblemsInTwoSplits) {
    const std::vector<std::pair<std::string, TextSplitOptions>> entries{{"train", {"a", "", 0}},
                                                                        {"test", {"b", "", 0}}};
    EXPECT_EQ(make(entries)[0].problems.size(), 20U);
    ASSERT_EQ(notes.size(), 1U);
    EXPECT_SAYS(notes[0], "3 problems of the split train are in test too");
    EXPECT_SAYS(notes[0], "a.jsonl line 1 and ");
    options.overlap = Overlap::drop;
    const auto dropped = make(entries);
    EXPECT_EQ(dropped[0].problems.size(), 17U);
    EXPECT_EQ(dropped[1].problems.size(), 3U);
    EXPECT_SAYS(notes.at(0), "dropped from train");
    options.overlap = Overlap::error;
    EXPECT_SAYS(message_of<DataError>([&] { (void)make(entries); }), "3 problems of the split train are in test too");
}

TEST_F(TextSplits, TellSignsAndNumbersApart) {
    folder.write("a.jsonl", R"({"question": "x + 1", "answer": "1"}
{"question": "x - 1", "answer": "1"}
{"question": "1.5", "answer": "1"}
{"question": "15", "answer": "1"})");
    options.overlap = Overlap::error;
    EXPECT_EQ(
        make({{"x", {"a", "0-0", 0}}, {"y", {"a", "1-1", 0}}, {"z", {"a", "2-2", 0}}, {"w", {"a", "3-3", 0}}}).size(),
        4U);
}

}  // namespace
}  // namespace tdrm::task
