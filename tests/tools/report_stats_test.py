"""Figures of tools/report against numbers worked out by hand."""

import itertools
import unittest
from math import comb

import constructed  # noqa: F401  (puts tools/ on the path)
import numpy as np

from tdrm_report.arms import Arm, Result, compare, judge
from tdrm_report.drawing import PlainNumbers
from tdrm_report.stats import (Interval, difference, mean_interval, over_problems_and_seeds, pass_at_k, t_quantile, wilson)


class Statistics(unittest.TestCase):
    def test_pass_at_k_is_the_share_of_draws_with_a_right_answer(self):
        for n, right, k in itertools.product((1, 2, 5, 16), range(17), (1, 2, 4, 16)):
            if right > n:
                continue
            value = float(pass_at_k(n, right, k))
            if k > n:
                self.assertTrue(np.isnan(value))
            else:
                self.assertAlmostEqual(value, 1 - comb(n - right, k) / comb(n, k), places=12)

    def test_mean_interval_by_hand(self):
        # mean 0.5; deviations -0.5, 0, 0, 0.5: variance 0.5 / 3, standard error sqrt(0.5 / 3 / 4) = 0.2041241
        found = mean_interval([0, 0.5, 0.5, 1])
        self.assertAlmostEqual(found.mean, 0.5)
        self.assertAlmostEqual(found.high - 0.5, 1.959963984540054 * 0.2041241452, places=8)

    def test_paired_interval_is_that_of_the_differences(self):
        # Differences 0.25, 0.25, 0, 0.5: mean 0.25, variance 0.125 / 3, standard error 0.1020621; unpaired it would be wider.
        left, right = [0.25, 0.75, 0.5, 1.0], [0.0, 0.5, 0.5, 0.5]
        found = difference([left], [right])
        self.assertAlmostEqual(found.mean, 0.25)
        self.assertAlmostEqual(found.half, 1.959963984540054 * 0.1020620726, places=8)

    def test_students_quantiles_are_those_of_the_tables(self):
        for degrees, quantile in ((1, 12.7062047), (2, 4.3026527), (3, 3.1824463), (10, 2.2281389), (30, 2.0422725), (1e6, 1.9599640)):
            self.assertAlmostEqual(t_quantile(degrees), quantile, places=4)

    def test_seeds_that_agree_leave_the_spread_over_problems(self):
        row = [0, 1, 1, 0, 1, 0, 1, 1]
        one, three = mean_interval(row), over_problems_and_seeds([row, row, row], True)
        self.assertAlmostEqual(three.mean, one.mean)
        # Only the quantile differs: Student's with 7 degrees of freedom instead of the normal one.
        self.assertAlmostEqual(three.half / one.half, t_quantile(7) / 1.959963984540054, places=6)

    def test_seeds_that_differ_widen_the_interval(self):
        # Every problem has the figure of its seed: the spread is between seeds alone. Means 0.2, 0.4: standard error
        # sqrt(0.02 / 2) = 0.1, one degree of freedom.
        found = over_problems_and_seeds([[0.2] * 50, [0.4] * 50], True)
        self.assertAlmostEqual(found.mean, 0.3)
        self.assertAlmostEqual(found.half, 12.7062047 * 0.1, places=4)

    def test_interval_over_seeds_covers_the_truth_as_often_as_it_says(self):
        random = np.random.default_rng(7)
        covered = 0
        for _ in range(400):
            difficulty, training = random.normal(0, 0.3, 100), random.normal(0, 0.05, 4)
            rows = [difficulty + shift + random.normal(0, 0.2, 100) for shift in training]
            found = over_problems_and_seeds(rows, True)
            covered += found.low <= 0 <= found.high
        self.assertGreaterEqual(covered / 400, 0.93)  # 0.95 less three standard errors of 400 trials is 0.917

    def test_wilson_interval_of_ten_in_hundred(self):
        found = wilson(10, 100)
        self.assertAlmostEqual(found.low, 0.0552291, places=6)
        self.assertAlmostEqual(found.high, 0.1743657, places=6)


class Drawing(unittest.TestCase):
    def test_labels_of_an_axis_are_whole_numbers_that_differ(self):
        labels = PlainNumbers().format_ticks
        self.assertEqual(labels([0, 0.5, 1]), ["0.0", "0.5", "1.0"])
        self.assertEqual(labels([0, 50, 100]), ["0", "50", "100"])
        self.assertEqual(labels([0.693141, 0.693142]), ["0.693141", "0.693142"])  # no common offset beside the axis
        self.assertEqual(labels([-1e-7, 0, 1e-7]), ["−1e−07", "0", "1e−07"])  # nor a common factor


class Comparisons(unittest.TestCase):
    @staticmethod
    def arm(*rows, ids=(1, 2, 3, 4), seeds=None):
        results = [Result(seeds[i] if seeds else str(i), mean_interval(row), np.array(row, float), np.array(ids)) for i, row in enumerate(rows)]
        return Arm("arm", "policy", "pass@1", 4, results=results)

    def test_equal_problems_are_compared_in_pairs(self):
        found, how = compare(self.arm([0.25, 0.75, 0.5, 1.0]), self.arm([0.0, 0.5, 0.5, 0.5]))
        self.assertEqual(how, "paired")
        self.assertAlmostEqual(found.half, 1.959963984540054 * 0.1020620726, places=8)

    def test_other_problems_are_not_compared_in_pairs(self):
        left, right = self.arm([0.25, 0.75, 0.5, 1.0]), self.arm([0.0, 0.5, 0.5, 0.5], ids=(1, 2, 3, 5))
        found, how = compare(left, right)
        self.assertEqual(how, "independent")
        self.assertAlmostEqual(found.half, np.hypot(left.summary.half, right.summary.half))

    def test_pairs_are_made_of_equal_seeds(self):
        left = self.arm([1, 1, 0, 0], [1, 0, 0, 0], seeds=["a", "b"])
        right = self.arm([1, 0, 0, 0], [1, 1, 0, 0], seeds=["b", "a"])
        found, how = compare(left, right)
        self.assertEqual((how, found.mean, found.low, found.high), ("paired", 0, 0, 0))

    def test_a_difference_counts_when_its_interval_excludes_zero(self):
        self.assertEqual(judge(Interval(0.1, 0.01, 0.19)), "better")
        self.assertEqual(judge(Interval(-0.1, -0.19, -0.01)), "worse")
        self.assertEqual(judge(Interval(0.1, -0.01, 0.21)), "no clear difference")
        self.assertEqual(judge(Interval(0.1, float("nan"), float("nan"))), "no clear difference")


if __name__ == "__main__":
    unittest.main()
