"""How values move along answers: temporal differences, separation of right from wrong, reaction to errors."""

from dataclasses import dataclass

import numpy as np

from .drawing import colour, legend_above, panels, percent
from .markup import escape, paragraph, table
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


class Movement:
    """What is summed up of one value model over all answers (of all seeds).

    delta: |V(s_t+1) - V(s_t)| by t, and |outcome - V(s_T)| by T; right, wrong: V(s_t) by t and outcome; change: of the value
    over a step, by kind of step (good: right, first_error, after_error), where labels are known.
    """

    def __init__(self):
        self.delta, self.last = Moments.zero(), Moments.zero()
        self.right, self.wrong = Moments.zero(), Moments.zero()
        self.change = {kind: Moments.zero() for kind in ("good", "first_error", "after_error")}
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
            if labels is not None:
                self._by_step(labels.rows(first, last), step, index, change)

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
        for model, _ in scored(run, stage):
            values = study.guarded(Values, stage.directory / model, answers)
            if values is not None:
                found.setdefault(labelled(group, model), Movement()).add(answers, values, labels)
    return found


def section(found, album):
    if not found:
        return paragraph("No value model has scored candidates yet (a stage of kind best_of_n does).")
    figure, (left, right) = panels(2, height=3.0)
    for i, (label, movement) in enumerate(found.items()):
        _band(left, movement.right.curve(), colour(i), "-")
        _band(left, movement.wrong.curve(), colour(i), "--")
        _band(right, movement.delta.curve(), colour(i), "-")
        index, mean, _ = movement.last.curve()
        right.plot(index, mean, "*", color=colour(i), ms=7)
    left.set_title("value by state: right answers (solid), wrong (dashed)")
    left.set_xlabel("steps written")
    percent(left)
    right.set_title("mean |δ|: change of the value by the next step")
    right.set_xlabel("steps written")
    right.set_ylim(bottom=0)
    for axis in (left, right):
        axis.xaxis.get_major_locator().set_params(integer=True)
    handles = [left.plot([], [], color=colour(i), lw=2.5)[0] for i in range(len(found))]
    legend_above(figure, handles, list(found))
    body = album.show(figure, "values-by-step", "Left: mean value of the states of right and of wrong answers; the gap is what selection "
                      "can use. Right: smoothness; stars: |outcome − value| of last states, where the outcome is revealed. Bands: 95 %.")
    rows = []
    for label, movement in found.items():
        changes = [_signed(movement.change[kind].mean) for kind in movement.change]
        rows.append([escape(label), f"{movement.delta.mean:.3f}", f"{movement.last.mean:.3f}", *changes,
                     f"{100 * movement.saturated / max(movement.states, 1):.1f} %"])
    body += table(["model", "mean |δ|", "mean |outcome − V(s_T)|", "change at a good step", "at the step that loses",
                   "after it was lost", "states at 0 or 1"], rows, numbers=range(1, 7))
    return body + paragraph(
        "Good: the exact truth is 1 before and after the step; the step that loses takes it to 0 (an error, or a dead end where the truth "
        "is reachability). A process reward model earns its name by a clear drop there. At 0 or 1: below 1 % or above 99 %.", "note")


def _signed(value):
    return f"{value:+.3f}" if np.isfinite(value) else "–"


def _band(axis, curve, tone, style):
    index, mean, half = curve
    axis.fill_between(index, mean - half, mean + half, color=tone, alpha=0.15, lw=0)
    axis.plot(index, mean, style, color=tone, marker="o", ms=3.5)
