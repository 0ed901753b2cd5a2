"""How values move along answers: temporal differences, separation of right from wrong, bias by step, reaction to errors."""

import numpy as np

from .calibration import estimands_of, models_of
from .drawing import colour, legend_above, panels, percent, titled
from .markup import escape, paragraph, table

BLACK = "#111827"


def section(study, found, album):
    if not found:
        return paragraph("No value model has scored candidates yet (a stage of kind best_of_n does).")
    meanings = estimands_of(models_of(study))
    outcome = meanings.get("outcome", meanings.get("outcome_at_end", ""))
    body = album.show(_movement(found, outcome), "values-by-step", "Left: mean value of the states of right and of wrong answers; the gap is what "
                      "selection can use. Right: smoothness; stars: |outcome − value| of last states, where the outcome is revealed. Bands: 95 %, "
                      "as if states were drawn one by one.")
    drawing = _bias(found, meanings)
    if drawing:
        body += album.show(drawing, "bias-by-step", "Mean value by state (colours) and the mean of what it is compared with over the same states "
                           "(black, dashed). A model that is right on average at every step lies on the dashed line of what it was trained to say.")
    return body + _table(found) + _least_at_end(found)


def _movement(found, outcome):
    figure, (left, right) = panels(2, height=3.1)
    for i, movement in enumerate(found.values()):
        _band(left, movement.right.curve(), colour(i), "-")
        _band(left, movement.wrong.curve(), colour(i), "--")
        _band(right, movement.delta.curve(), colour(i), "-")
        index, mean, _ = movement.last.curve()
        right.plot(index, mean, "*", color=colour(i), ms=7)
    titled(left, "value by state, parted by outcome", f"right (solid), wrong (dashed): {outcome}" if outcome else "right (solid), wrong (dashed)", 80)
    percent(left)
    titled(right, "mean |δ|", "change of the value by the next step")
    right.set_ylim(bottom=0)
    for axis in (left, right):
        _steps(axis)
    _legend(figure, left, found)
    return figure


def _bias(found, meanings):
    """A panel for each estimand; None if nothing is known."""
    estimands = list(dict.fromkeys(name for movement in found.values() for name in movement.known))
    if not estimands:
        return None
    figure, axes = panels(len(estimands), columns=min(3, max(2, len(estimands))), height=2.9)
    for axis, estimand in zip(axes, estimands):
        for i, movement in enumerate(found.values()):
            if estimand in movement.known:
                ours, theirs = movement.known[estimand]
                _band(axis, ours.curve(), colour(i), "-")
                index, mean, _ = theirs.curve()
                axis.plot(index, mean, "--", color=BLACK, lw=1.3, zorder=3)
        titled(axis, f"value and {estimand}", meanings.get(estimand, ""))
        percent(axis)
        _steps(axis)
    _legend(figure, axes[0], found)
    return figure


def _steps(axis):
    axis.set_xlabel("steps written")
    axis.xaxis.get_major_locator().set_params(integer=True)


def _legend(figure, axis, found):
    legend_above(figure, [axis.plot([], [], color=colour(i), lw=2.5)[0] for i in range(len(found))], list(found))


def _table(found):
    rows = []
    for label, movement in found.items():
        changes = [_signed(movement.change[kind].mean) for kind in movement.change]
        rows.append([escape(label), f"{movement.delta.mean:.3f}", f"{movement.last.mean:.3f}", *changes,
                     f"{100 * movement.saturated / max(movement.states, 1):.1f} %"])
    body = table(["model", "mean |δ|", "mean |outcome − V(s_T)|", "change at a good step", "at the step that loses",
                  "after it was lost", "states at 0 or 1"], rows, numbers=range(1, 7))
    return body + paragraph(
        "Good: the exact truth is 1 before and after the step; the step that loses takes it to 0 (an error, or a dead end where the truth "
        "is reachability). A process reward model earns its name by a clear drop there. At 0 or 1: below 1 % or above 99 %.", "note")


def _least_at_end(found):
    """Whether `at: minimum` is anything else than `at: last`."""
    rows, ends = [], []
    for label, movement in found.items():
        every, wrong = movement.least_at_end["all"], movement.least_at_end["wrong"]
        if every.answers:
            rows.append([escape(label), _share(every.share), _share(wrong.share), _share(every.chance)])
            ends += [label] if every.share > max(0.5, every.chance + 0.1) else []
    if not rows:
        return ""
    said = "With none of these models do most answers have it there, and clearly more than by chance."
    if ends:
        said = (f"With {', '.join(ends)} most answers have it there: read step by step that is an outcome model, whose minimum chooses much as "
                "its last value does, and which points at no wrong step.")
    body = table(["model", "at the last step", "of wrong answers", "by chance"], rows, numbers=range(1, 4))
    return "<h3>Where the least value lies</h3>" + body + paragraph(
        "Share of the answers of two steps and more whose least value is the one behind the last step. By chance: if every step were as "
        f"likely. {said}", "note")


def _share(value):
    return f"{100 * value:.1f} %" if np.isfinite(value) else "–"


def _signed(value):
    return f"{value:+.3f}" if np.isfinite(value) else "–"


def _band(axis, curve, tone, style):
    index, mean, half = curve
    axis.fill_between(index, mean - half, mean + half, color=tone, alpha=0.15, lw=0)
    axis.plot(index, mean, style, color=tone, marker="o", ms=3.5)
