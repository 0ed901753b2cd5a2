"""pass@k of evaluated policies."""

from .drawing import colour, interval_curve, legend_beside, panels, powers_of_two
from .markup import escape, paragraph, table
from .methods import merged
from .study import labelled


def pass_lines(study):
    """{stage: {policy: {k: [point of each seed]}}}"""
    stages = {}
    for group, _, stage in study.stages("evaluate"):
        for entry in stage.results.get("policies", []):
            curve = stages.setdefault(stage.name, {}).setdefault(labelled(group, entry["policy"]), {})
            for point in entry["pass_at_k"]:
                curve.setdefault(point["k"], []).append(point)
    return stages


def section(study, album):
    body = ""
    for name, policies in pass_lines(study).items():
        sizes = sorted({k for curve in policies.values() for k in curve})
        body += f"<h3>{escape(name)}</h3>"
        if len(sizes) > 1:
            body += album.show(_figure(policies, sizes), f"pass-at-k-{name}", "pass@k of evaluated policies, unbiased, with 95 % "
                               "intervals over problems, and over seeds where there are three or more.")
        body += _table(policies, sizes)
    return body or paragraph("No stage of kind evaluate is finished yet.")


def _figure(policies, sizes):
    figure, (axis,) = panels(1, height=3.1)
    figure.set_figwidth(8.4)
    for i, (label, curve) in enumerate(policies.items()):
        shift = (i + 0.5) / len(policies) - 0.5
        interval_curve(axis, sorted(curve), [merged(curve[k]) for k in sorted(curve)], colour(i), label=label, shift=shift)
    powers_of_two(axis, sizes)
    axis.set_xlabel("k: answers drawn")
    axis.set_ylabel("pass@k")
    legend_beside(axis)
    return figure


def _table(policies, sizes):
    def cell(curve, k):
        if k not in curve:
            return "–"
        value = merged(curve[k])
        return f"{100 * value.mean:.1f} <small>± {100 * value.half:.1f}</small>"
    return table(["policy", *(f"pass@{k}" for k in sizes)],
                 [[escape(label), *(cell(curve, k) for k in sizes)] for label, curve in policies.items()],
                 numbers=range(1, len(sizes) + 1))
