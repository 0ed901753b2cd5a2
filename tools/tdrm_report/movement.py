"""What is summed up of how values move along answers; dynamics.py shows it."""

from dataclasses import dataclass

import numpy as np

from .stats import Z95
from .study import labelled, scored
from .tables import Labels, Values, blocks

LONGEST = 40  # steps told apart; later states count as this one


@dataclass
class Moments:
    """Count, sum and sum of squares by index of the step."""

    count: np.ndarray
    total: np.ndarray
    squares: np.ndarray

    @classmethod
    def zero(cls):
        return cls(*(np.zeros(LONGEST + 1) for _ in range(3)))

    def add(self, index, values):
        index = np.minimum(index, LONGEST)
        self.count += np.bincount(index, minlength=LONGEST + 1)
        self.total += np.bincount(index, weights=values, minlength=LONGEST + 1)
        self.squares += np.bincount(index, weights=values * values, minlength=LONGEST + 1)

    def curve(self, least=20):
        """(index, mean, half width of its 95 % interval) where at least `least` values were seen."""
        index = np.flatnonzero(self.count >= least)
        n = self.count[index]
        mean = self.total[index] / n
        variance = np.clip(self.squares[index] / n - mean * mean, 0, None) * n / np.maximum(n - 1, 1)
        return index, mean, Z95 * np.sqrt(variance / n)

    @property
    def mean(self):
        return self.total.sum() / self.count.sum() if self.count.sum() else float("nan")


@dataclass
class LeastAtEnd:
    """Answers of two steps and more: how many have their least value behind the last step and nowhere before, and how many that would be
    if each step were as likely."""

    answers: int = 0
    at_end: int = 0
    by_chance: float = 0.0

    def add(self, at_end, steps):
        self.answers += len(steps)
        self.at_end += int(at_end.sum())
        self.by_chance += float((1 / steps).sum())

    @property
    def share(self):
        return self.at_end / self.answers if self.answers else float("nan")

    @property
    def chance(self):
        return self.by_chance / self.answers if self.answers else float("nan")


class Movement:
    """What is summed up of one value model over all answers (of all seeds).

    delta: |V(s_t+1) - V(s_t)| by t, and |outcome - V(s_T)| by T; right, wrong: V(s_t) by t and outcome; known: by estimand, over the
    states where it is known, (V(s_t), its own figure) by t; change: of the value over a step, by kind of step (good: right, first_error,
    after_error), where labels are known; least_at_end: of all and of wrong answers.
    """

    def __init__(self):
        self.delta, self.last = Moments.zero(), Moments.zero()
        self.right, self.wrong = Moments.zero(), Moments.zero()
        self.known = {}
        self.change = {kind: Moments.zero() for kind in ("good", "first_error", "after_error")}
        self.least_at_end = {"all": LeastAtEnd(), "wrong": LeastAtEnd()}
        self.saturated = self.states = 0

    def add(self, answers, values, labels):
        for first, last in blocks(len(answers)):
            offset = answers.state_offset[first:last + 1] - answers.state_offset[first]
            value = values.rows(first, last)
            owner = np.repeat(np.arange(last - first), np.diff(offset))
            index = np.arange(len(value)) - offset[owner]
            outcome = answers.outcome[first:last] > 0.5
            final = index == np.diff(offset)[owner] - 1
            step = np.flatnonzero(~final)  # from this state to the next
            change = value[step + 1] - value[step]
            self.delta.add(index[step], np.abs(change))
            self.last.add(index[final], np.abs(outcome[owner[final]] - value[final]))
            of_right = outcome[owner]
            self.right.add(index[of_right], value[of_right])
            self.wrong.add(index[~of_right], value[~of_right])
            self.states += len(value)
            self.saturated += int(((value < 0.01) | (value > 0.99)).sum())
            if not values.hazards:  # a chance of no error so far can't rise, and isn't one of success
                self._ends(value, offset, outcome)
                self._compare("outcome", index, value, of_right.astype(float))
            if labels is not None:
                for estimand in labels.estimands():
                    if not values.hazards or estimand == labels.kind:
                        self._compare(estimand, index, value, labels.rows_of(estimand, first, last))
                self._by_step(labels.rows(first, last), step, index, change)

    def _ends(self, value, offset, outcome):
        """Over the values behind steps, as `at: minimum` takes them."""
        steps = np.diff(offset) - 1
        several = steps > 1
        behind = value.copy()
        behind[offset[:-1]] = np.inf  # s_0 isn't behind a step
        end = behind[offset[1:] - 1]
        behind[offset[1:] - 1] = np.inf
        at_end = end < np.minimum.reduceat(behind, offset[:-1])
        self.least_at_end["all"].add(at_end[several], steps[several])
        self.least_at_end["wrong"].add(at_end[several & ~outcome], steps[several & ~outcome])

    def _compare(self, estimand, index, value, truth):
        known = np.isfinite(truth)
        if known.any():
            ours, theirs = self.known.setdefault(estimand, (Moments.zero(), Moments.zero()))
            ours.add(index[known], value[known])
            theirs.add(index[known], truth[known])

    def _by_step(self, truth, step, index, change):
        known = np.isfinite(truth[step]) & np.isfinite(truth[step + 1])  # imported data needn't say all
        before, after = truth[step] > 0.5, truth[step + 1] > 0.5
        for kind, which in (("good", before & after), ("first_error", before & ~after), ("after_error", ~before)):
            self.change[kind].add(index[step][which & known], change[which & known])


def movements(study):
    """{label: Movement} of all value models that scored candidates."""
    found = {}
    for group, run, stage in study.stages("best_of_n"):
        answers = study.answers(run.folder(stage.results.get("data", "?")))
        if answers is None:
            continue
        labels = study.guarded(Labels, run.folder(stage.results["data"]), answers)
        for model, entry in scored(run, stage):
            values = study.guarded(Values, stage.directory / model, answers, "outcome_at_end" in entry)
            if values is not None:
                found.setdefault(labelled(group, model), Movement()).add(answers, values, labels)
    return found
