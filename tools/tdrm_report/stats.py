"""95 % intervals, paired differences, pass@k. The same formulas as src/eval, plus seeds."""

import math
from dataclasses import dataclass

import numpy as np

Z95 = 1.959963984540054


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval; NaN ends where there is none (a single value)."""

    mean: float
    low: float
    high: float
    count: int = 0

    @property
    def half(self):
        return (self.high - self.low) / 2

    def excludes(self, value):
        """Whether the interval is known and doesn't hold `value`."""
        return bool(self.low > value or self.high < value)


def t_quantile(degrees):
    """Two-sided 95 % quantile of Student's t: P(|T| <= q) = 0.95, for `degrees` >= 1 (any real number).

    With x = sqrt(d) tan(a) the density becomes cos(a)^(d-1), which is integrated by the trapezoid rule.
    """
    if degrees > 1e5:
        return Z95
    # Beyond 12 / sqrt(d) there is nothing for large d; all of [0, pi/2) for small d.
    angle = np.linspace(0, np.arctan(min(1e4, 40 / np.sqrt(degrees) + 100 / degrees**2)), 20_001)
    density = np.cos(angle) ** (degrees - 1)
    area = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    # The cut tail: for d = 1 it matters, so the whole is computed up to pi/2.
    rest = np.linspace(angle[-1], np.pi / 2, 20_001)
    tail = np.cos(rest) ** (degrees - 1)
    tail_area = np.sum((tail[1:] + tail[:-1]) / 2) * (rest[1] - rest[0]) / (angle[1] - angle[0])
    return float(np.sqrt(degrees) * np.tan(np.interp(0.95 * (area[-1] + tail_area), area, angle)))


def t_tail(t, degrees):
    """P(|T| >= t) for Student's T, by the integral of `t_quantile`."""
    if degrees > 1e5:
        return math.erfc(abs(t) / math.sqrt(2))
    begin = np.arctan(abs(t) / np.sqrt(degrees))

    def area(low):
        density = np.cos(np.linspace(low, np.pi / 2, 20_001)) ** (degrees - 1)
        return np.sum((density[1:] + density[:-1]) / 2) * (np.pi / 2 - low)

    return float(area(begin) / area(0.0))


def mean_interval(values):
    """mean +- 1.96 std / sqrt(n), std with ddof 1: the interval of src/eval/intervals.cpp."""
    values = np.asarray(values, float)
    n = len(values)
    if n == 0:
        return Interval(np.nan, np.nan, np.nan, 0)
    half = Z95 * np.std(values, ddof=1) / np.sqrt(n) if n > 1 else np.nan
    mean = float(np.mean(values))
    return Interval(mean, mean - half, mean + half, n)


def wilson(successes, trials):
    """Wilson score interval of a share."""
    if trials <= 0:
        return Interval(np.nan, np.nan, np.nan, 0)
    share, z2 = successes / trials, Z95 * Z95
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z95 / (1 + z2 / trials) * np.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials))
    return Interval(share, 0.0 if successes == 0 else centre - half, 1.0 if successes == trials else centre + half, trials)


def pass_at_k(n, right, k):
    """Unbiased pass@k = 1 - C(n - c, k) / C(n, k) for arrays of samples n and right ones c; NaN where k > n."""
    n, right = np.broadcast_arrays(np.asarray(n, float), np.asarray(right, float))
    i = np.arange(k)
    # Product over i of (n - c - i) / (n - i); a factor <= 0 means that k draws can't all be wrong.
    factors = (n - right)[..., None] - i
    all_wrong = np.prod(np.clip(factors, 0, None) / np.maximum(n[..., None] - i, 1), axis=-1)
    return np.where(k > n, np.nan, 1 - all_wrong)


def standard_error(rows, same_problems):
    """Mean, standard error and degrees of freedom for problems x seeds.

    `rows`: one array of per-problem figures for each seed. One seed: std / sqrt(P), which covers the draw of problems (and
    samples), not that of the training. Several: squared error = variance of the seed means / R + variance over problems / P,
    with the degrees of Welch and Satterthwaite. Where all seeds answered the same problems the second term is taken from
    the means over seeds, else from the pooled variance within seeds (then slightly too wide).
    """
    rows = [np.asarray(row, float) for row in rows]
    seeds = len(rows)
    if seeds == 1:
        one = mean_interval(rows[0])
        return one.mean, one.half / Z95, np.inf
    means = np.array([row.mean() for row in rows])
    between = np.var(means, ddof=1) / seeds
    if same_problems:
        table = np.mean(rows, axis=0)
        problems = len(table)
        within = np.var(table, ddof=1) / problems if problems > 1 else 0.0
        degrees_within = max(problems - 1, 1)
    else:
        total = sum(len(row) for row in rows)
        within = sum(np.var(row, ddof=1) * len(row) for row in rows if len(row) > 1) / total**2
        degrees_within = max(total - seeds, 1)
    squared = between + within
    degrees = squared**2 / (between**2 / (seeds - 1) + within**2 / degrees_within) if squared > 0 else np.inf
    return float(means.mean()), float(np.sqrt(squared)), degrees


def over_problems_and_seeds(rows, same_problems):
    """Mean with a 95 % interval, t times the standard error; of one seed `mean_interval`."""
    if len(rows) == 1:
        return mean_interval(rows[0])
    mean, error, degrees = standard_error(rows, same_problems)
    half = t_quantile(degrees) * error
    return Interval(mean, mean - half, mean + half, len(rows))


def roc_auc(score, truth):
    """Chance that a right one has a greater score than a wrong one, equals counting half; NaN if one kind is missing."""
    truth = np.asarray(truth) > 0.5
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if positives == 0 or negatives == 0:
        return float("nan")
    values, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = np.cumsum(counts) - (counts - 1) / 2  # mean rank of each value, from 1
    return float((rank[inverse][truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def difference(left, right, same_problems=True):
    """Mean of left - right with its paired interval; `left` and `right` have one array of per-problem figures for each
    seed, over the same problems in the same order. Problems and seeds as in `over_problems_and_seeds`."""
    return over_problems_and_seeds([np.asarray(a, float) - np.asarray(b, float) for a, b in zip(left, right, strict=True)],
                                   same_problems)


def independent_difference(left, right):
    """Mean of left - right of two intervals of independent samples: half widths add in squares."""
    half = np.hypot(left.half, right.half)
    mean = left.mean - right.mean
    return Interval(mean, mean - half, mean + half, min(left.count, right.count))
