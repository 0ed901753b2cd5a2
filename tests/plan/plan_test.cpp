// Run files that are right: expansion, copying, references, order, selection, text and identity.
#include "tdrm/plan/plan.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "plan_fixture.hpp"
#include "tdrm/base/errors.hpp"

namespace tdrm::plan {
namespace {

constexpr const char* kExperiment = R"(
run:  {dir: runs/countdown, seed: 1}
task: {kind: countdown, numbers: 4}
stages:
  score: {do: evaluate, policies: [base, grpo@best, sum@update-100], problems: test}
  base:  {do: sft, model: {layers: 4}}
  rolls: {do: rollout, policy: base, samples: 8}
  cands: {do: rollout, policy: base, samples: 64}
  td:    {do: value, init: base, data: rolls, target: {kind: td_lambda, lambda: 0.5},
          each: {seed: [1, 2]}}
  orm:   {do: value, init: base, data: rolls, target: {kind: outcome_last}}
  bon:   {do: best_of_n, data: cands, values: ["td[*]", orm], at: [last]}
  grpo:  {do: rl, policy: base, updates: 100, reward: {rule: 1}, advantage: {kind: gae, value: "td[seed=1]"}}
  sum:   {do: rl, like: grpo, advantage: {kind: group, value: null},
          reward: {rule: 0.8, value: {model: "td[seed=2]", weight: 0.2}}}
)";

TEST(Plan, AnExperimentBecomesStagesInOrderOfExecution) {
    const auto [plan, problems] = read(kExperiment);
    EXPECT_EQ(problems, Texts{});
    EXPECT_EQ(names(plan),
              (Texts{"base", "rolls", "cands", "td[seed=1]", "td[seed=2]", "orm", "bon", "grpo", "sum", "score"}));
    EXPECT_EQ(inputs(plan, "bon"),
              (Texts{"data=cands", "values[0]=td[seed=1]", "values[1]=td[seed=2]", "values[2]=orm"}));
    EXPECT_EQ(inputs(plan, "sum"), (Texts{"policy=base", "reward.value.model=td[seed=2]"}));
    EXPECT_EQ(inputs(plan, "score"),
              (Texts{"policies[0]=base", "policies[1]=grpo@best", "policies[2]=sum@update-100"}));
    EXPECT_EQ(options(plan, "bon"), "{data: cands, values: [\"td[seed=1]\", \"td[seed=2]\", orm], at: [last]}");
    for (const auto& stage : plan.stages) {
        for (const int on : stage.depends_on) EXPECT_LT(on, plan.index(stage.name));
        for (const auto& input : stage.inputs) {
            EXPECT_EQ(plan.stages.at(static_cast<std::size_t>(input.stage)).name, input.name);
        }
    }
    const auto& td = plan.stages[4];
    EXPECT_EQ(td.kind, "value");
    EXPECT_EQ(td.seed, 2);
    EXPECT_EQ(td.path, "stages.td");
    EXPECT_EQ(to_line(td.options), "{init: base, data: rolls, target: {kind: td_lambda, lambda: 0.5}}");
    EXPECT_EQ(plan.stages[6].inputs_of("values").size(), 3U);
    EXPECT_EQ(plan.stages[6].inputs_of("value").size(), 0U);
}

TEST(Plan, TheResolvedTextLoadsToTheSamePlan) {
    const auto [plan, problems] = read(kExperiment);
    const std::string text = resolved_text(plan);
    const auto [again, more] = read(text);
    EXPECT_EQ(more, Texts{});
    EXPECT_EQ(resolved_text(again), text);
    EXPECT_EQ(names(again), names(plan));
    EXPECT_NE(text.find("  \"td[seed=2]\":\n    do: value\n    seed: 2\n    init: base\n"), std::string::npos) << text;
    EXPECT_EQ(text.find("like"), std::string::npos);
    EXPECT_EQ(text.find("each"), std::string::npos);
}

TEST(Plan, EachMakesOneStagePerCombinationTheLastKeyFastest) {
    const auto [plan, problems] = read(R"(
stages:
  td: {do: value, each: {target.lambda: [0, 0.80, 1e0], seed: [1, 2]}}
)");
    EXPECT_EQ(problems, Texts{});
    EXPECT_EQ(names(plan), (Texts{"td[lambda=0,seed=1]", "td[lambda=0,seed=2]", "td[lambda=0.8,seed=1]",
                                  "td[lambda=0.8,seed=2]", "td[lambda=1,seed=1]", "td[lambda=1,seed=2]"}));
    EXPECT_EQ(plan.stages[3].seed, 2);
    EXPECT_EQ(options(plan, "td[lambda=0.8,seed=2]"), "{target: {lambda: 0.80}}");
}

TEST(Plan, KeysThatShareTheirLastComponentAreNamedInFull) {
    const auto [plan, problems] =
        read("stages: {a: {do: rl, each: {target.lambda: 1, advantage.lambda: [0, 1], lr: 2}}}");
    EXPECT_EQ(problems, Texts{});
    EXPECT_EQ(names(plan),
              (Texts{"a[target.lambda=1,advantage.lambda=0,lr=2]", "a[target.lambda=1,advantage.lambda=1,lr=2]"}));
}

TEST(Plan, EachMayVaryWhatAStageRefersTo) {
    const auto [plan, problems] = read(R"(
stages:
  base: {do: sft}
  td: {do: value, init: base, each: {seed: [1, 2]}}
  find: {do: search, policy: base, each: {value: ["td[seed=1]", "td[seed=2]"]}}
  all: {do: evaluate, policies: ["find[value=td[seed=2]]"]}
)");
    EXPECT_EQ(problems, Texts{});
    EXPECT_EQ(inputs(plan, "find[value=td[seed=2]]"), (Texts{"policy=base", "value=td[seed=2]"}));
    EXPECT_EQ(inputs(plan, "all"), Texts{"policies[0]=find[value=td[seed=2]]"});
}

TEST(Plan, VariablesOfEachStandWhereverOptionsNameThem) {
    const auto [plan, problems] = read(R"(
stages:
  base: {do: sft}
  rolls: {do: rollout, policy: base, each: {noise: [0, 0.20], seed: [1, 2]}}
  td: {do: value, init: base, data: "rolls[noise=$n,seed=$seed]", seed: $seed, note: "$n of $nine, $n",
       each: {$n: [0, 0.20], $seed: [1, 2]}}
)");
    EXPECT_EQ(problems, Texts{});
    EXPECT_EQ(plan.stages[8].name, "td[n=0.2,seed=2]");
    EXPECT_EQ(plan.stages[8].seed, 2);
    EXPECT_EQ(inputs(plan, "td[n=0.2,seed=2]"), (Texts{"init=base", "data=rolls[noise=0.2,seed=2]"}));
    EXPECT_NE(options(plan, "td[n=0.2,seed=2]").find("0.2 of $nine, 0.2"), std::string::npos);
    EXPECT_EQ(inputs(plan, "td[n=0,seed=1]"), (Texts{"init=base", "data=rolls[noise=0,seed=1]"}));
}

TEST(Plan, LikeCopiesThroughChainsAndOwnKeysWin) {
    const auto [plan, problems] = read(R"(
stages:
  c: {like: b, reward: {value: 0.2}}
  b: {like: a, lr: 2, seed: 7}
  a: {do: rl, lr: 1, reward: {rule: 0.8}, keep: [1, 2]}
)");
    EXPECT_EQ(problems, Texts{});
    EXPECT_EQ(options(plan, "c"), "{lr: 2, reward: {rule: 0.8, value: 0.2}, keep: [1, 2]}");
    EXPECT_EQ(plan.stages[0].seed, 7);
    EXPECT_EQ(plan.stages[0].kind, "rl");
    EXPECT_EQ(plan.stages[2].seed, 1);
}

TEST(Plan, LikeCopiesEachExceptWhereOwnKeysFixIt) {
    const auto [plan, problems] = read(R"(
stages:
  td:   {do: value, each: {target.lambda: [0, 1], seed: [1, 2]}}
  same: {like: td, lr: 3}
  orm:  {like: td, target: {kind: outcome, lambda: 1}}
  wide: {like: td, each: {width: [64, 128]}}
  once: {like: td, each: null}
  one:  {like: "td[lambda=1,seed=2]", lr: 5}
)");
    EXPECT_EQ(problems, Texts{});
    EXPECT_EQ(names(plan),
              (Texts{"td[lambda=0,seed=1]", "td[lambda=0,seed=2]", "td[lambda=1,seed=1]", "td[lambda=1,seed=2]",
                     "same[lambda=0,seed=1]", "same[lambda=0,seed=2]", "same[lambda=1,seed=1]", "same[lambda=1,seed=2]",
                     "orm[seed=1]", "orm[seed=2]", "wide[width=64]", "wide[width=128]", "once", "one"}));
    EXPECT_EQ(options(plan, "same[lambda=1,seed=2]"), "{lr: 3, target: {lambda: 1}}");
    EXPECT_EQ(options(plan, "one"), "{target: {lambda: 1}, lr: 5}");
    EXPECT_EQ(plan.stages.back().seed, 2);
}

TEST(Plan, SettingsComeBeforeLikeAndEachAndReachExpandedStagesToo) {
    const std::string text = R"(
run: {seed: 1}
stages:
  td:  {do: value, lr: 1, each: {target.lambda: [0, 1], seed: [1, 2]}}
  orm: {like: td, target: {kind: outcome}}
)";
    const auto [plan, problems] =
        read(text, {.set = {"stages.td.lr=2", "stages.td.each.target.lambda=[0.5]", "stages.orm.each.seed=[4]",
                            "stages.td[seed=2].lr=9", "stages.td[seed=1].target.kind=n_step", "run.dir=runs/b",
                            "stages.more={do: sft, model: {layers: 2}}", "run.seed=5"}});
    EXPECT_EQ(problems, Texts{});
    EXPECT_EQ(names(plan), (Texts{"td[lambda=0.5,seed=1]", "td[lambda=0.5,seed=2]", "orm[seed=4]", "more"}));
    EXPECT_EQ(options(plan, "td[lambda=0.5,seed=1]"), "{lr: 2, target: {lambda: 0.5, kind: n_step}}");
    EXPECT_EQ(options(plan, "td[lambda=0.5,seed=2]"), "{lr: 9, target: {lambda: 0.5}}");
    EXPECT_EQ(options(plan, "orm[seed=4]"), "{lr: 2, target: {kind: outcome}}");
    EXPECT_EQ(plan.stages.back().seed, 5);
    EXPECT_EQ(to_line(plan.run), "{seed: 5, dir: runs/b}");
}

TEST(Plan, SettingsReachAStageOfAResolvedFile) {
    const std::string text = resolved_text(read(kExperiment).plan);
    const auto [plan, problems] = read(text, {.set = {"stages.td[seed=1].target.lambda=0.9"}});
    EXPECT_EQ(problems, Texts{});
    EXPECT_EQ(options(plan, "td[seed=1]"), "{init: base, data: rolls, target: {kind: td_lambda, lambda: 0.9}}");
    EXPECT_EQ(options(plan, "td[seed=2]"), "{init: base, data: rolls, target: {kind: td_lambda, lambda: 0.5}}");
}

TEST(Plan, EveryFormOfReferenceIsUnderstood) {
    const auto [plan, problems] = read(R"(
stages:
  a: {do: evaluate, policies: ["run:../other run/td[lambda=0.8,seed=1]@update-20", "run:x@y/base", "hf:/models/q@w",
      "file:x.h5", b@last]}
  b: {do: sft}
)");
    EXPECT_EQ(problems, Texts{});
    const auto& all = plan.stages[1].inputs;
    ASSERT_EQ(all.size(), 5U);
    EXPECT_EQ(all[0].source, Reference::Source::run);
    EXPECT_EQ(all[0].path, "../other run");
    EXPECT_EQ(all[0].name, "td[lambda=0.8,seed=1]");
    EXPECT_EQ(all[0].version, "update-20");
    EXPECT_EQ(all[1].path, "x@y");
    EXPECT_EQ(all[1].version, "");
    EXPECT_EQ(all[2].source, Reference::Source::hugging_face);
    EXPECT_EQ(all[2].path, "/models/q@w");
    EXPECT_EQ(all[3].source, Reference::Source::file);
    EXPECT_EQ(all[3].path, "x.h5");
    EXPECT_EQ(all[4].version, "last");
    EXPECT_EQ(plan.stages[1].depends_on, std::vector<int>{0});
}

TEST(Plan, PatternsSelectVariants) {
    const auto inputs_for = [](const std::string& values) {
        const auto [plan, problems] = read(R"(
stages:
  td: {do: value, each: {target.lambda: [0, 0.8], seed: [1, 2]}}
  tx: {do: value}
  bon: {do: best_of_n, values: )" + values +
                                           "}\n");
        EXPECT_EQ(problems, Texts{}) << values;
        return options(plan, "bon");
    };
    const std::string all =
        "{values: [\"td[lambda=0,seed=1]\", \"td[lambda=0,seed=2]\", \"td[lambda=0.8,seed=1]\", "
        "\"td[lambda=0.8,seed=2]\"]}";
    EXPECT_EQ(inputs_for("td"), all);
    EXPECT_EQ(inputs_for("\"td[*]\""), all);
    EXPECT_EQ(inputs_for("[\"td[lambda=*]\", \"td[seed=1]\"]"), all);
    EXPECT_EQ(inputs_for("[\"td[seed=1]\"]"), "{values: [\"td[lambda=0,seed=1]\", \"td[lambda=0.8,seed=1]\"]}");
    EXPECT_EQ(inputs_for("[\"td[seed=2,target.lambda=0.80]\"]"), "{values: [\"td[lambda=0.8,seed=2]\"]}");
    EXPECT_EQ(inputs_for("[\"td[lambda=0]@best\"]"),
              "{values: [\"td[lambda=0,seed=1]@best\", \"td[lambda=0,seed=2]@best\"]}");
    EXPECT_EQ(inputs_for("\"*x\""), "{values: [tx]}");
}

TEST(Plan, APartOfTheParametersMayNameASingleStage) {
    const auto [plan, problems] = read(R"(
stages:
  td: {do: value, each: {lambda: [0, 0.8], seed: [1]}}
  find: {do: search, value: "td[lambda=0.8]"}
)");
    EXPECT_EQ(problems, Texts{});
    EXPECT_EQ(options(plan, "find"), "{value: \"td[lambda=0.8,seed=1]\"}");
}

TEST(Plan, SelectionsFollowDependencies) {
    const auto flags = [](const PlanRequest& request) {
        const auto [plan, problems] = read(kExperiment, request);
        EXPECT_EQ(problems, Texts{});
        Texts result;
        for (const auto& stage : plan.stages) {
            if (stage.selected) result.push_back(stage.redo ? stage.name + "!" : stage.name);
        }
        return result;
    };
    EXPECT_EQ(flags({.only = {"orm", "td[*]"}}), (Texts{"td[seed=1]", "td[seed=2]", "orm"}));
    EXPECT_EQ(flags({.until = {"grpo"}}), (Texts{"base", "rolls", "td[seed=1]", "grpo"}));
    EXPECT_EQ(flags({.only = {"bon"}, .until = {"rolls"}}), (Texts{"base", "rolls", "bon"}));
    EXPECT_EQ(flags({.redo = {"td[seed=2]"}}),
              (Texts{"base", "rolls", "cands", "td[seed=1]", "td[seed=2]!", "orm", "bon!", "grpo", "sum!", "score!"}));
    EXPECT_EQ(flags({.only = {"td", "bon"}, .redo = {"td[seed=2]"}}), (Texts{"td[seed=1]", "td[seed=2]!", "bon!"}));
}

TEST(Plan, IncludedFilesComeFirstAndTheLaterWins) {
    const auto folder = std::filesystem::path(testing::TempDir()) / "tdrm_plan_include";
    std::filesystem::create_directories(folder / "parts");
    std::ofstream(folder / "parts/task.yaml") << "task: {kind: chain, modulus: 10}\nrun: {dir: a, seed: 3}\n";
    std::ofstream(folder / "parts/base.yaml") << "include: task.yaml\nstages: {base: {do: sft, lr: 1}}\n";
    std::ofstream(folder / "run.yaml")
        << "include: [parts/base.yaml]\nrun: {dir: b}\nstages: {base: {lr: 2}, more: {do: sft}}\n";
    Problems problems;
    const Plan plan = load_plan({.file = (folder / "run.yaml").string()}, kKinds, problems);
    EXPECT_EQ(texts(problems), Texts{});
    EXPECT_EQ(to_line(plan.run), "{dir: b, seed: 3}");
    EXPECT_EQ(to_line(plan.task), "{kind: chain, modulus: 10}");
    EXPECT_EQ(names(plan), (Texts{"base", "more"}));
    EXPECT_EQ(options(plan, "base"), "{lr: 2}");
    std::filesystem::remove_all(folder);
}

TEST(Identity, ChangesWithEachPartAndNotWithOrder) {
    const auto id = [](const std::string& options, const std::string& hash, std::int64_t seed = 1) {
        return stage_identity("rl", options, "task", seed, {{"policy", hash}});
    };
    const std::string original = id("lr: 0.1\nupdates: 3\n", "abc");
    EXPECT_EQ(original.size(), 32U);
    EXPECT_EQ(original, id("{lr: 0.1, updates: 3}", "abc"));
    EXPECT_NE(original, id("lr: 0.1\nupdates: 4\n", "abc"));
    EXPECT_NE(original, id("lr: 0.1\nupdates: 3\n", "abd"));
    EXPECT_NE(original, id("lr: 0.1\nupdates: 3\n", "abc", 2));
    EXPECT_NE(original, stage_identity("sft", "lr: 0.1\nupdates: 3\n", "task", 1, {{"policy", "abc"}}));
    EXPECT_NE(original, stage_identity("rl", "lr: 0.1\nupdates: 3\n", "other", 1, {{"policy", "abc"}}));
}

TEST(Identity, DifferingKeysAreNamedWithBothValues) {
    const auto text = [](const std::string& options, const std::string& hash) {
        return identity_text("rl", options, "task", 1, {{"values[0]", hash}});
    };
    EXPECT_EQ(differing_keys(text("{lr: 0.1, a: {b: 1, c: [1]}, old: x}", "abc"),
                             text("{lr: 0.2, a: {b: 1, c: [1, 2]}, new: y}", "abd")),
              (Texts{"options.lr: 0.1 -> 0.2", "options.a.c: [1] -> [1, 2]", "options.new: (none) -> y",
                     "inputs.values[0]: abc -> abd", "options.old: x -> (none)"}));
    EXPECT_EQ(differing_keys(text("{lr: 0.1}", "abc"), text("{lr: 0.1}", "abc")), Texts{});
}

}  // namespace
}  // namespace tdrm::plan
