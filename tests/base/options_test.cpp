#include "tdrm/base/options.hpp"

#include <gtest/gtest.h>

#include <array>

#include "tdrm/base/errors.hpp"

namespace tdrm {
namespace {

enum class Kind { outcome_last, td_lambda, n_step };
constexpr std::array<std::pair<Kind, std::string_view>, 3> enum_names(Kind) {
    return {{{Kind::outcome_last, "outcome_last"}, {Kind::td_lambda, "td_lambda"}, {Kind::n_step, "n_step"}}};
}

struct Target {
    Kind kind = Kind::td_lambda;
    double lambda = 0.8;
    void fields(Fields& f) {
        f("kind", kind, "how the target is made");
        f("lambda", lambda, "weight of long backups", between(0, 1));
    }
};

struct Options {
    std::string name = "base";
    bool tied = true;
    int layers = 4;
    std::int64_t tokens = 1'000'000;
    double rate = 1e-3;
    std::optional<double> top_p;
    std::optional<Target> teacher;
    std::vector<std::string> values;
    std::vector<int> at = {1};
    std::vector<std::pair<std::string, std::int64_t>> splits = {{"sft", 160'000}, {"dev", 300}};
    std::map<std::string, double> weights;
    Seconds every{60};
    Target target;
    int low = 0, high = 0;

    void fields(Fields& f) {
        f("name", name, "what it is called");
        f("tied", tied, "one matrix for embedding and head");
        f("layers", layers, "number of blocks", at_least(1));
        f("tokens", tokens, "tokens seen", at_least(0));
        f("rate", rate, "learning rate", above(0));
        f("top_p", top_p, "nucleus", above_up_to(0, 1));
        f("teacher", teacher, "another target");
        f("values", values, "stages to compare");
        f("at", at, "where to read", at_least(0));
        f("splits", splits, "problems per split", at_least(1));
        f("weights", weights, "parts of the reward");
        f("every", every, "time between commits").not_identity();
        f("target", target, "what is learnt");
        f("low", low, "lower end");
        f("high", high, "upper end");
    }
    [[nodiscard]] std::vector<std::string> validate() const {
        if (low <= high) return {};
        return {cat("low ", low, " is above high ", high, " (nothing is between). Swap them.")};
    }
};

struct Input {
    std::string path;
    void fields(Fields& f) { f("path", path, "where the data are").required().not_identity(); }
};

std::vector<std::string> problems_of(const std::string& text) {
    Options options;
    Problems problems;
    parse(parse_yaml(text, "a.yaml"), options, problems, "stages.td");
    std::vector<std::string> result;
    for (const auto& problem : problems) result.push_back(problem.text());
    return result;
}

Options parsed(const std::string& text) {
    Options options;
    Problems problems;
    parse(parse_yaml(text, "a.yaml"), options, problems);
    throw_if_any(problems, "the test");
    return options;
}

using Texts = std::vector<std::string>;

TEST(Options, EveryTypeIsRead) {
    const Options options = parsed(R"(
name: "yes"
tied: false
layers: 12
tokens: 160k
rate: 2e-4
top_p: 0.9
teacher: {lambda: 0}
values: [a, "b[c=1]"]
at: 3
splits: {value: 2500, sft: 1.5M}
weights: {rule: 0.8, value: 0.2}
every: 5m
target: {kind: n_step}
)");
    EXPECT_EQ(options.name, "yes");
    EXPECT_FALSE(options.tied);
    EXPECT_EQ(options.layers, 12);
    EXPECT_EQ(options.tokens, 160'000);
    EXPECT_EQ(options.rate, 2e-4);
    EXPECT_EQ(options.top_p, 0.9);
    EXPECT_EQ(options.teacher.value().lambda, 0);
    EXPECT_EQ(options.teacher.value().kind, Kind::td_lambda);
    EXPECT_EQ(options.values, (Texts{"a", "b[c=1]"}));
    EXPECT_EQ(options.at, std::vector<int>{3});
    EXPECT_EQ(options.splits, (std::vector<std::pair<std::string, std::int64_t>>{{"value", 2500}, {"sft", 1'500'000}}));
    EXPECT_EQ(options.weights.at("value"), 0.2);
    EXPECT_EQ(options.every, Seconds{300});
    EXPECT_EQ(options.target.kind, Kind::n_step);
    EXPECT_EQ(options.target.lambda, 0.8);
}

TEST(Options, IntegersTakeSuffixesOnlyWhereTheyStayWhole) {
    EXPECT_EQ(parsed("tokens: 2M").tokens, 2'000'000);
    EXPECT_EQ(parsed("tokens: 0.3k").tokens, 300);
    EXPECT_EQ(parsed("tokens: 1e6").tokens, 1'000'000);
    EXPECT_EQ(parsed("tokens: 9223372036854775807").tokens, std::numeric_limits<std::int64_t>::max());
    for (const char* bad : {"0.0005k", "1.5", "2m", "k", "", "1e30", "9223372036854775808", "0x10", "nan", "1 2"}) {
        EXPECT_EQ(problems_of(cat("tokens: \"", bad, "\"")),
                  Texts{cat("a.yaml:1: stages.td.tokens: \"", bad, "\" isn't an integer >= 0 (tokens seen).")});
    }
    EXPECT_EQ(problems_of("layers: 3G"),
              Texts{"a.yaml:1: stages.td.layers: \"3G\" isn't an integer >= 1 (number of blocks)."});
}

TEST(Options, DurationsHaveUnits) {
    EXPECT_EQ(parsed("every: 90s").every, Seconds{90});
    EXPECT_EQ(parsed("every: 1.5h").every, Seconds{5400});
    EXPECT_EQ(parsed("every: 2d").every, Seconds{172'800});
    EXPECT_EQ(parsed("every: 0").every, Seconds{0});
    EXPECT_EQ(problems_of("every: 60"),
              Texts{"a.yaml:1: stages.td.every: \"60\" isn't a duration such as 60s, 5m or 1h (time between commits). "
                    "Give a number with a unit (s, m, h, d)."});
    EXPECT_EQ(problems_of("every: -1s"),
              Texts{"a.yaml:1: stages.td.every: \"-1s\" isn't a duration such as 60s, 5m or 1h (time between commits). "
                    "Seconds must be >= 0."});
}

TEST(Options, AllProblemsAreListedAtOnceWithTheirLines) {
    EXPECT_EQ(
        problems_of(R"(layers: 0
rate: fast
target:
  kind: td_lamda
  lamda: 0.5
  lambda: 2
tied: maybe
top_p: 0
name: [a]
values:
at: [0, -1]
splits: {dev: 0}
weights: 1
zzz: 1
)"),
        (Texts{"a.yaml:1: stages.td.layers: \"0\" isn't an integer >= 1 (number of blocks).",
               "a.yaml:2: stages.td.rate: \"fast\" isn't a number > 0 (learning rate).",
               "a.yaml:4: stages.td.target.kind: \"td_lamda\" isn't one of outcome_last, td_lambda, n_step (how the "
               "target is made). Did you mean \"td_lambda\"?",
               "a.yaml:5: stages.td.target.lamda: unknown key. Did you mean \"lambda\"?",
               "a.yaml:6: stages.td.target.lambda: \"2\" isn't a number in [0, 1] (weight of long backups).",
               "a.yaml:7: stages.td.tied: \"maybe\" isn't true or false (one matrix for embedding and head).",
               "a.yaml:8: stages.td.top_p: \"0\" isn't a number in (0, 1] (nucleus).",
               "a.yaml:9: stages.td.name: a list isn't a text (what it is called).",
               "a.yaml:10: stages.td.values: no value isn't a list, each a text (stages to compare).",
               "a.yaml:11: stages.td.at[1]: \"-1\" isn't an integer >= 0 (where to read).",
               "a.yaml:12: stages.td.splits.dev: \"0\" isn't an integer >= 1 (problems per split).",
               "a.yaml:13: stages.td.weights: \"1\" isn't a map, each name with a number (parts of the reward).",
               "a.yaml:14: stages.td.zzz: unknown key. Known are name, tied, layers, tokens, rate, top_p, teacher, "
               "values, at, splits, weights, every, target, low, high."}));
}

TEST(Options, FieldsThatDontGoTogetherAreReported) {
    EXPECT_EQ(problems_of("{low: 3, high: 2}"),
              Texts{"a.yaml:1: stages.td: low 3 is above high 2 (nothing is between). Swap them."});
}

TEST(Options, AMissingRequiredKeyIsReported) {
    Input input;
    Problems problems;
    parse(Yaml{}, input, problems);
    ASSERT_EQ(problems.size(), 1U);
    EXPECT_EQ(problems[0].text(), "path: missing (where the data are). Give a text.");
}

TEST(Options, AValueWithAProblemKeepsItsDefault) {
    Options options;
    Problems problems;
    parse(parse_yaml("{layers: 0, rate: 0.5}", "a.yaml"), options, problems);
    EXPECT_EQ(options.layers, 4);
    EXPECT_EQ(options.rate, 0.5);
}

TEST(Options, TheDumpHoldsEveryDefaultAndParsesBackToTheSame) {
    EXPECT_EQ(dump(Options{}), R"(name: base
tied: true
layers: 4
tokens: 1000000
rate: 0.001
top_p: null
teacher: null
values: []
at: [1]
splits:
  sft: 160000
  dev: 300
weights: {}
every: 1m
target:
  kind: td_lambda
  lambda: 0.8
low: 0
high: 0
)");
    Options changed;
    changed.name = "null";
    changed.rate = 1.0 / 3;
    changed.top_p = 0.1 + 0.2;
    changed.teacher = Target{Kind::n_step, 1e-9};
    changed.values = {"td[lambda=0.8,seed=1]", "run:a b/c", "", "0.50", "# no comment", "quote \" and \\ \n\t\x01"};
    changed.weights = {{"a b", 1}, {"true", -2.5}};
    changed.every = {5400};
    const std::string text = dump(changed);
    const Options again = parsed(text);
    EXPECT_EQ(dump(again), text);
    EXPECT_EQ(again.values, changed.values);
    EXPECT_EQ(again.rate, changed.rate);
    EXPECT_EQ(again.top_p, changed.top_p);
    EXPECT_EQ(again.name, "null");
    EXPECT_EQ(again.weights, changed.weights);
}

TEST(Options, TheIdentityIgnoresOrderSpellingAndWhatIsntPartOfIt) {
    const std::string a = identity(parsed("{layers: 3, rate: 0.10, tokens: 2M, every: 5s}"));
    const std::string b = identity(parsed("{every: 9h, tokens: 2000000, rate: 1e-1, layers: 3}"));
    EXPECT_EQ(a, b);
    EXPECT_EQ(a.find("every"), std::string::npos);
    EXPECT_NE(a, identity(parsed("{layers: 3, rate: 0.1, tokens: 2M, target: {lambda: 0.9}}")));
}

TEST(Options, ExplainTeachesTypeRangeAndDefault) {
    EXPECT_EQ(explain(Options{}, "target.lambda"),
              "target.lambda: a number in [0, 1]; default 0.8\n    weight of long backups");
    EXPECT_EQ(explain(Options{}, "target.kind"),
              "target.kind: one of outcome_last, td_lambda, n_step; default td_lambda\n    how the target is made");
    EXPECT_EQ(
        explain(Options{}, "every"),
        "every: a duration such as 60s, 5m or 1h; default 1m; may change in a finished run\n    time between commits");
    EXPECT_EQ(explain(Options{}, "teacher"),
              "teacher: a map or null; default null\n    another target\n    keys: kind, lambda");
    EXPECT_EQ(explain(Options{}, "teacher.lambda"),
              "teacher.lambda: a number in [0, 1]; default 0.8\n    weight of long backups");
    EXPECT_EQ(explain(Input{}, "path"), "path: a text; required; may change in a finished run\n    where the data are");
    EXPECT_EQ(explain(Target{}, ""),
              "kind: one of outcome_last, td_lambda, n_step; default td_lambda\n    how the target is made\n"
              "lambda: a number in [0, 1]; default 0.8\n    weight of long backups\n");
}

TEST(Durations, AreWrittenInUnitsOrAsSlurmWritesThem) {
    const std::vector<std::pair<std::string, double>> table{
        {"90", 90},          {"0", 0},         {"0s", 0},           {"2h", 7200},           {"90m", 5400},
        {"1.5h", 5400},      {"3h55m", 14100}, {"1d12h", 129600},   {"1h0m5s", 3605},       {"55:30", 3330},
        {"12:00:00", 43200}, {"1-12", 129600}, {"1-12:30", 131400}, {"1-12:00:30", 129630}, {"0.5", 0.5}};
    for (const auto& [text, seconds] : table) {
        const auto read = read_duration(text);
        ASSERT_TRUE(read) << text;
        EXPECT_EQ(read->value, seconds) << text;
    }
}

TEST(Durations, AnythingElseIsNone) {
    for (const char* text : {"",    "h",   "3x",      "3h55",      "55m3h", "1h1h", "-1",     "-",      "1-",  "1-2-3",
                             "12:", ":30", "1:2:3:4", "1-1:2:3:4", "1e3",   "inf",  "1.5:00", "3h 55m", "+3h", "soon"})
        EXPECT_FALSE(read_duration(text)) << text;
}

std::string explain_error(std::string_view key) {
    try {
        return explain(Options{}, key);
    } catch (const ConfigError& error) {
        return error.what();
    }
}

TEST(Options, ExplainSuggestsTheNearestKey) {
    EXPECT_EQ(explain_error("target.lamda"), "there is no option \"target.lamda\". Did you mean \"lambda\"?");
    EXPECT_EQ(explain_error("target.q"), "there is no option \"target.q\". Known are kind, lambda.");
    EXPECT_EQ(explain_error("rate.q"), "there is no option \"rate.q\". rate has no options inside.");
}

}  // namespace
}  // namespace tdrm
