#include "tdrm/base/command_pool.hpp"

#include "command_fixture.hpp"
#include "mutate.hpp"
#include "tdrm/base/text.hpp"

namespace tdrm {
namespace {

TEST_F(Command, RepliesInAnyOrderComeBackInThatOfTheItems) {
    CommandOptions options = python(R"(held = []
for item in items:
    held.append(item)
    if len(held) == 4:
        while held: reply(held.pop(), score=item["x"])
)");
    options.window = 4;
    CommandPool pool(options);
    const auto replies = pool.ask(numbers(12));
    ASSERT_EQ(replies.size(), 12U);
    for (std::size_t i = 0; i < 12; ++i) {
        EXPECT_EQ(replies[i].at("id"), i);
        EXPECT_EQ(replies[i].at("score"), i / 4 * 4 + 3);
    }
}

TEST_F(Command, AnyNumberOfWorkersGivesTheSameReplies) {
    CommandOptions options = python(R"(for item in items: reply(item, score=(item["x"] - 20) / 3, worker=os.getpid())
)");
    std::vector<double> first;
    for (const int workers : {1, 2, 5}) {
        options.workers = workers;
        options.window = 6 - workers;
        CommandPool pool(options);
        std::set<int> seen;
        std::vector<double> got(60);
        (void)pool.ask(numbers(60), {}, [&](std::size_t i, const json& reply) {
            got[i] = score_of(reply);
            seen.insert(reply.at("worker").get<int>());
        });
        if (first.empty()) first = got;
        EXPECT_EQ(got, first);
        EXPECT_DOUBLE_EQ(got[21], 1.0 / 3);
        EXPECT_EQ(seen.size(), static_cast<std::size_t>(workers));
        seen.clear();
        for (const json& reply : pool.ask(numbers(workers))) seen.insert(reply.at("worker").get<int>());
        EXPECT_EQ(seen.size(), static_cast<std::size_t>(workers)) << "few items go to all of them";
        EXPECT_EQ(pool.failures(), 0);
    }
}

TEST_F(Command, AListOfScoresIsReadWithItsLength) {
    CommandPool pool(python(R"(for item in items: reply(item, scores=[item["x"], 0.5])
)"));
    const auto replies = pool.ask(numbers(2));
    EXPECT_EQ(scores_of(replies[1], 2), (std::vector<double>{1, 0.5}));
    EXPECT_THROW((void)scores_of(replies[1], 3), DataError);
    EXPECT_THROW((void)score_of(replies[1]), DataError);
    EXPECT_THROW((void)scores_of(json::object({{"scores", json::array({1, nullptr})}}), 2), DataError);
    EXPECT_THROW((void)scores_of(json::object({{"scores", json::object({{"a", 1}})}}), 1), DataError);
}

TEST_F(Command, ACrashIsSurvivedAndCountedAndNothingElseIsAskedTwice) {
    CommandPool pool(python(R"(for item in items:
    note(str(item["x"]))
    if item["x"] == 5 and once("crash"): os.kill(os.getpid(), signal.SIGSEGV)
    reply(item, score=item["x"] * 2)
)"));
    EXPECT_EQ(scores(pool, numbers(9)), doubled(9));
    EXPECT_EQ(pool.failures(), 1);
    EXPECT_EQ(notes(), "0\n1\n2\n3\n4\n5\n5\n6\n7\n8\n");
}

TEST_F(Command, ACommandThatEndsAfterEveryReplyIsStartedAgainAndAgain) {
    CommandOptions options = python(R"(item = next(items)
reply(item, score=item["x"] * 2)
)");
    for (const int workers : {1, 3}) {
        options.workers = workers;
        CommandPool pool(options);
        EXPECT_EQ(scores(pool, numbers(12)), doubled(12));
    }
}

TEST_F(Command, AnItemThatAlwaysCrashesIsNamedWithTheStatus) {
    const auto options = [&](const std::string& end) {
        return python("for item in items:\n    if item['x'] == 2: " + end +
                      "\n    note('x')\n    reply(item, score=1)\n");
    };
    CommandOptions once = options("sys.exit(3)");
    once.attempts = 1;
    EXPECT_HAS(message(once, numbers(9)), "exit status 3 before it replied to {\"id\":2,\"x\":2} (every item needs");
    std::string text = message(options("sys.exit(3)"), numbers(9));
    EXPECT_HAS(text, "program.py\" ended with exit status 3 before it replied to {\"id\":2,\"x\":2}");
    EXPECT_HAS(text, "the last of 2 attempts");
    text = message(options("os.kill(os.getpid(), signal.SIGKILL)"), numbers(9));
    EXPECT_HAS(text, "exit status 137 (of a shell: its program was killed by signal 9, Killed) before it");
    EXPECT_HAS(message(shell("kill -9 $$")), "was killed by signal 9 (Killed) before it replied to");
    text = message(options("sys.exit(0)"), numbers(9));
    EXPECT_HAS(text, "ended with exit status 0 before it replied to {\"id\":2,\"x\":2}") << "too few replies";
}

TEST_F(Command, TheItemThatCrashesIsNamedThoughOthersAreOlder) {
    CommandOptions options = python(R"(import threading
def later(item):
    time.sleep(0.05)
    reply(item, score=1)
for item in items:
    if item["x"] == 5: os._exit(7)
    threading.Thread(target=later, args=[item]).start()
)");
    options.window = 4;
    EXPECT_HAS(message(options, numbers(12)), "exit status 7 before it replied to {\"id\":5,\"x\":5}");
}

TEST_F(Command, AHangIsEndedByTheDeadlineWithItsGroup) {
    CommandOptions options = shell(open_life() + "echo >&9; while read -r line; do sleep 1000; done");
    options.deadline = {0.2};
    EXPECT_HAS(message(options), "gave no reply within 0.2 s to {\"id\":0,\"x\":0}, the last of 2 attempts");
    EXPECT_TRUE(has_ended());
}

TEST_F(Command, TheDeadlineIsThatOfTheOldestItem) {
    CommandOptions options = python(R"(for item in items:
    if item["x"] != 0: reply(item, score=1)
)");
    options.deadline = {0.2};
    EXPECT_HAS(message(options, numbers(400)), "gave no reply within 0.2 s to {\"id\":0,\"x\":0}");
}

TEST_F(Command, TheTimeOfAnItemBeginsWhenTheOneBeforeItIsRepliedTo) {
    CommandOptions options = python(kGood);
    options.deadline = {1.5};
    double now = 100;
    CommandPool pool(options, [&] { return now; });
    (void)pool.ask(numbers(9), {}, [&](std::size_t, const json&) { now += 0.9; });
    EXPECT_EQ(pool.failures(), 0);
}

TEST_F(Command, RepliesToOthersGiveTheOldestItemNoTime) {
    CommandOptions options = python(R"(for item in items:
    if item["x"] != 0: reply(item, score=1)
)");
    options.deadline = {1.5};
    options.attempts = 1;
    double now = 100;
    CommandPool pool(options, [&] { return now += 0.01; });
    int replies = 0;
    const auto check = [&](std::size_t, const json&) {
        ++replies;
        now += 0.9;
    };
    EXPECT_THROW((void)pool.ask(numbers(50), {}, check), DataError);
    EXPECT_LE(replies, 2);
}

TEST_F(Command, TimeInWhichWeStoodStillIsNoneOfTheCommands) {
    CommandOptions options = python(R"(first = next(items)
for item in items:
    reply(item, score=1)
    while not os.path.exists(os.path.join(os.path.dirname(__file__), "go")): time.sleep(0.01)
    reply(first, score=1)
)");
    options.deadline = {1.5};
    options.attempts = 1;
    double now = 100;
    CommandPool pool(options, [&] { return now; });
    int rounds = 0;
    const auto alive = [&] {
        if (now > 200 && ++rounds == 2) std::ofstream(folder / "go").put(' ');
    };
    (void)pool.ask(numbers(2), alive, [&](std::size_t, const json&) { now = 1000; });
    EXPECT_EQ(pool.failures(), 0);
}

TEST_F(Command, BlankLinesAreNoSignOfLife) {
    CommandOptions options = shell("yes ''");
    options.deadline = {0.2};
    EXPECT_HAS(message(options), "gave no reply within 0.2 s");
}

TEST_F(Command, ALineThatIsNoReplyIsQuotedAtOnce) {
    const std::pair<std::string, std::string> lines[] = {
        {"loading the model", "this isn't a JSON object"},
        {"[1]", "this isn't a JSON object"},
        {"0.5", "this isn't a JSON object"},
        {R"({"id": 0, "score": 1)", "this isn't a JSON object"},
        {R"({"id": 0, "score": 1e999})", "this isn't a JSON object"},
        {R"({"score": 1})", "no whole number \"id\""},
        {R"({"id": "0", "score": 1})", "no whole number \"id\""},
        {R"({"id": 0.5, "score": 1})", "no whole number \"id\""},
        {R"({"id": 7, "score": 1})", "no item of this id"},
        {R"({"id": -1, "score": 1})", "no item of this id"},
        {R"({"id": 18446744073709551615, "score": 1})", "no item of this id"},
        {R"({"id": 0})", "there is no \"score\""},
        {R"({"id": 0, "score": null})", "\"score\" isn't a finite number"},
        {R"({"id": 0, "score": NaN})", "\"score\" isn't a finite number"},
        {R"({"id": 0, "score": -Infinity})", "\"score\" isn't a finite number"},
        {R"({"id": 0, "score": "1"})", "\"score\" isn't a finite number"},
        {R"({"id": 0, "score": true})", "\"score\" isn't a finite number"},
    };
    for (const auto& [line, problem] : lines) {
        const std::string text = message(says(line + "\n"));
        EXPECT_HAS(text, problem);
        EXPECT_HAS(text, " wrote " + line + ": ");
    }
    const std::string text = message(says("\xC3\xA9\xFF\x1b" + std::string(500, 'x') + "\n"));
    EXPECT_HAS(text, "wrote \xC3\xA9\xEF\xBF\xBD\x1bxx");
    EXPECT_HAS(text, "xx...: ");
    EXPECT_EQ(shortened(text, text.size()), text) << "whole characters";
}

TEST_F(Command, ASecondReplyIsRefused) {
    const std::string line = "{\"id\": 0, \"score\": 1}\n";
    EXPECT_HAS(message(says(line + line), numbers(2)), "or did so before");
    CommandPool pool(python(R"(last = None
for item in items:
    if last: reply(last, score=1)
    reply(item, score=2)
    last = item
)"));
    EXPECT_EQ(scores(pool, numbers(1)), std::vector<double>{2});
    EXPECT_HAS(message<DataError>(pool, numbers(1)), "{\"id\": 0, \"score\": 1}: this process has no item of this id");
}

TEST_F(Command, ALineWithoutAnEndIsCut) {
    std::string text = message(shell("yes | tr -d '\\n'"));
    EXPECT_HAS(text, "wrote yyyy");
    EXPECT_HAS(text, "more than 1048576 bytes");
    text = message(says(std::string(kMaxReplyBytes + 1, 'x') + "\n"));
    EXPECT_HAS(text, "more than 1048576 bytes");
    EXPECT_LT(text.size(), 700U);
}

TEST_F(Command, LongItemsAndRepliesPass) {
    CommandPool pool(python(R"(for item in items: reply(item, score=item["x"] * 2, text=item["ballast"])
)"));
    const std::string ballast(200'000, 'a');
    const auto replies = pool.ask(numbers(20, ballast));
    for (const json& reply : replies) EXPECT_EQ(reply.at("text"), ballast);
}

TEST_F(Command, NeitherSideWaitsForTheOtherWithFullPipes) {
    CommandOptions options = python(R"(buffer = b""
while piece := os.read(0, 100):
    buffer += piece
    *lines, buffer = buffer.split(b"\n")
    for line in lines:
        item = json.loads(line)
        reply(item, score=item["x"] * 2, echo=item["ballast"])
)");
    options.window = 2000;  // far more than pipes hold
    CommandPool pool(options);
    EXPECT_EQ(scores(pool, numbers(5000, std::string(300, 'a'))), doubled(5000));
}

TEST_F(Command, BlankLinesCountForNothing) {
    CommandPool pool(python(R"(for item in items:
    print("\n  \r\n\t")
    sys.stdout.write(json.dumps({"id": item["id"], "score": item["x"] * 2}) + "\r\n")
    sys.stdout.flush()
)"));
    EXPECT_EQ(scores(pool, numbers(9)), doubled(9));
}

TEST_F(Command, ItemsAreAsciiWhateverTheyHold) {
    CommandPool pool(shell("while read -r line; do printf '%s\\n' \"$line\" >>" + (folder / "notes").string() +
                           "; echo '{\"id\": 0, \"é\": \"漢\"}'; done"));
    const std::vector<json> items(1, json::object({{"a", "é\xFF\n"}}));
    const auto replies = pool.ask(items);
    EXPECT_EQ(notes(), "{\"id\":0,\"a\":\"\\u00e9\\ufffd\\n\"}\n");
    EXPECT_EQ(replies.at(0).at("é"), "漢");
}

TEST_F(Command, OneThatCantBeRunIsAnErrorOfTheConfiguration) {
    EXPECT_HAS(message<ConfigError>(shell("/no/such/judge --fast")), "\"/no/such/judge --fast\" can't be run");
    EXPECT_HAS(message<ConfigError>(shell(folder.string())), "exit status 126");
    EXPECT_HAS(message<DataError>(says("")), "ended with exit status 0 before");
}

TEST_F(Command, ThePoolGoesOnAfterAnError) {
    CommandOptions options = python(R"(for item in items: reply(item, score=item["x"] if item["x"] < 3 else "?")
)");
    options.workers = 2;
    CommandPool pool(options);
    EXPECT_HAS(message<DataError>(pool, numbers(9)), "isn't a finite number");
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "all are killed and reaped";
    const auto replies = pool.ask(numbers(2));
    EXPECT_EQ(replies.at(1).at("id"), 10) << "ids count on";
}

TEST_F(Command, OneThatEndsBetweenTwoCallsHasNotFailed) {
    CommandPool pool(python("reply(next(items), score=1)\n"));
    for (int call = 0; call < 3; ++call) {
        EXPECT_EQ(scores(pool, numbers(1)), std::vector<double>{1});
        siginfo_t unused;
        EXPECT_EQ(::waitid(P_ALL, 0, &unused, WEXITED | WNOWAIT), 0);
    }
    EXPECT_EQ(pool.failures(), 0);
}

TEST_F(Command, SignsOfLifeComeWithoutReplies) {
    CommandPool pool(shell(open_life() + "read -r line; echo >&9; sleep 1000"));
    int signs = 0;
    const auto alive = [&] {
        if (++signs == 3) throw Preempted("enough");
    };
    EXPECT_THROW((void)pool.ask(numbers(1), alive), Preempted);
    EXPECT_TRUE(has_ended());
}

TEST_F(Command, MutatedRepliesAreTakenOrRefused) {
    const std::string good = "{\"id\": 0, \"score\": 0.5}\n";
    Random random(random_key(1, "replies"));
    const auto rounds = std::min<std::uint64_t>(fuzz_rounds(100), 2000);
    std::uint64_t taken = 0;
    for (std::uint64_t round = 0; round < rounds; ++round) {
        CommandPool pool(says(mutated(good, random)));
        try {
            const auto got = scores(pool, numbers(1));
            taken += std::isfinite(got.at(0));
        } catch (const DataError&) {
        }
    }
    EXPECT_GT(taken, 0U);
    EXPECT_LT(taken, rounds);
}

TEST(CommandOptions, SayWhatIsWrong) {
    const auto problems = [](const std::string& text) {
        CommandOptions options;
        Problems found;
        parse(parse_yaml(text, "x"), options, found);
        return found.size();
    };
    EXPECT_EQ(problems("{run: judge, workers: 4, window: 2, deadline: 5m, attempts: 1}"), 0U);
    for (const char* text : {"{}", "{run: ''}", "{run: ' '}", "{run: a, workers: 0}", "{run: a, deadline: 0s}",
                             "{run: a, attempts: 0}", "{run: a, window: 0}"})
        EXPECT_EQ(problems(text), 1U) << text;
    EXPECT_EQ(identity(CommandOptions{.run = "a", .workers = 3, .attempts = 5}), identity(CommandOptions{.run = "a"}))
        << "how it is run is no part of what it says";
    EXPECT_THROW(CommandPool(CommandOptions{.run = "a", .workers = 0}), BugError);
}

}  // namespace
}  // namespace tdrm
