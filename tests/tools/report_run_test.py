"""Reading runs: finished, partial, damaged, none; grouping by configuration; red flags from made-up metrics."""

import tempfile
import unittest
from pathlib import Path

import numpy as np
from constructed import evaluation, make_run

from tdrm_report import DamagedRun, NotARun, load_run
from tdrm_report.arms import baseline_of, collect, head_to_head
from tdrm_report.flags import flags_of
from tdrm_report.run import settings
from tdrm_report.study import shown, study_of, without_seed


class Folder(unittest.TestCase):
    def setUp(self):
        self._folder = tempfile.TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self.addCleanup(self._folder.cleanup)

    def study(self, *runs):
        return study_of([load_run(run) for run in runs])


class Reading(Folder):
    def test_settings_are_read_with_all_keys_above(self):
        found = settings('a:\n  "b: c":\n    d: [1, 2]\n    e[x=0.5]:\n      f: 3\n  g: "x: y"\nh: 1\n')
        self.assertEqual(found, {("a", "b: c", "d"): "[1, 2]", ("a", "b: c", "e[x=0.5]", "f"): "3", ("a", "g"): '"x: y"', ("h",): "1"})

    def test_a_partial_run_says_what_is_done(self):
        path = make_run(self.folder / "r", {"base": {"metrics": {"loss": [2.0, 1.0]}}, "rule": {"record": {"done": False}}, "score": {}})
        run = load_run(path)
        self.assertEqual([stage.state for stage in run.stages.values()], ["done", "unfinished", "missing"])
        np.testing.assert_array_equal(run.stages["base"].metrics["loss"], [2, 1])
        self.assertEqual(collect(self.study(path)), [])

    def test_figures_that_lack_in_a_line_are_nan_and_a_cut_last_line_is_left_out(self):
        path = make_run(self.folder / "r", {"base": {"metrics": {"loss": [2.0, None, 1.0], "eval/pass@1": [0.5]}}})
        with open(path / "base" / "metrics.jsonl", "a") as file:
            file.write('{"update": 4, "lo')
        table = load_run(path).stages["base"].metrics
        np.testing.assert_array_equal(table["update"], [1, 2, 3])
        np.testing.assert_array_equal(table["loss"], [2, np.nan, 1])
        np.testing.assert_array_equal(table["eval/pass@1"], [0.5, np.nan, np.nan])

    def test_references_lead_to_stages_of_this_and_of_other_runs(self):
        other = make_run(self.folder / "other", {"orm": {"options": {"target": "\n    kind: outcome_last"}}})
        run = load_run(make_run(self.folder / "r", {"base": {"metrics": {"loss": [1.0]}}}))
        self.assertEqual(run.stage("base@best").kind, "sft")
        self.assertEqual(run.stage(f"run:{other}/orm").options["target.kind"], "outcome_last")
        self.assertEqual(run.folder("td[lambda=0]@best"), run.path / "td[lambda=0]")
        self.assertIsNone(run.stage("hf:models/a"))
        self.assertEqual(shown(f"run:{other}/orm@best"), "other/orm@best")

    def test_no_run_and_no_folder(self):
        for path in (self.folder, self.folder / "none"):
            with self.assertRaisesRegex(NotARun, "Name the folder"):
                load_run(path)

    def test_damaged_descriptions_are_refused(self):
        path = make_run(self.folder / "r", {"base": {"metrics": {"loss": [1.0]}}})
        (path / "base" / "stage.json").write_text('{"kind": ')
        with self.assertRaisesRegex(DamagedRun, "stage.json can't be read"):
            load_run(path)
        (path / "config.yaml").write_text("stages: [")
        with self.assertRaisesRegex(DamagedRun, "names no stages"):
            load_run(path)

    def test_damaged_lines_and_results_are_left_out_and_named(self):
        path = make_run(self.folder / "r", {"base": {"metrics": {"loss": [1.0, 2.0]}}, "score": {"results": evaluation(base=[1, 0])}})
        lines = (path / "base" / "metrics.jsonl").read_text()
        (path / "base" / "metrics.jsonl").write_text("{]\n" + lines)
        (path / "score" / "results.json").write_text("[")
        study = self.study(path)
        self.assertEqual(len(study.damage), 2)
        self.assertEqual(study.runs[0].stages["base"].metrics, {})
        self.assertEqual(collect(study), [])
        self.assertEqual(sum(flag.severe for flag in flags_of(study)), 2)


class Grouping(Folder):
    def test_runs_that_differ_in_seeds_only_are_repetitions(self):
        stages = {"base": {}, "score": {"results": evaluation(base=[1, 0, 0, 0], rule=[1, 1, 0, 0])}}
        a, b = make_run(self.folder / "a", stages, seed=1), make_run(self.folder / "b", stages, seed=2)
        c = make_run(self.folder / "c", stages, seed=1, more="\n    epochs: 2")
        study = self.study(a, b, c)
        self.assertEqual([[run.name for run in group.runs] for group in study.groups], [["a", "b"], ["c"]])
        arms = collect(study)
        self.assertEqual([(arm.label, len(arm.results)) for arm in arms], [("a: base", 2), ("a: rule", 2), ("c: base", 1), ("c: rule", 1)])

    def test_names_without_seeds(self):
        for name, rest in (("td[lambda=0,seed=2]", "td[lambda=0]"), ("td[seed=2,lambda=0]", "td[lambda=0]"), ("td[seed=2]", "td"),
                           ("td[lambda=0]", "td[lambda=0]"), ("rule[seed=3]@best", "rule@best")):
            self.assertEqual(without_seed(name), rest)

    def test_the_baseline_is_the_policy_that_training_began_with(self):
        path = make_run(self.folder / "r", {"base": {}, "rule": {"options": {"policy": "base"}}, "sum": {"options": {"policy": "base"}},
                                            "score": {"results": evaluation(rule=[1, 1], base=[1, 0], sum=[0, 0])}})
        arms = collect(self.study(path))
        self.assertEqual(baseline_of(arms).name, "base")
        self.assertEqual(baseline_of(arms, "sum").name, "sum")
        self.assertEqual([(a.name, b.name) for a, b in head_to_head(arms)], [("sum", "rule")])


class RedFlags(Folder):
    def found(self, name, metrics, options=None):
        count = len(list(self.folder.iterdir()))
        path = make_run(self.folder / f"r{count}", {name: {"metrics": metrics, "options": options or {}}})
        return " ".join(flag.what for flag in flags_of(self.study(path)))

    CALM = {"reward": [0.2, 0.4], "eval/pass@1": [0.2, 0.4], "entropy": [0.5, 0.3], "frac_reward_zero_std": [0.2, 0.4],
            "clip_ratio/region_mean": [0.0, 0.1], "completions/clipped_ratio": [0.0, 0.01], "rewards/rule/mean": [0.2, 0.4]}

    def test_calm_training_has_none(self):
        self.assertEqual(self.found("rule", self.CALM), "")

    def test_each_rule_of_reinforcement_learning(self):
        for change, words in (({"eval/pass@1": [0.4, 0.2]}, "reward hacking"), ({"rewards/rule/mean": [0.4, 0.2]}, "reward hacking"),
                              ({"entropy": [0.5, 0.04]}, "hardly explores"), ({"frac_reward_zero_std": [0.2, 0.9]}, "no spread"),
                              ({"clip_ratio/region_mean": [0.1, 0.3]}, "were clipped"), ({"loss": [0.1, float("nan")]}, "not finite"),
                              ({"completions/clipped_ratio": [0.0, 0.2]}, "cut for length"),
                              ({"reward": [0.4, 0.2], "rewards/rule/mean": [0.4, 0.2]}, "training harms")):
            self.assertIn(words, self.found("rule", self.CALM | change), change)

    def test_each_rule_of_value_models(self):
        calm = {"loss": [0.7, 0.6, 0.5], "target/interior_share": [0.5, 0.5], "eval/auc": [0.6, 0.7], "eval/log_loss": [0.6, 0.5, 0.5]}
        options = {"target": "\n    kind: td_lambda"}
        self.assertEqual(self.found("td", calm, options), "")
        for change, words in (({"target/interior_share": [0.01, 0.01]}, "bootstrapping is inert"), ({"eval/auc": [0.5, 0.51]}, "no better than a constant"),
                              ({"eval/log_loss": [0.6, 0.5, 0.7]}, "overfitting"), ({"loss": [0.5, 0.7, 0.9]}, "diverged")):
            self.assertIn(words, self.found("td", calm | change, options), change)
        outcome = self.found("orm", calm | {"target/interior_share": [0.0, 0.0]}, {"target": "\n    kind: outcome_last"})
        self.assertEqual(outcome, "")  # outcomes are 0 and 1

    def test_few_problems_and_unfinished_stages(self):
        results = evaluation(base=[1, 0]) | {"problems": 50}
        path = make_run(self.folder / "few", {"base": {}, "score": {"results": results}})
        words = " ".join(flag.what for flag in flags_of(self.study(path)))
        self.assertIn("Evaluated on 50 problems", words)
        self.assertIn("Not finished: base (missing)", words)


if __name__ == "__main__":
    unittest.main()
