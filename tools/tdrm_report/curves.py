"""Learning curves of training stages: variants over each other, seeds as bands."""

import numpy as np

from .drawing import PlainNumbers, colour, grid_of_panels, legend_above, logarithmic, percent, smoothed, thinned
from .markup import paragraph
from .study import labelled

PERCENT = "%"
STEADY = ("noise_scale", "learning_rate", "target/interior_share")  # drawn as they are
# Panels by kind of stage: title, unit, figure, whether the axis is logarithmic.
PANELS = {
    "sft": [
        ("loss", "nats a token", "loss", False),
        ("pass@1 on the evaluation split", PERCENT, "eval/pass@1", False),
        ("entropy of the next token", "nats", "entropy", False),
        ("gradient norm before clipping", "", "grad_norm", True),
        ("gradient noise scale", "samples", "noise_scale", True),
        ("learning rate", "", "learning_rate", False),
    ],
    "value": [
        ("training loss", "nats a state", "loss", False),
        ("held-out log loss against the outcome", "nats a state", "eval/log_loss", False),
        ("held-out AUC against the outcome", "", "eval/auc", False),
        ("mean |δ|: target minus value", "", "target/mean_delta", False),
        ("mean change of the value between states", "", "value/mean_change", False),
        ("targets strictly inside (0, 1)", PERCENT, "target/interior_share", False),
        ("gradient norm before clipping", "", "grad_norm", True),
        ("gradient noise scale", "samples", "noise_scale", True),
    ],
    "rl": [
        ("right answers in training batches", PERCENT, "rewards/rule/mean", False),
        ("pass@1 on the evaluation split", PERCENT, "eval/pass@1", False),
        ("reward that was trained on", "", "reward", False),
        ("mean value of states", "", "value/mean", False),
        ("entropy of the next token", "nats", "entropy", False),
        ("groups without spread (teach nothing)", PERCENT, "frac_reward_zero_std", False),
        ("tokens whose ratio was clipped", PERCENT, "clip_ratio/region_mean", False),
        ("mean length of answers", "tokens", "completions/mean_length", False),
        ("answers cut for length", PERCENT, "completions/clipped_ratio", False),
        ("gradient norm before clipping", "", "grad_norm", True),
        ("gradient noise scale", "samples", "noise_scale", True),
        ("divergence from the reference (k3)", "nats a token", "kl", False),
        ("loss", "", "loss", False),
    ],
}
TITLES = {"sft": "Supervised training", "value": "Value models", "rl": "Reinforcement learning"}
INTRO = {
    "sft": "The loss should fall and flatten, and the evaluation rise; a gradient norm that grows without end warns of divergence.",
    "value": "Judge by the held-out panels: a training loss that falls while the held-out loss rises is overfitting. Mean |δ| is the "
             "temporal-difference error that training reduces.",
    "rl": "Training accuracy and evaluation should rise together. Reward without evaluation is hacking; entropy near 0 with most groups "
          "without spread means that nothing is left to learn from.",
}


def lines_of(study, kind):
    """{label: [stage of each seed]} of training stages with metrics."""
    lines = {}
    for group, _, stage in study.stages(kind):
        if stage.metrics:
            lines.setdefault(labelled(group, stage.name), []).append(stage)
    return lines


def curve_of(stage, name):
    """(updates, figures) where the figure exists. The noise scale is made anew from means over a window: a ratio of means is
    far steadier than a mean of ratios, whose denominator comes near 0."""
    metrics = stage.metrics
    if name == "noise_scale" and {"noise/trace", "noise/gradient_squared"} <= metrics.keys():
        keep = np.isfinite(metrics["noise/trace"]) & np.isfinite(metrics["noise/gradient_squared"])
        trace, squared = (smoothed(metrics[part][keep], share=0.1) for part in ("noise/trace", "noise/gradient_squared"))
        values = np.divide(trace, squared, out=np.full(len(trace), np.nan), where=squared > 0)
        x = metrics["update"][keep]
    else:
        x, values = metrics["update"], metrics.get(name, np.full(len(metrics["update"]), np.nan))
    keep = np.isfinite(values)
    return x[keep], values[keep]


def over_seeds(curves):
    """x, least, mean and greatest of the curves of several seeds at common updates."""
    if len({len(x) for x, _ in curves}) == 1:  # evaluated as often, perhaps at slightly other updates
        x, table = np.mean([x for x, _ in curves], axis=0), np.array([y for _, y in curves])
    else:
        x = np.linspace(max(x[0] for x, _ in curves), min(x[-1] for x, _ in curves), 300)
        table = np.array([np.interp(x, *curve) for curve in curves])
    return x, table.min(axis=0), table.mean(axis=0), table.max(axis=0)


def draw_line(axis, curves, tone, sparse, steady):
    """One figure of one variant; several seeds: their mean, with a band from the least to the greatest. `sparse` figures are
    drawn as points, `steady` ones aren't smoothed again."""
    thin = curves if sparse else [thinned(*curve) for curve in curves]
    smooth = thin if sparse or steady else [(x, smoothed(y)) for x, y in thin]
    if len(curves) == 1:
        if not sparse and not steady:
            axis.plot(*thin[0], color=tone, lw=0.7, alpha=0.28)
        x, y = smooth[0]
    else:
        x, low, y, high = over_seeds(smooth)
        axis.fill_between(x, low, high, color=tone, alpha=0.16, lw=0)
    axis.plot(x, y, color=tone, marker="o" if sparse and len(x) <= 40 else "", ms=3.5)


def figure_of(lines, kind):
    """Panels of one kind of stage (None if there is nothing to draw), and sentences on figures that need no panel."""
    wanted, said = [], []
    for title, unit, name, log in PANELS[kind]:
        curves = {label: [c for c in (curve_of(stage, name) for stage in stages) if len(c[0])] for label, stages in lines.items()}
        curves = {label: found for label, found in curves.items() if found}
        points = [c for found in curves.values() for c in found]
        if not points:
            continue
        if not any(np.any(y) for _, y in points):
            said.append(f"{title}: 0 throughout")
        elif max(len(x) for x, _ in points) == 1:
            texts = [f"{label} {_value(np.mean([y[0] for _, y in found]), unit)}" for label, found in curves.items()]
            said.append(f"{title}, once: {', '.join(texts)}")
        else:
            wanted.append((title, unit, name, log, curves))
    if not wanted:
        return None, said
    figure, axes = grid_of_panels(len(wanted), legend=len(lines) > 1)
    for i, (axis, (title, unit, name, log, curves)) in enumerate(zip(axes, wanted)):
        for j, label in enumerate(lines):
            if label in curves:
                draw_line(axis, curves[label], colour(j), name.startswith("eval/"), name in STEADY)
        axis.set_title(title)
        if log:
            logarithmic(axis)
        if unit == PERCENT:
            percent(axis)
        elif axis.get_yscale() == "linear":
            axis.yaxis.set_major_formatter(PlainNumbers())
        if unit != PERCENT:
            axis.set_ylabel(unit)
        if i >= len(axes) - 2:
            axis.set_xlabel("update")
        axis.margins(x=0.01)
        axis.xaxis.get_major_locator().set_params(integer=True)
    if len(lines) > 1:
        legend_above(figure, [axes[0].plot([], [], color=colour(j), lw=2.5)[0] for j in range(len(lines))], list(lines))
    return figure, said


def _value(value, unit):
    return f"{100 * value:.1f} %" if unit == PERCENT else f"{value:.4g} {unit}".strip()


def section(study, album):
    body = ""
    for kind in PANELS:
        lines = lines_of(study, kind)
        if not lines:
            continue
        figure, said = figure_of(lines, kind)
        body += f"<h3>{TITLES[kind]}: {', '.join(lines)}</h3>" + paragraph(INTRO[kind])
        seeds = max(len(stages) for stages in lines.values())
        how = f"Lines: mean over up to {seeds} seeds; bands: least to greatest." if seeds > 1 else "Pale: each update; bold: mean over a window."
        if figure:
            body += album.show(figure, f"curves-{kind}", f"{TITLES[kind]} by update. {how}")
        if said:
            body += paragraph(f"{'. '.join(said)}.", "note")
    return body or paragraph("No training stage has metrics yet.")
