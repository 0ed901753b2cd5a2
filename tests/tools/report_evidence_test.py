"""Comparisons that a study file fixes: selection of figures, intervals, verdicts, what is refused."""

import json
import shutil
import tempfile
import unittest
from pathlib import Path

import numpy as np
from constructed import make_run

from tdrm_report.errors import NotARun
from tdrm_report.evidence import Evidence, Record, best_arm, compare, effect, holm, labels_of, records_of, verdict, write_study
from tdrm_report.run import load_run


def arms(effect, seeds=4, problems=100, spread=0.05):
    """Records of arms a and b: b is a's figure less `effect`, with noise of seeds and problems in common."""
    rng = np.random.default_rng(3)
    base = rng.random(problems)
    found = []
    for seed in range(seeds):
        shift = rng.normal(0, spread)
        for arm, extra in (("a", effect), ("b", 0.0)):
            figure = base + shift + extra + rng.normal(0, spread, problems)
            found.append(Record("run", "solved", {"stage": "td", "arm": arm, "seed": str(seed)}, figure))
    return Evidence(found, ["seed"])


def comparison(**more):
    return {"name": "a wins", "run": "run", "figure": "solved", "a": {"arm": "a"}, "b": {"arm": "b"}, "smallest": 0.02, **more}


class StudyComparisons(unittest.TestCase):
    def test_names_of_stages_are_labels(self):
        self.assertEqual(labels_of("td[n=p125,lambda=0.5]"), {"stage": "td", "n": "p125", "lambda": "0.5"})
        self.assertEqual(labels_of("find[value=td[seed=2,x=1],seed=1]"), {"stage": "find", "value": "td[seed=2,x=1]", "seed": "1"})
        self.assertEqual(labels_of("orm"), {"stage": "orm"})

    def test_a_difference_is_found_where_there_is_one_and_only_there(self):
        there = compare(arms(0.1), comparison())
        self.assertAlmostEqual(there.estimate, 0.1, delta=0.03)
        self.assertTrue(there.low < there.estimate < there.high)
        self.assertEqual((there.verdict, there.replicates, there.problems), ("better", 4, 100))
        self.assertLess(there.p, 0.01)
        none = compare(arms(0.0), comparison())
        self.assertTrue(none.low < 0 < none.high)
        self.assertNotIn(none.verdict, ("better", "worse"))

    def test_intervals_cover_the_truth_as_often_as_they_say_with_few_replicates_too(self):
        rng = np.random.default_rng(1)
        for replicates, of_replicates in ((3, 1.0), (5, 1.0), (5, 0.0)):
            covered = {False: 0, True: 0}
            for _ in range(400):
                shift = of_replicates * rng.normal(0, 0.05, (replicates, 1)) + rng.normal(0, 0.2, (1, 60))
                a, b = 0.5 + shift + rng.normal(0, 0.02, (replicates, 60)), np.full((replicates, 60), 0.5)
                for as_ratio, none in ((False, 0), (True, 1)):
                    _, low, high, p = effect(a, b, as_ratio)
                    covered[as_ratio] += low <= none <= high
                    self.assertEqual(low <= none <= high, p >= 0.05)
            for share in covered.values():
                self.assertGreaterEqual(share / 400, 0.92, (replicates, of_replicates))

    def test_one_figure_of_one_replicate_decides_nothing(self):
        estimate, low, high, p = effect(np.array([[0.9]]), np.array([[0.4]]), False)
        self.assertEqual((estimate, p), (0.5, 1.0))
        self.assertTrue(np.isnan(low) and np.isnan(high))

    def test_a_ratio_is_of_means_and_problems_unknown_to_one_arm_are_left_out(self):
        rows = {"a": [2.0, np.nan, 4.0, 9.0], "b": [1.0, 5.0, 2.0, np.nan]}
        evidence = Evidence([Record("run", "solved", {"arm": arm}, np.array(row)) for arm, row in rows.items()], ["seed"])
        found = compare(evidence, comparison(**{"as": "ratio"}))
        self.assertEqual((found.estimate, found.low, found.high, found.problems), (2, 2, 2, 2))

    def test_the_best_of_several_arms_is_chosen_on_other_problems_than_it_is_judged_on(self):
        test = {"1": [0.9, 0.0, 0.9, 0.0], "2": [0.1, 1.0, 0.1, 1.0]}
        records = [Record("run", "solved", {"x": x, "by": "test"}, np.array(row)) for x, row in test.items()]
        records += [Record("run", "solved", {"x": x, "by": "dev"}, np.array([float(x)])) for x in test]
        evidence, wanted = Evidence(records, ["seed"]), {"by": "test", "x": [1, 2]}
        where, rest = best_arm(evidence, "run", "solved", wanted, lower_is_better=False)
        self.assertEqual((where["x"], rest), (1, slice(1, None, 2)))
        where, _ = best_arm(evidence, "run", "solved", wanted, lower_is_better=True)
        self.assertEqual(where["x"], 2)
        where, rest = best_arm(evidence, "run", "solved", wanted, lower_is_better=False, chosen_by={"by": "dev"})
        self.assertEqual((where, rest), ({"by": "test", "x": 2}, slice(None)), "by a figure on other problems, where there is one")

    def test_verdicts_weigh_the_interval_against_the_smallest_effect_of_interest(self):
        cases = [((0.03, 0.05), "better"), ((0.01, 0.05), "a little better"), ((-0.01, 0.01), "no effect of interest"),
                 ((-0.05, 0.01), "undecided"), ((-0.05, -0.03), "worse"), ((-0.05, -0.01), "a little worse"),
                 ((0.005, 0.015), "no effect of interest")]
        for (low, high), expected in cases:
            self.assertEqual(verdict(low, high, 0.0, 0.02, False), expected, (low, high))
        self.assertEqual(verdict(0.5, 0.8, 1.0, 0.1, True), "better")
        self.assertEqual(verdict(0.95, 1.05, 1.0, 0.1, True), "no effect of interest")

    def test_holm_lets_stand_what_is_small_enough_in_its_place(self):
        outcome = lambda name, p: type("O", (), {"name": name, "p": p})  # noqa: E731
        self.assertEqual(holm([outcome("a", 0.01), outcome("b", 0.03), outcome("c", 0.02)]), {"a", "c", "b"})
        self.assertEqual(holm([outcome("a", 0.01), outcome("b", 0.03), outcome("c", 0.03)]), {"a"})
        self.assertEqual(holm([outcome("a", 0.04), outcome("b", 0.04)]), set())

    def test_what_fits_no_arm_or_several_is_refused(self):
        evidence = arms(0.1)
        with self.assertRaisesRegex(NotARun, "no figure solved of {'arm': 'c'}"):
            evidence.table("run", "solved", {"arm": "c"})
        with self.assertRaisesRegex(NotARun, "fits several arms"):
            evidence.table("run", "solved", {"stage": "td"})


class StudyFiles(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="tdrm-evidence-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def run_of(self, name):
        values, curves = {}, []
        for x, seed, mse in (("0", "1", 0.1), ("0", "2", 0.12), ("1", "1", 0.2), ("1", "2", 0.22)):
            model = f"td[x={x},seed={seed}]"
            values[model] = {"states": 4, "v_pi": {"estimand": "v_pi", "auc_within": 0.5, "brier": mse, "siblings": {"per_problem": [mse, None, mse, mse]}}}
            curves.append({"method": f"{model} last", "model": model, "at": "last", "points": [], "per_problem": [1, 0, 1, 1 - mse]})
        curves.append({"method": "majority", "points": [], "per_problem": [0, 1, 0, 1]})
        return make_run(self.folder / name, {"bon": {"results": {"curves": curves, "values": values}}})

    def test_every_figure_that_is_known_by_problem_is_found(self):
        found = records_of(load_run(self.run_of("one")))
        self.assertEqual({record.figure for record in found}, {"v_pi/siblings", "v_pi/auc_within", "v_pi/mse", "best of N, last", "majority"})
        self.assertEqual(len(found), 17)
        self.assertEqual(found[0].labels, {"stage": "td", "x": "0", "seed": "1", "by": "bon"})
        siblings = next(record for record in found if record.figure == "v_pi/siblings")
        self.assertTrue(np.isnan(siblings.per_problem[1]))

    def test_learning_curves_are_compared_at_equal_generated_tokens(self):
        tokens = {"rule": [10, 10, 10, 10, 10, 10], "sum": [20, 20, 20, 20, 20, 20]}
        run = make_run(self.folder / "rl", {name: {"metrics": {"completions/tokens": t}, "options": {"inner_epochs": 2, "minibatches": 1}}
                                            for name, t in tokens.items()})
        for name in tokens:
            (run / name / "evals").mkdir()
            for update, right in ((2, [0, 0.5]), (6, [1, 0.5])):
                (run / name / f"evals/update-{update:06}.json").write_text(json.dumps({"update": update, "right": right}))
        found = {(r.figure, r.labels["stage"]): r.per_problem for r in records_of(load_run(run))}
        # Batches of two updates: rule is evaluated behind 10 and 30 tokens, sum behind 20 and 60; both are judged on 30 tokens.
        np.testing.assert_allclose(found["area", "rule"], [20 / 2 / 30, 0.5], atol=1e-3)
        np.testing.assert_allclose(found["area", "sum"], [10 * 0.25 / 2 / 30, 0.5], atol=1e-3)
        np.testing.assert_array_equal(found["last evaluation", "rule"], [1, 0.5])

    def test_a_study_is_written_with_its_tables_and_verdicts(self):
        study = self.folder / "toy.study.yaml"
        study.write_text("""
title: A toy
replicates: [seed]
primary:
  - {name: x matters, run: one, figure: v_pi/siblings, a: {x: 0}, b: {x: 1}, as: ratio, smallest: 0.1, lower_is_better: true}
tables:
  - {title: Error, run: one, figure: v_pi/siblings, times: 100, digits: 1, rows: {stage: [td]}, columns: {x: [0, 1]}}
secondary:
  - {name: choice, run: one, figure: "best of N, last", a: {x: 0}, b: {x: 1}, smallest: 0.02}
""")
        page = write_study(study, [self.run_of("one")], self.folder / "out")
        text = page.read_text()
        self.assertEqual(page.name, "toy.study.md")
        self.assertIn("| td | 11.0 ± 1.4 | 21.0 ± 1.4 |", text)
        self.assertRegex(text, r"x matters: x 0 against x 1 \| 0\.524 \| \[0\.3\d\d, 0\.9\d\d\] \| 0\.04\d\d \| a little better \|")
        self.assertEqual(text, write_study(study, [self.folder / "one"], self.folder / "out").read_text(), "the same draws again")

    def test_a_study_of_other_runs_is_refused(self):
        study = self.folder / "toy.study.yaml"
        study.write_text("title: x\ntables: [{title: t, run: two, figure: solved, rows: {stage: [td]}, columns: {x: [0]}}]")
        with self.assertRaisesRegex(NotARun, "no figure solved"):
            write_study(study, [self.run_of("one")], self.folder)
        study.write_text("title: [")
        with self.assertRaisesRegex(NotARun, "can't be read"):
            write_study(study, [self.folder / "one"], self.folder)


if __name__ == "__main__":
    unittest.main()
