"""pass@k of evaluated policies, and selection among N candidates."""

import numpy as np

from .drawing import GREY, colour, panels, percent
from .markup import escape, paragraph, table
from .stats import Interval, t_quantile
from .study import labelled, shown


def pass_lines(study):
    """{stage: {policy: {k: [point of each seed]}}}"""
    stages = {}
    for group, _, stage in study.stages("evaluate"):
        for entry in stage.results.get("policies", []):
            curve = stages.setdefault(stage.name, {}).setdefault(labelled(group, entry["policy"]), {})
            for point in entry["pass_at_k"]:
                curve.setdefault(point["k"], []).append(point)
    return stages


def selection_lines(study):
    """{stage: {method: {n: [point of each seed]}}}"""
    stages = {}
    for group, _, stage in study.stages("best_of_n"):
        for entry in stage.results.get("curves", []):
            method = f"{shown(entry['model'])}, {entry['at']}" if "model" in entry else entry["method"]
            curve = stages.setdefault(stage.name, {}).setdefault(labelled(group, method), {})
            for point in entry["points"]:
                curve.setdefault(point["n"], []).append(point)
    return stages


def merged(points):
    """One seed: its interval over problems. Several: mean of seeds with Student's interval over seeds, at least as wide as
    the mean of their intervals over problems."""
    def figure(point, name):
        return np.nan if point[name] is None else float(point[name])
    means = np.array([figure(point, "mean") for point in points])
    half = np.mean([(figure(point, "high") - figure(point, "low")) / 2 for point in points])
    if len(means) > 2:
        half = max(half, t_quantile(len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means)))
    return Interval(float(means.mean()), float(means.mean() - half), float(means.mean() + half), len(means))


def draw_curve(axis, curve, label, tone, style="-", shift=0.0):
    """Means with intervals; curves are shifted (-0.5 to 0.5) so that their intervals don't cover each other."""
    sizes = sorted(curve)
    x = np.array(sizes) * 1.2**shift
    y = [merged(curve[k]) for k in sizes]
    axis.vlines(x, [v.low for v in y], [v.high for v in y], color=tone, lw=1.1, alpha=0.55)
    axis.plot(x, [v.mean for v in y], style, color=tone, marker="o", ms=3.5, label=label)


def _powers(axis, x):
    axis.set_xscale("log", base=2)
    axis.set_xticks(sorted(x), [str(v) for v in sorted(x)])
    axis.minorticks_off()
    percent(axis)


def _outside(axis):
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))


def section(study, album):
    body = ""
    for name, policies in pass_lines(study).items():
        figure, (axis,) = panels(1, height=3.1)
        figure.set_figwidth(8.4)
        for i, (label, curve) in enumerate(policies.items()):
            draw_curve(axis, curve, label, colour(i), shift=(i + 0.5) / len(policies) - 0.5)
        _powers(axis, {k for curve in policies.values() for k in curve})
        axis.set_xlabel("k: answers drawn")
        axis.set_ylabel("pass@k")
        _outside(axis)
        body += f"<h3>Policies ({escape(name)})</h3>" + paragraph(
            "pass@k is the share of problems that k answers would contain a right one to. Training that raises pass@1 while pass@k "
            "for large k falls sharpens what the policy could already do.")
        body += album.show(figure, f"pass-at-k-{name}", "pass@k of evaluated policies, unbiased, with 95 % intervals over problems, and over seeds where there are three or more.")
        body += _pass_table(policies)
    for name, methods in selection_lines(study).items():
        body += f"<h3>Selection among N candidates ({escape(name)})</h3>" + paragraph(
            "How good one answer is when it is chosen out of N by a vote or by the value at a place of the answer. pass@N is the limit: "
            "a right answer was there to be chosen. A curve that bends down with N exploits errors of its value model.")
        body += album.show(_selection_figure(methods), f"selection-{name}",
                           "Accuracy of the chosen answer. Left with the limit, right without it. Bars: 95 % intervals as above.")
    return body or paragraph("No stage of kind evaluate or best_of_n is finished yet.")


def _pass_table(policies):
    sizes = sorted({k for curve in policies.values() for k in curve})
    def cell(curve, k):
        if k not in curve:
            return "–"
        value = merged(curve[k])
        return f"{100 * value.mean:.1f} <small>± {100 * value.half:.1f}</small>"
    return table(["policy", *(f"pass@{k}" for k in sizes)],
                 [[escape(label), *(cell(curve, k) for k in sizes)] for label, curve in policies.items()],
                 numbers=range(1, len(sizes) + 1))


def _selection_figure(methods):
    figure, (left, right) = panels(2, height=3.6)
    tones = {}
    for label in methods:
        model = label.rpartition(", ")[0]
        if model and model not in tones:
            tones[model] = colour(len(tones))
    styles = {}
    for i, (label, curve) in enumerate(methods.items()):
        model, _, place = label.rpartition(", ")
        style = "-" if not model else styles.setdefault(place, ("-", "--", ":", "-.")[len(styles) % 4])
        tone = tones[model] if model else "#111827" if "majority" in label else GREY
        shift = (i + 0.5) / len(methods) - 0.5
        draw_curve(left, curve, label, tone, style, shift)
        if "pass@N" not in label:
            draw_curve(right, curve, label, tone, style, shift)
    sizes = {n for curve in methods.values() for n in curve}
    for axis in (left, right):
        _powers(axis, sizes)
        axis.set_xlabel("N: candidates")
    left.set_title("with the limit pass@N")
    right.set_title("without it")
    values = [merged(points).mean for label, curve in methods.items() if "pass@N" not in label and "majority" not in label
              for points in curve.values()]
    votes = [merged(points).mean for label, curve in methods.items() if "majority" in label for points in curve.values()]
    if values and votes and max(votes) > 2 * max(values):  # else the models' curves can't be told apart
        reach = max(max(values) - min(values), 0.02)
        right.set_ylim(min(values) - 0.35 * reach, max(values) + 0.6 * reach)
        right.set_title("value models enlarged")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=min(len(labels), 4))
    return figure
