"""Whether values are what they say: calibration against the outcome and the exact truth."""

import numpy as np

from .drawing import colour, legend_above, panels, percent
from .markup import escape, number, paragraph, table
from .stats import wilson
from .study import labelled, scored

AGAINST = {"outcome": "the outcome", "truth": "the exact truth", "v_pi": "the exact value"}


def models_of(study):
    """{label: [entry of results.json `values` for each seed]}"""
    found = {}
    for group, run, stage in study.stages("best_of_n"):
        for model, entry in scored(run, stage):
            found.setdefault(labelled(group, model), []).append(entry)
    return found


def pooled_bins(entries, against):
    """Reliability bins of all seeds together: arrays (prediction, truth, count), without empty bins."""
    sums = {}
    for entry in entries:
        for item in entry.get(against, {}).get("bins", []):
            if item["count"]:
                total = sums.setdefault(item["low"], np.zeros(3))
                total += np.array([item["prediction"] * item["count"], item["truth"] * item["count"], item["count"]])
    rows = np.array([sums[low] for low in sorted(sums)]).reshape(-1, 3)
    return rows[:, 0] / rows[:, 2], rows[:, 1] / rows[:, 2], rows[:, 2]


def section(study, album):
    models = models_of(study)
    if not models:
        return paragraph("No stage of kind best_of_n with value models is finished yet.")
    kinds = [kind for kind in AGAINST if any(kind in entry for entries in models.values() for entry in entries)]
    figure, axes = panels(len(kinds) + 1, columns=3, height=3.1)
    for axis, kind in zip(axes, kinds):
        _reliability(axis, models, kind)
    _spread(axes[-1], models, kinds[0])
    legend_above(figure, [axes[-1].plot([], [], color=colour(i), lw=2.5)[0] for i in range(len(models))], list(models))
    body = album.show(figure, "calibration", "States grouped by predicted value: the share that came true, with 95 % intervals of the count; "
                      "last panel: how many states have such a value.")
    return body + _table(models, kinds)


def _reliability(axis, models, kind):
    axis.plot([0, 1], [0, 1], color="#9ca3af", lw=1, ls="--")
    for i, entries in enumerate(models.values()):
        prediction, truth, count = pooled_bins(entries, kind)
        ends = [wilson(t * n, n) for t, n in zip(truth, count)]
        errors = np.clip([[t - e.low for t, e in zip(truth, ends)], [e.high - t for t, e in zip(truth, ends)]], 0, None)
        axis.errorbar(prediction, truth, yerr=errors, color=colour(i), marker="o", ms=4, lw=1.4, capsize=2)
    axis.set_title(f"against {AGAINST[kind]}")
    axis.set_ylabel("share that came true")
    axis.set_ylim(-0.02, 1.02)
    _share_axes(axis)


def _spread(axis, models, kind):
    for i, entries in enumerate(models.values()):
        prediction, _, count = pooled_bins(entries, kind)
        axis.plot(prediction, count / count.sum(), color=colour(i), marker="o", ms=3, lw=1.2)
    axis.set_title("spread of the values")
    axis.set_ylabel("share of states")
    axis.set_ylim(bottom=0)
    _share_axes(axis)


def _share_axes(axis):
    axis.set_xlabel("predicted value")
    axis.set_xlim(-0.02, 1.02)
    percent(axis)
    percent(axis, "x")


def _table(models, kinds):
    names = {"auc": "AUC", "auc_within": "AUC within problems", "explained_variance": "explained variance", "brier": "Brier score",
             "log_loss": "log loss", "ece": "ECE"}
    rows = []
    for kind in kinds:
        for label, entries in models.items():
            figures = [[entry[kind][name] for entry in entries if entry.get(kind, {}).get(name) is not None] for name in names]
            states = sum(entry["states"] for entry in entries)
            rows.append([escape(label), kind, number(states), *(f"{np.mean(seeds):.3f}" if seeds else "–" for seeds in figures)])
    body = table(["model", "against", "states", *names.values()], rows, numbers=range(2, 9))
    return body + paragraph("AUC: chance that a state that came true is valued above one that didn't (0.5: by a coin). ECE: mean distance from the "
                            "diagonal. Means over seeds.", "note")
