"""A majority vote that acts as a verifier is named as such; a value model is held against a constant."""

import tempfile
import unittest
from pathlib import Path

from constructed import ROOT, evaluation, make_run  # noqa: F401

from tdrm_report.arms import Arm
from tdrm_report.flags import of_selection
from tdrm_report.run import load_run
from tdrm_report.stats import Interval, mean_interval
from tdrm_report.verdict import headline, votes_like_an_oracle


def selection(majority, limit, brier):
    curve = lambda method, mean: {"method": method, "points": [{"n": 1, "mean": 0.2}, {"n": 8, "mean": mean}]}
    bins = [{"low": 0.2, "high": 0.3, "count": 100, "prediction": 0.3, "truth": 0.3}]
    return {"kind": "best_of_n", "problems": 500, "curves": [curve("majority", majority), curve("pass@N", limit)],
            "values": {"td": {"outcome": {"auc": 0.7, "brier": brier, "bins": bins}}}}


def flags(results):
    with tempfile.TemporaryDirectory() as folder:
        run = load_run(make_run(Path(folder) / "run", {"bon": {"results": results}}))
        return [flag.what for flag in of_selection(run.stages["bon"])]


def row(family, mean, base=False):
    arm = Arm(f"{family} arm", family, "accuracy", 8)
    return arm, mean_interval([mean, mean]), None if base else Interval(mean - 0.2, mean - 0.21, mean - 0.19), "paired"


class Votes(unittest.TestCase):
    def test_a_vote_that_reaches_the_limit_is_flagged(self):
        self.assertIn("voting verifies", " ".join(flags(selection(0.9, 0.9, 0.1))))
        self.assertEqual(flags(selection(0.5, 0.9, 0.1)), [])

    def test_a_brier_score_near_that_of_the_constant_is_flagged(self):
        # always saying 0.3 has 0.3 * 0.7 = 0.21
        self.assertIn("always saying 0.300 has 0.2100", " ".join(flags(selection(0.5, 0.9, 0.2099))))
        self.assertEqual(flags(selection(0.5, 0.9, 0.20)), [])

    def test_the_headline_doesnt_let_a_verifying_vote_win(self):
        rows = [row("policy", 0.2, base=True), row("majority", 0.9), row("best_of_n", 0.4), row("oracle", 0.9)]
        self.assertEqual([found[0].family for found in votes_like_an_oracle(rows)], ["majority"])
        self.assertIn("solved by best_of_n arm", headline(rows)[0])
        self.assertIn("voting verifies", " ".join(headline(rows)))
        rows = [row("policy", 0.2, base=True), row("majority", 0.6), row("best_of_n", 0.4), row("oracle", 0.9)]
        self.assertEqual(votes_like_an_oracle(rows), [])
        self.assertIn("solved by majority arm", headline(rows)[0])


if __name__ == "__main__":
    unittest.main()
