"""Whether values are what they say: calibration against everything that is known of a state, each under its name (docs/values.md)."""

import numpy as np

from .drawing import colour, legend_above, panels, percent, titled
from .markup import escape, number, paragraph, table
from .stats import wilson
from .study import labelled, scored


def models_of(study):
    """{label: [entry of results.json `values` for each seed]}"""
    found = {}
    for group, run, stage in study.stages("best_of_n"):
        for model, entry in scored(run, stage):
            found.setdefault(labelled(group, model), []).append(entry)
    return found


def blocks_of(entry):
    """{estimand: block of results.json that compares with it}"""
    return {block.get("estimand", name): block for name, block in entry.items() if isinstance(block, dict) and "bins" in block}


def estimands_of(models):
    """{estimand: what it means}"""
    return {name: block.get("meaning", "") for entries in models.values() for entry in entries for name, block in blocks_of(entry).items()}


def pooled_bins(entries, estimand):
    """Reliability bins of all seeds together: arrays (prediction, truth, count), without empty bins."""
    sums = {}
    for entry in entries:
        for item in blocks_of(entry).get(estimand, {}).get("bins", []):
            if item["count"]:
                total = sums.setdefault(item["low"], np.zeros(3))
                total += np.array([item["prediction"] * item["count"], item["truth"] * item["count"], item["count"]])
    rows = np.array([sums[low] for low in sorted(sums)]).reshape(-1, 3)
    return rows[:, 0] / rows[:, 2], rows[:, 1] / rows[:, 2], rows[:, 2]


def section(study, album):
    models = models_of(study)
    estimands = estimands_of(models)
    if not estimands:
        return paragraph("No stage of kind best_of_n with value models is finished yet.")
    count = len(estimands) + 1
    figure, axes = panels(count, columns=2 if count in (2, 4) else 3, height=3.1)
    for axis, (name, meaning) in zip(axes, estimands.items()):
        _reliability(axis, models, name, meaning)
    _spread(axes[-1], models)
    legend_above(figure, [axes[-1].plot([], [], color=colour(i), lw=2.5)[0] for i in range(len(models))], list(models))
    body = album.show(figure, "calibration", "States grouped by predicted value: the share that came true, with 95 % "
                      "intervals as if states were drawn one by one (those of one answer aren't: they vary more); "
                      "last panel: how many states have such a value.")
    return body + _table(models, estimands)


def _reliability(axis, models, estimand, meaning):
    axis.plot([0, 1], [0, 1], color="#9ca3af", lw=1, ls="--")
    for i, entries in enumerate(models.values()):
        prediction, truth, count = pooled_bins(entries, estimand)
        ends = [wilson(t * n, n) for t, n in zip(truth, count)]
        if ends:
            errors = np.clip([[t - e.low for t, e in zip(truth, ends)], [e.high - t for t, e in zip(truth, ends)]], 0, None)
            axis.errorbar(prediction, truth, yerr=errors, color=colour(i), marker="o", ms=4, lw=1.4, capsize=2)
    titled(axis, f"against {estimand}", meaning)
    axis.set_ylabel("share that came true")
    axis.set_ylim(-0.02, 1.02)
    _share_axes(axis)


def _spread(axis, models):
    for i, entries in enumerate(models.values()):
        for estimand in list(estimands_of({"": entries}))[:1]:
            prediction, _, count = pooled_bins(entries, estimand)
            axis.plot(prediction, count / count.sum(), color=colour(i), marker="o", ms=3, lw=1.2)
    titled(axis, "spread of the values", "")
    axis.set_ylabel("share of states")
    axis.set_ylim(bottom=0)
    _share_axes(axis)


def _share_axes(axis):
    axis.set_xlabel("predicted value")
    axis.set_xlim(-0.02, 1.02)
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1])
    percent(axis)
    percent(axis, "x")


def _table(models, estimands):
    names = {"auc": "AUC", "auc_within": "AUC within problems", "explained_variance": "explained variance", "brier": "Brier score",
             "log_loss": "log loss", "ece": "ECE"}
    rows = []
    for estimand in estimands:
        for label, entries in models.items():
            found = [blocks_of(entry)[estimand] for entry in entries if estimand in blocks_of(entry)]
            if found:
                figures = [[block[name] for block in found if block.get(name) is not None] for name in names]
                states = sum(item["count"] for block in found for item in block["bins"])
                rows.append([escape(label), estimand, number(states), *(f"{np.mean(seeds):.3f}" if seeds else "–" for seeds in figures)])
    body = table(["model", "against", "states", *names.values()], rows, numbers=range(2, 9))
    meanings = "; ".join(f"{name}: {meaning}" for name, meaning in estimands.items() if meaning)
    return body + paragraph(f"{meanings}. AUC: chance that a state that came true is valued above one that didn't (0.5: by a coin). ECE: mean "
                            "distance from the diagonal. Means over seeds.", "note")
