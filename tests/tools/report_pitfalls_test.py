"""Common mistakes of comparisons at test time are raised where files show them, and not where they don't."""

import tempfile
import unittest
from pathlib import Path

from constructed import curve, evaluation, make_answers, make_run, search, selection

from tdrm_report.arms import collect
from tdrm_report.methods import comparisons
from tdrm_report.pitfalls import of_comparisons
from tdrm_report.run import load_run
from tdrm_report.study import study_of

MAJORITY = curve([0.2, 0.3, 0.4, 0.5], method="majority")
LIMIT = curve([0.2, 0.5, 0.7, 0.9], method="pass@N")
OURS = curve([0.2, 0.4, 0.6, 0.8], "td")
ANSWERS = [[1, 0, 1, 0]] * 4


class Made(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def make(self, name, stages=None, curves=(MAJORITY, LIMIT, OURS), seed=1, **answers):
        """A run without any mistake but that of one seed, and then other stages, curves and answers."""
        calm = {"base": {"options": {"problems": "sft"}}, "rolls": {}, "cands": {}, "td": {"options": {"data": "rolls"}},
                "bon": {"results": selection(*curves, values=["td"])}, "greedy": {"results": search(0.5)},
                "score": {"results": evaluation(base=[0.5] * 4)}}
        path = make_run(self.folder / name, calm | (stages or {}), seed=seed)
        folders = {"rolls": {"split": "value", "ids": [11, 12, 13, 14]}, "cands": {}, "greedy": {}, "score/base": {}}
        for folder, how in folders.items():
            make_answers(path / folder, ANSWERS, **how | answers.get(folder.replace("/", "_"), {}))
        return path


class Pitfalls(Made):
    def flags(self, *runs, baseline=None):
        study = study_of([load_run(run) for run in runs])
        self.assertEqual(study.damage, [])
        return of_comparisons(study, collect(study), baseline)

    def found(self, *arguments, baseline=None, **more):
        path = self.make(f"run{len(list(self.folder.iterdir()))}", *arguments, **more)
        return " ".join(flag.what for flag in self.flags(path, baseline=baseline) if not flag.what.startswith("One seed"))

    def test_a_comparison_without_mistakes_has_no_flags(self):
        self.assertEqual(self.found(), "")

    def test_one_seed_is_no_repetition(self):
        first, second = self.make("first"), self.make("second", seed=2)
        self.assertEqual([flag.what.split(" (")[0] for flag in self.flags(first)], ["One seed"])
        self.assertEqual(self.flags(first, second), [])

    def test_value_models_trained_on_the_problems_that_they_judge(self):
        path = self.make("memory", rolls={"ids": [0, 1, 12, 13], "split": "all"})
        memory = [flag for flag in self.flags(path) if "those of memory" in flag.what]
        self.assertEqual({flag.where for flag in memory}, {"bon/td", "greedy/td"})
        self.assertTrue(all(flag.severe for flag in memory))
        self.assertIn("2 of the 4 problems", memory[0].what)

    def test_policies_trained_or_picked_on_the_split_that_they_answer(self):
        results = evaluation(**{"base": [0.5] * 4, "rule@best": [0.5] * 4})
        rule = lambda problems, chosen: {"rule": {"options": {"problems": problems}, "config": f"\n    eval:\n      problems: {chosen}"},
                                         "score": {"results": results}}
        self.assertEqual(self.found(rule("rl", "dev")), "")
        self.assertIn("The policy was trained on the split test", self.found(rule("test", "dev")))
        self.assertIn("Its update was chosen on the split test", self.found(rule("rl", "test")))

    def test_searches_wider_than_their_value_model_is_good(self):
        self.assertIn("can tell apart about 5", self.found({"greedy": {"results": search(0.5, width=8, critical=5.0)}}))

    def test_votes_over_few_orderings(self):
        for sampling, raised in ((0.004, False), (0.03, True)):
            votes = curve([0.2, 0.3, 0.4, 0.5], method="majority")
            votes["points"][1]["sampling"] = sampling
            self.assertEqual("one ordering" in self.found(curves=(votes, LIMIT, OURS)), raised)

    def test_places_that_are_better_on_these_problems_alone(self):
        worse, better = curve([0.2, 0.4, 0.6, 0.7], "td", "minimum"), curve([0.2, 0.4, 0.6, 0.85], "td", "minimum")
        self.assertEqual(self.found(curves=(MAJORITY, LIMIT, OURS, worse)), "")
        self.assertIn("Chosen by minimum its answers are 5.0 points better than by last", self.found(curves=(MAJORITY, LIMIT, OURS, better)))
        for ids, raised in (([0, 1, 2, 3], True), ([21, 22, 23, 24], False)):  # another stage says so, of the same or of other problems
            curves = (MAJORITY, LIMIT, OURS, better)
            path = self.make(f"dev{raised}", {"dev": {"results": selection(*curves, data="pilot")}}, curves)
            make_answers(path / "pilot", ANSWERS, ids=ids, split="dev")
            self.assertEqual(any("minimum" in flag.what and flag.where == "bon/td" for flag in self.flags(path)), raised)

    def test_costs_that_nobody_knows(self):
        free = curve([0.2, 0.4, 0.6, 0.8], "td")
        for point in free["points"]:
            del point["flops"]
        self.assertIn("What the best of N by td, last costs in FLOP isn't known", self.found(curves=(MAJORITY, LIMIT, free)))

    def test_a_lead_at_equal_n_that_is_lost_at_equal_compute(self):
        # The vote's compute, 80 FLOP, pays for two candidates of 40.
        dear = curve([0.2, 0.25, 0.35, 0.6], "td", cost=4.0)
        self.assertIn("At N = 8 the best of N by td, last is ahead of the majority vote (60.0 % against 50.0 %), at the vote's compute it has 25.0 %",
                      self.found(curves=(MAJORITY, LIMIT, dear)))
        self.assertEqual(self.found(curves=(MAJORITY, LIMIT, curve([0.2, 0.25, 0.55, 0.6], "td"))), "")

    def test_lines_that_bend_down(self):
        self.assertIn("falls from 60.0 % at N = 4 to 40.0 % at N = 8", self.found(curves=(MAJORITY, LIMIT, curve([0.2, 0.4, 0.6, 0.4], "td"))))
        self.assertEqual(self.found(curves=(MAJORITY, LIMIT, curve([0.2, 0.4, 0.6, 0.59], "td"))), "")

    def test_a_ceiling_is_no_baseline(self):
        self.assertIn("is a limit, no method", self.found(baseline="pass@8"))
        self.assertEqual(self.found(baseline="majority of 8"), "")

    def test_a_baseline_of_another_sampler(self):
        found = self.found(score_base={"temperature": 0.5})
        self.assertIn("The baseline base was drawn with temperature 0.5 instead of 1 of", found)

    def test_answers_cut_for_length_by_some_methods_only(self):
        self.assertIn("25 % of the answers behind greedy search by td, 8 branches were cut for length, 0 % of those behind",
                      self.found(greedy={"cut": 4}))
        everywhere = {folder: {"cut": 4} for folder in ("cands", "greedy", "score_base")}
        self.assertEqual(self.found(**everywhere), "")


class Methods(Made):
    def comparison(self, path):
        (found,) = comparisons(study_of([load_run(path)])).values()
        return found

    def test_points_say_what_they_cost_a_problem(self):
        methods = self.comparison(self.make("run")).methods
        point = dict(methods["best of N by td, last"].curve())[4]
        self.assertEqual((point.answers, point.generated, point.scored, point.policy_flop, point.flop), (4, 40, 40, 40, 80))
        ((stage, point),) = methods["greedy search by td"].curve()
        self.assertEqual((stage, point.answers, point.flop, point.policy_flop), ("greedy", 8, 160, 80))

    def test_accuracy_at_a_compute_lies_between_points_by_its_logarithm(self):
        ours = self.comparison(self.make("run")).methods["best of N by td, last"]
        self.assertAlmostEqual(ours.accuracy_at(40), 0.4)
        self.assertAlmostEqual(ours.accuracy_at(40 * 2**0.5), 0.5)
        self.assertAlmostEqual(ours.accuracy_at(160), 0.8)
        self.assertIsNone(ours.accuracy_at(10))
        self.assertIsNone(ours.accuracy_at(200))

    def test_votes_and_other_places_are_methods_of_their_own(self):
        more = (curve([0.3] * 4, "td", vote="log_odds"), curve([0.4] * 4, "td", "minimum"), curve([0.5] * 4, "td", "minimum", "log_odds"))
        path = self.make("run", curves=(MAJORITY, LIMIT, OURS, *more))
        methods = self.comparison(path).methods
        self.assertEqual({label: method.planned for label, method in methods.items() if method.place},
                         {"best of N by td, last": True, "log-odds vote by td, last": True, "best of N by td, minimum": False,
                          "log-odds vote by td, minimum": False})
        arms = {arm.name: arm for arm in collect(study_of([load_run(path)]))}
        self.assertEqual({name for name in arms if "td" in name},
                         {"best of 8 by td, last", "log-odds vote of 8 by td, last", "greedy search by td, 8 branches"})
        self.assertTrue(all(len(arm.results) == 1 for arm in arms.values()))

    def test_searches_of_other_problems_stand_apart(self):
        found = comparisons(study_of([load_run(self.make("run", greedy={"ids": [5, 6, 7, 8]}))]))
        self.assertEqual(set(found), {"bon", "search"})
        self.assertEqual(list(found["search"].methods), ["greedy search by td"])

    def test_the_floor_is_greedy_decoding_where_there_is_one(self):
        self.assertEqual(list(self.comparison(self.make("drawn")).floor), ["pass@1 of base among the candidates (the run has no greedy decoding)"])
        path = self.make("greedy", {"floor": {"results": evaluation(base=[1, 0, 0, 0])}})
        make_answers(path / "floor" / "base", [[1], [0], [0], [0]], temperature=0.0)
        ((label, (entry,)),) = self.comparison(path).floor.items()
        self.assertEqual((label, entry["mean"]), ("greedy decoding by base", 0.25))

    def test_searches_that_differ_in_their_answer_are_no_repetitions(self):
        path = self.make("run", {"greedy[answer=vote]": {"results": search(0.6, answer="vote")}})
        make_answers(path / "greedy[answer=vote]", ANSWERS)
        self.assertLessEqual({"greedy search by td", "greedy search by td, vote"}, set(self.comparison(path).methods))
        names = {arm.name: len(arm.results) for arm in collect(study_of([load_run(path)]))}
        self.assertEqual((names["greedy search by td, 8 branches"], names["greedy search by td, 8 branches, vote"]), (1, 1))


if __name__ == "__main__":
    unittest.main()
