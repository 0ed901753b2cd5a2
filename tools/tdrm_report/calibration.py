"""Whether values are what they say: calibration against the outcome and the exact truth."""

import numpy as np

from .drawing import colour, panels, percent
from .markup import escape, number, paragraph, table
from .stats import wilson
from .study import without_seed

AGAINST = {"outcome": "the outcome of the answer", "truth": "the exact truth of the state"}


def models_of(study):
    """{label: [entry of results.json `values` for each seed]}"""
    found = {}
    for group, _, stage in study.stages("best_of_n"):
        for model, entry in stage.results.get("values", {}).items():
            name = without_seed(model)
            found.setdefault(f"{group.label}: {name}" if group.label else name, []).append(entry)
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
    figure, axes = panels(2 * len(kinds), columns=len(kinds), height=2.5)
    for column, kind in enumerate(kinds):
        _draw(axes[column], axes[len(kinds) + column], models, kind)
    body = album.show(figure, "calibration", "Reliability: states grouped by predicted value; above, the share that came true with 95 % "
                      "intervals of the count; below, how many states have such a value.")
    return body + _table(models, kinds)


def _draw(upper, lower, models, kind):
    upper.plot([0, 1], [0, 1], color="#9ca3af", lw=1, ls="--")
    for i, (label, entries) in enumerate(models.items()):
        prediction, truth, count = pooled_bins(entries, kind)
        ends = [wilson(t * n, n) for t, n in zip(truth, count)]
        errors = np.clip([[t - e.low for t, e in zip(truth, ends)], [e.high - t for t, e in zip(truth, ends)]], 0, None)
        upper.errorbar(prediction, truth, yerr=errors, color=colour(i), marker="o", ms=4, lw=1.4, capsize=2, label=label)
        lower.plot(prediction, count / count.sum(), color=colour(i), marker="o", ms=3, lw=1.2)
    upper.set_title(f"against {AGAINST[kind]}")
    upper.set_ylabel("share that came true")
    lower.set_ylabel("share of states")
    lower.set_xlabel("predicted value")
    lower.set_ylim(bottom=0)
    for axis in (upper, lower):
        axis.set_xlim(-0.02, 1.02)
        percent(axis)
        percent(axis, "x")
    upper.set_ylim(-0.02, 1.02)
    upper.legend(loc="lower right" if kind == "truth" else "upper left")


def _table(models, kinds):
    names = {"auc": "AUC", "brier": "Brier", "log_loss": "log loss", "ece": "ECE"}
    head = ["model", "states", *(f"{title} ({kind})" for kind in kinds for title in names.values())]
    rows = []
    for label, entries in models.items():
        def mean(kind, name):
            values = [entry[kind].get(name) for entry in entries if kind in entry]
            values = [value for value in values if value is not None]
            return number(round(float(np.mean(values)), 3)) if values else "–"
        rows.append([escape(label), number(sum(entry["states"] for entry in entries)),
                     *(mean(kind, name) for kind in kinds for name in names)])
    return table(head, rows, numbers=range(1, len(head)))
