// Run files that are wrong: each kind of mistake with its exact message.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "plan_fixture.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::plan {
namespace {

/// The only problem of a file whose stages are given, one a line, from line 2 on.
std::string problem_of(const std::string& stages, const PlanRequest& request = {}) {
    const Texts problems = read("stages:\n" + stages, request).problems;
    return problems.size() == 1 ? problems[0]
                                : cat(problems.size(), " problems: ", problems.empty() ? "" : problems.back());
}

TEST(PlanProblems, AllOfAFileAreListedAtOnce) {
    Problems problems;
    const std::string text = R"(run: {seed: -1}
tasks: {kind: chain}
stages:
  base: {do: sfd}
  rolls: {do: rollout, policy: bse}
  td: {do: value, init: base@bst, data: [rolls], each: {seed: []}}
  odd name: {do: sft}
  nothing: 3
)";
    (void)make_plan(parse_yaml(text, "a.yaml"), {.set = {"stages.tx.lr=1"}, .only = {"tdd"}}, kKinds, problems);
    try {
        throw_if_any(problems, "a.yaml");
        FAIL();
    } catch (const ConfigError& error) {
        EXPECT_EQ(error.code(), ExitCode::usage);
        EXPECT_EQ(std::string(error.what()), R"(a.yaml has 11 problems:
  --set stages.tx.lr=1: there is no stage "tx". Did you mean "td"?
  a.yaml:2: tasks: unknown key. Did you mean "task"?
  a.yaml:1: run.seed: "-1" isn't an integer >= 0 (key of all random numbers).
  a.yaml:6: stages.td.each.seed: there are no values (no stage would be left). Give some, or remove the key.
  a.yaml:7: stages.odd name: this can't name a stage (a name is a folder and a word in references: letters, digits, "_", "-", "."; a letter first). Take another.
  a.yaml:8: stages.nothing: a stage is a map of options. Write NAME: {do: KIND, ...}.
  a.yaml:4: stages.base.do: there is no stage kind "sfd". Did you mean "sft"?
  a.yaml:8: stages.nothing.do: missing (what the stage does). Give one of best_of_n, evaluate, rl, rollout, search, sft, value.
  a.yaml:5: stages.rolls.policy: there is no stage "bse". Did you mean "base"?
  a.yaml:6: stages.td.init: there is no version "bst" (after @). Did you mean "best"?
  --only tdd: there is no stage "tdd". Did you mean "td"?)");
    }
}

TEST(PlanProblems, VariantsReportAMistakeOnce) {
    Problems problems;
    (void)make_plan(parse_yaml("stages: {a: {do: rollout, policy: x, each: {seed: [1, 2]}}}", "a.yaml"), {}, kKinds,
                    problems);
    EXPECT_EQ(problems.size(), 2U);
    try {
        throw_if_any(problems, "a.yaml");
        FAIL();
    } catch (const ConfigError& error) {
        EXPECT_EQ(std::string(error.what()),
                  "a.yaml has 1 problem:\n  a.yaml:1: stages.a.policy: there is no stage \"x\". Known are a.");
    }
}

TEST(PlanProblems, AFileWithoutStages) {
    EXPECT_EQ(read("run: {seed: 1}").problems,
              Texts{"a.yaml:1: stages: there are no stages (nothing to do). Write stages: {NAME: {do: KIND}}."});
    EXPECT_EQ(read("stages: [a]").problems.front(), "a.yaml:1: stages: it isn't a map of options.");
}

TEST(PlanProblems, ReferencesToNothing) {
    EXPECT_EQ(problem_of("  a: {do: rollout, policy: base}\n  bas: {do: sft}\n"),
              "a.yaml:2: stages.a.policy: there is no stage \"base\". Did you mean \"bas\"?");
    EXPECT_EQ(problem_of("  td: {do: value, each: {seed: [1, 2]}}\n  b: {do: search, value: \"td[seed=3]\"}\n"),
              "a.yaml:3: stages.b.value: there is no stage \"td[seed=3]\". Did you mean \"td[seed=1]\"?");
    EXPECT_EQ(problem_of("  a: {do: best_of_n, values: [b, \"q*\"]}\n  b: {do: sft}\n"),
              "a.yaml:2: stages.a.values: there is no stage \"q*\". Known are a, b.");
    EXPECT_EQ(
        problem_of("  a: {do: rollout, policy: s3:base}\n"),
        "a.yaml:2: stages.a.policy: \"s3:base\" is no reference. References are NAME, NAME@best, run:DIR/NAME, hf:DIR "
        "and file:PATH.");
    EXPECT_EQ(problem_of("  a: {do: rollout, policy: run:base}\n"),
              "a.yaml:2: stages.a.policy: \"run:base\" names no stage of a run. Write run:DIR/NAME.");
    EXPECT_EQ(problem_of("  a: {do: rollout, policy: \"hf:\"}\n"),
              "a.yaml:2: stages.a.policy: \"hf:\" names no path. Write it after the colon.");
    EXPECT_EQ(problem_of("  a: {do: rollout, policy: b@update-x}\n  b: {do: sft}\n"),
              "a.yaml:2: stages.a.policy: there is no version \"update-x\" (after @). Did you mean \"update-100\"?");
    EXPECT_EQ(problem_of("  a: {do: rollout, policy: \"run:x/b@\"}\n"),
              "a.yaml:2: stages.a.policy: there is no version \"\" (after @). Known are last, best, update-100.");
}

TEST(PlanProblems, SeveralStagesWhereOneIsWanted) {
    EXPECT_EQ(
        problem_of(
            "  td: {do: value, each: {lambda: [0, 1], seed: [1, 2]}}\n  b: {do: search, value: \"td[seed=1]\"}\n"),
        "a.yaml:3: stages.b.value: \"td[seed=1]\" are 2 stages (only one can be used here). Name one: "
        "td[lambda=0,seed=1], td[lambda=1,seed=1].");
    EXPECT_EQ(
        problem_of("  td: {do: value, each: {seed: [1, 2, 3, 4]}}\n  b: {do: search, value: td}\n"),
        "a.yaml:3: stages.b.value: \"td\" are 4 stages (only one can be used here). Name one: td[seed=1], td[seed=2], "
        "td[seed=3], ...");
}

TEST(PlanProblems, Circles) {
    EXPECT_EQ(
        problem_of("  a: {do: rollout, policy: c}\n  b: {do: rollout, policy: a}\n  c: {do: rollout, policy: b}\n"),
        "stages: a -> c -> b -> a wait for each other (none can be first). Remove one of the references.");
    EXPECT_EQ(problem_of("  a: {do: rollout, policy: a}\n"),
              "a.yaml:2: stages.a.policy: the stage refers to itself (it would have to be done before it starts). Name "
              "another.");
    EXPECT_EQ(
        problem_of("  td: {do: evaluate, policies: [\"td[seed=1]\"], each: {seed: [1]}}\n"),
        "a.yaml:2: stages.td.policies: the stage refers to itself (it would have to be done before it starts). Name "
        "another.");
    EXPECT_EQ(problem_of("  x: {do: sft}\n  a: {do: sft, like: b}\n  b: {do: sft, like: c}\n  c: {do: sft, like: b}\n"),
              "a.yaml:5: stages.c.like: b -> c -> b copy each other (none has options of its own). Remove one like.");
    EXPECT_EQ(problem_of("  td: {do: sft, like: \"td[seed=1]\", each: {seed: [1]}}\n"),
              "a.yaml:2: stages.td.like: td -> td copy each other (none has options of its own). Remove one like.");
}

TEST(PlanProblems, LikeOfNothing) {
    EXPECT_EQ(problem_of("  base: {do: sft}\n  a: {do: sft, like: bsae}\n"),
              "a.yaml:3: stages.a.like: there is no stage \"bsae\". Did you mean \"base\"?");
    EXPECT_EQ(problem_of("  td: {do: sft, each: {l: [0, 1], seed: [1]}}\n  a: {like: \"td[seed=1]\"}\n"),
              "2 problems: a.yaml:3: stages.a.do: missing (what the stage does). Give one of best_of_n, evaluate, rl, "
              "rollout, search, sft, value.");
    EXPECT_EQ(problem_of("  td: {do: sft, each: {l: [0, 1], seed: [1]}}\n  a: {do: sft, like: \"td[seed=1]\"}\n"),
              "a.yaml:3: stages.a.like: \"td[seed=1]\" are 2 stages (only one can be copied). Name one.");
}

TEST(PlanProblems, WrongEach) {
    EXPECT_EQ(problem_of("  a: {do: sft, each: [1]}\n"),
              "a.yaml:2: stages.a.each: it isn't a map. Write each: {KEY: [VALUES], ...}.");
    EXPECT_EQ(problem_of("  a: {do: sft, each: {lr: [0.5, 0.50]}}\n"),
              "a.yaml:2: stages.a.each.lr: 0.5 is there twice (two stages would have one name). Remove one.");
    EXPECT_EQ(
        problem_of("  a: {do: sft, each: {lr: [[1]]}}\n"),
        "a.yaml:2: stages.a.each.lr: a list or map can't vary (values become part of the stage's name, a folder). "
        "Write another stage with like.");
    EXPECT_EQ(
        problem_of("  a: {do: rollout, each: {policy: [\"hf:a/b\"]}}\n"),
        "a.yaml:2: stages.a.each.policy: \"hf:a/b\" can't vary (values become part of the stage's name, a folder). "
        "Write another stage with like.");
    EXPECT_EQ(problem_of("  a: {do: sft, data: $ab, each: {$a: [1, 2]}}\n"),
              "a.yaml:2: stages.a.each.$a: no option of the stage names it (all its values would give the same stage). "
              "Write $a where its value belongs, or remove it.");
    EXPECT_EQ(problem_of("  a: {do: sft, each: {like: [b]}}\n"),
              "a.yaml:2: stages.a.each.like: \"like\" can't vary. Write another stage.");
    EXPECT_EQ(
        problem_of("  a: {do: sft, target: {lambda: 1}, each: {target.lambda: [0, 1]}}\n"),
        "a.yaml:2: stages.a.target.lambda: it is both set and varied by each (one would be ignored). Remove one, or "
        "set stages.a.each.target.lambda.");
    EXPECT_EQ(problem_of("  \"a[x=1]\": {do: sft, each: {lr: [0, 1]}}\n"),
              "a.yaml:2: stages.a[x=1].each: a stage with parameters in its name can't vary. Remove one of the two.");
    EXPECT_EQ(problem_of("  a: {do: sft, each: {x: [0, 1]}}\n  \"a[x=1]\": {do: sft}\n"),
              "a.yaml:3: stages.a[x=1]: another stage has this name (they would share a folder). Rename one.");
    std::string hundred = "0";
    for (int i = 1; i < 101; ++i) hundred += cat(", ", i);
    EXPECT_EQ(problem_of(cat("  b: {do: sft}\n  a: {do: sft, each: {x: [", hundred, "], y: [", hundred, "]}}\n")),
              "a.yaml:3: stages.a.each: more than 10000 stages. Vary less.");
}

TEST(PlanProblems, NamesThatCantBeFolders) {
    EXPECT_EQ(problem_of("  report: {do: sft}\n"),
              "a.yaml:2: stages.report: \"report\" is the folder of the report. Take another name.");
    for (const char* name : {"../a", "a b", "1a", "a@b", "a:b", "a*", "[x=1]", "a[x]", "a[x=1/2]", "-a"}) {
        EXPECT_NE(problem_of(cat("  b: {do: sft}\n  \"", name, "\": {do: sft}\n")).find("this can't name a stage"),
                  std::string::npos)
            << name;
    }
    EXPECT_EQ(problem_of(cat("  ", std::string(201, 'a'), ": {do: sft}\n")),
              cat("a.yaml:2: stages.", std::string(201, 'a'),
                  ": the name is longer than 200 characters (it names a folder). Shorten it, or vary less."));
}

TEST(PlanProblems, WrongSettings) {
    const std::string stages = "  td: {do: value, each: {lambda: [0, 1]}}\n";
    const auto set = [&](const std::string& text) { return problem_of(stages, {.set = {text}}); };
    EXPECT_EQ(set("run.seed"), "--set run.seed: this isn't KEY=VALUE. Write run.seed=2, for example.");
    EXPECT_EQ(set("=2"), "--set =2: this isn't KEY=VALUE. Write run.seed=2, for example.");
    EXPECT_EQ(set("run.seed=[1"), "--set run.seed=[1:1: broken YAML (end of sequence flow not found).");
    EXPECT_EQ(set("stage.td.lr=1"), "--set: stage: unknown key. Did you mean \"stages\"?");
    EXPECT_EQ(set("stages.dt.lr=1"), "--set stages.dt.lr=1: there is no stage \"dt\". Did you mean \"td\"?");
    EXPECT_EQ(set("stages=1"), "--set stages=1: this would replace all stages. Name one: stages.NAME.KEY=VALUE.");
    EXPECT_EQ(set("stages.td[lambda=2].lr=1"),
              "--set stages.td[lambda=2].lr=1: there is no stage \"td[lambda=2]\". Did you mean \"td[lambda=0]\"?");
    EXPECT_EQ(set("stages.td.lambda=0.5"),
              "--set: stages.td.lambda: it is both set and varied by each (one would be ignored). Remove one, or set "
              "stages.td.each.lambda.");
    EXPECT_EQ(set("stages.td.seed=x"),
              "2 problems: --set: stages.td.seed: \"x\" isn't an integer >= 0 (key of all random numbers).");
}

TEST(PlanProblems, WrongSelections) {
    const std::string stages = "  base: {do: sft}\n  more: {do: sft}\n";
    EXPECT_EQ(problem_of(stages, {.until = {"bse"}}), "--until bse: there is no stage \"bse\". Did you mean \"base\"?");
    EXPECT_EQ(problem_of(stages, {.redo = {"moore"}}),
              "--redo moore: there is no stage \"moore\". Did you mean \"more\"?");
    EXPECT_EQ(problem_of(stages, {.only = {"base"}, .redo = {"more"}}),
              "--redo more: the stage isn't selected by --only or --until (nothing would happen). Add it there.");
}

TEST(PlanProblems, FilesThatAreMissingBrokenOrIncludeThemselves) {
    const auto folder = std::filesystem::path(testing::TempDir()) / "tdrm_plan_problems";
    std::filesystem::create_directories(folder);
    const auto file = [&](const char* name) { return (folder / name).string(); };
    std::ofstream(file("run.yaml"))
        << "stages: {a: {do: sft}}\ninclude:\n  - none.yaml\n  - broken.yaml\n  - loop.yaml\n  - list.yaml\n";
    std::ofstream(file("broken.yaml")) << "a: [1\n";
    std::ofstream(file("list.yaml")) << "[1, 2]\n";
    std::ofstream(file("loop.yaml")) << "include: run.yaml\n";
    const auto problems_of = [](const std::string& path) {
        Problems problems;
        (void)load_plan({.file = path}, kKinds, problems);
        return texts(problems);
    };
    EXPECT_EQ(
        problems_of(file("run.yaml")),
        (Texts{
            cat(file("run.yaml"), ":3: can't read ", file("none.yaml"), ": No such file or directory. Check the path."),
            cat(file("run.yaml"), ":4: ", file("broken.yaml"), ":2: broken YAML (end of sequence flow not found)."),
            cat(file("loop.yaml"), ":1: include: ", file("run.yaml"),
                " includes itself (nothing is first). Remove one "
                "include."),
            cat(file("list.yaml"), ": the file isn't a map (a run file holds run, task and stages). See configs/.")}));
    EXPECT_EQ(problems_of(file("none.yaml")),
              Texts{cat("can't read ", file("none.yaml"), ": No such file or directory. Check the path.")});
    EXPECT_EQ(problems_of(folder.string()),
              Texts{cat("can't read ", folder.string(), ": it is a folder. Check the path.")});
    std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace tdrm::plan
