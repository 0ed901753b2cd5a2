"""Learning curves of training stages: variants over each other, seeds as bands."""

import numpy as np

from .drawing import colour, legend_above, panels, percent, smoothed, thinned
from .markup import paragraph
from .study import without_seed

PERCENT = "%"
# Panels by kind of stage: title, unit, figures drawn (the first one that exists), whether the axis is logarithmic.
PANELS = {
    "sft": [
        ("loss", "nats a token", ["loss"], False),
        ("pass@1 on the evaluation split", PERCENT, ["eval/pass@1"], False),
        ("entropy of the next token", "nats", ["entropy"], False),
        ("gradient norm before clipping", "", ["grad_norm"], True),
        ("gradient noise scale", "samples", ["noise_scale"], True),
        ("learning rate", "", ["learning_rate"], False),
    ],
    "value": [
        ("training loss", "nats a state", ["loss"], False),
        ("held-out log loss against the outcome", "nats a state", ["eval/log_loss"], False),
        ("held-out AUC against the outcome", "", ["eval/auc"], False),
        ("mean |δ|: target minus value", "", ["target/mean_delta"], False),
        ("mean change of the value between states", "", ["value/mean_change"], False),
        ("targets strictly inside (0, 1)", PERCENT, ["target/interior_share"], False),
        ("gradient norm before clipping", "", ["grad_norm"], True),
        ("gradient noise scale", "samples", ["noise_scale"], True),
    ],
    "rl": [
        ("right answers in training batches", PERCENT, ["rewards/rule/mean"], False),
        ("pass@1 on the evaluation split", PERCENT, ["eval/pass@1"], False),
        ("mean value of states", "", ["rewards/value/mean"], False),
        ("entropy of the next token", "nats", ["entropy"], False),
        ("groups without spread (teach nothing)", PERCENT, ["frac_reward_zero_std"], False),
        ("tokens whose ratio was clipped", PERCENT, ["clip_ratio/region_mean"], False),
        ("mean length of answers", "tokens", ["completions/mean_length"], False),
        ("answers cut for length", PERCENT, ["completions/clipped_ratio"], False),
        ("gradient norm before clipping", "", ["grad_norm"], True),
        ("gradient noise scale", "samples", ["noise_scale"], True),
        ("divergence from the reference (k3)", "nats a token", ["kl"], False),
        ("loss", "", ["loss"], False),
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
            name = without_seed(stage.name)
            lines.setdefault(f"{group.label}: {name}" if group.label else name, []).append(stage)
    return lines


def draw_line(axis, stages, figure, tone, log):
    """One figure of one variant; several seeds: their mean, with a band from the least to the greatest."""
    curves = []
    for stage in stages:
        if figure in stage.metrics:
            update, values = stage.metrics["update"], stage.metrics[figure]
            keep = np.isfinite(values) & ((values > 0) | (not log))
            if keep.any():
                curves.append((update[keep], values[keep]))
    if not curves:
        return False
    sparse = figure.startswith("eval/")
    thin = [thinned(*curve) for curve in curves]
    if sparse:
        thin = curves
    smooth = [(x, y if sparse else smoothed(y)) for x, y in thin]
    if len(curves) == 1:
        if not sparse:
            axis.plot(*thin[0], color=tone, lw=0.7, alpha=0.28)
        axis.plot(*smooth[0], color=tone, marker="o" if sparse and len(smooth[0][0]) <= 40 else "", ms=3.5)
        return True
    last = min(x[-1] for x, _ in smooth)
    x = np.unique(np.concatenate([x[x <= last] for x, _ in smooth])) if sparse else np.linspace(max(x[0] for x, _ in smooth), last, 300)
    table = np.array([np.interp(x, *curve) for curve in smooth])
    axis.fill_between(x, table.min(axis=0), table.max(axis=0), color=tone, alpha=0.16, lw=0)
    axis.plot(x, table.mean(axis=0), color=tone, marker="o" if sparse and len(x) <= 40 else "", ms=3.5)
    return True


def _constant_zero(lines, figure):
    """A figure that is 0 throughout gets no panel."""
    values = [s.metrics[figure] for stages in lines.values() for s in stages if figure in s.metrics]
    return not values or all(not np.any(np.nan_to_num(v)) for v in values)


def figure_of(lines, kind):
    """Panels of one kind of stage, or None; and the names of figures that stayed 0 throughout."""
    wanted, zero = [], []
    for title, unit, figures, log in PANELS[kind]:
        for name in figures:
            present = any(name in s.metrics for stages in lines.values() for s in stages)
            if present and _constant_zero(lines, name):
                zero.append(title)
            elif present:
                wanted.append((title, unit, name, log))
    if not wanted:
        return None, zero
    figure, axes = panels(len(wanted), height=1.95)
    for i, (axis, (title, unit, name, log)) in enumerate(zip(axes, wanted)):
        for j, stages in enumerate(lines.values()):
            draw_line(axis, stages, name, colour(j), log)
        axis.set_title(title)
        if log:
            axis.set_yscale("log")
        if unit == PERCENT:
            percent(axis)
        elif unit:
            axis.set_ylabel(unit)
        if i >= len(axes) - 2:
            axis.set_xlabel("update")
        axis.margins(x=0.01)
    handles = [axes[0].plot([], [], color=colour(j), lw=2.5)[0] for j in range(len(lines))]
    if len(lines) > 1:
        legend_above(figure, handles, list(lines))
    return figure, zero


def section(study, album):
    body = ""
    for kind in PANELS:
        lines = lines_of(study, kind)
        if not lines:
            continue
        figure, zero = figure_of(lines, kind)
        body += f"<h3>{TITLES[kind]}: {', '.join(lines)}</h3>" + paragraph(INTRO[kind])
        seeds = max(len(stages) for stages in lines.values())
        how = f"Lines: mean over up to {seeds} seeds; bands: least to greatest." if seeds > 1 else "Pale: each update; bold: mean over a window."
        if figure:
            body += album.show(figure, f"curves-{kind}", f"{TITLES[kind]} by update. {how}")
        if zero:
            body += paragraph(f"0 throughout: {', '.join(zero)}.", "note")
    return body or paragraph("No training stage has metrics yet.")
