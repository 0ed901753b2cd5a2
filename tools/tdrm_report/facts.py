"""Facts of runs: builds, machines, time, and where it went."""

import time

import numpy as np

from .drawing import COLOURS, WIDTH, plt
from .markup import duration, escape, number, paragraph, table
from .study import differing

PHASES = ("batch", "gradient", "sum", "step", "eval", "commit")
SECTIONS = {"generate": "#7A5195", "score": "#B8A800", "work": "#5b8a9a", "merge": "#9ca3af"}  # of stages that don't train
MEANING = {"batch": "drawing a batch (rl: generating and scoring)", "gradient": "gradients", "sum": "summing over ranks, waiting included",
           "step": "AdamW", "eval": "evaluation", "commit": "commits", "generate": "generating (search)", "score": "scoring (search)",
           "work": "other work of stages that don't train", "merge": "joining their parts"}


def phases_of(stage):
    """Seconds by phase of a training stage; {} without timing."""
    found = {name: float(np.nansum(stage.timing[name])) for name in stage.timing if name != "update"}
    known = {name: found[name] for name in PHASES if name in found}
    return {**known, **{name: seconds for name, seconds in found.items() if name not in known and "/" not in name}}


def sections_of(run, name):
    """The same of a stage that doesn't train, in its newest start; {} if nobody noted it."""
    sections = run.performance.get(name, {}).get("sections", {})
    return {section: sections[section]["avg"] for section in SECTIONS if sections.get(section, {}).get("avg")}


def _short(name):
    return name.removeprefix("completions/").replace("_", " ")


def run_row(run):
    events = run.history
    builds = dict.fromkeys(event.get("build", "?") for event in events)
    hosts = dict.fromkeys(event.get("host", "?") for event in events)
    ranks = dict.fromkeys(str(event.get("ranks", "?")) for event in events)
    resumes = [event["stage"] for event in events if event.get("event") == "resumed"]
    size = sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file())
    begun = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(min((e["time"] for e in events), default=0))) if events else "–"
    return [escape(str(run.path)), escape(run.task), escape(run.seed), escape(begun), escape(", ".join(hosts)), escape(", ".join(ranks)),
            escape(f"{len(resumes)} ({', '.join(dict.fromkeys(resumes))})" if resumes else "none"),
            duration(sum(run.seconds().values())), f"{size / 1e6:,.0f} MB", "<br>".join(escape(build) for build in builds)]


def stage_rows(run):
    seconds, rows = run.seconds(), []
    for stage in run.stages.values():
        phases = phases_of(stage)
        total = sum(phases.values())
        commit = f"{100 * phases.get('commit', 0) / total:.1f} %" if total else ""
        tokens = stage.metrics.get("num_tokens")
        headline = ", ".join(f"{_short(name)} {number(value)}" for name, value in stage.record.get("results", {}).items() if isinstance(value, (int, float)))
        rows.append([escape(stage.name), escape(stage.kind), stage.state, number(stage.record.get("updates") or float("nan")),
                     number(np.nansum(tokens)) if tokens is not None else "", duration(seconds[stage.name]) if stage.name in seconds else "–",
                     commit, escape(headline)])
    return rows


def time_figure(run):
    """Bars: seconds of each stage, training stages parted by phase, others as their newest start was."""
    seconds = {name: value for name, value in run.seconds().items() if name in run.stages}
    if not seconds:
        return None
    names = [name for name in run.stages if name in seconds][::-1]
    drawing, axis = plt.subplots(figsize=(WIDTH, 0.28 * len(names) + 1.0))
    shown = {}
    for y, name in enumerate(names):
        left = 0.0
        for phase, value in (phases_of(run.stages[name]) or sections_of(run, name)).items():
            tone = COLOURS[PHASES.index(phase)] if phase in PHASES else SECTIONS.get(phase, "#9ca3af")
            shown.setdefault(phase, axis.barh(y, value, left=left, color=tone, height=0.7))
            left += value
        rest = max(seconds[name] - left, 0)
        shown.setdefault("all else", axis.barh(y, rest, left=left, color="#d1d5db", height=0.7))
    axis.set_yticks(range(len(names)), names)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("seconds")
    ordered = [name for name in (*PHASES, *SECTIONS) if name in shown]
    ordered += [name for name in shown if name not in ordered and name != "all else"] + ["all else"]
    axis.legend([shown[name] for name in ordered], [MEANING.get(name, name) for name in ordered], loc="upper center",
                bbox_to_anchor=(0.45, -0.6 / drawing.get_figheight()), ncols=3, fontsize=8)
    return drawing


def section(study, album):
    body = table(["run", "task", "seed", "begun", "host", "ranks", "resumed", "time", "size", "build"],
                 [run_row(run) for run in study.runs], numbers=(2, 7, 8))
    if len(study.groups) > 1:
        heads = [group.label for group in study.groups]
        rows = [[escape(".".join(path)), *(escape(value[:60]) for value in values)]
                for path, values in differing([group.runs[0] for group in study.groups]).items()]
        body += "<h3>Settings that differ</h3>" + table(["setting", *heads], rows[:40])
        if len(rows) > 40:
            body += paragraph(f"{len(rows) - 40} more differ.", "note")
    for i, run in enumerate(study.runs):
        body += f"<h3>Stages of {escape(run.name)}</h3>" + table(
            ["stage", "kind", "state", "updates", "tokens", "time", "in commits", "result"], stage_rows(run), numbers=(3, 4, 5, 6))
        if (drawing := time_figure(run)) is not None:
            body += album.show(drawing, f"time-{i + 1}", "Time of the job that finished each stage, by phase where it trains.")
    for run in study.runs:
        body += f"<details><summary>config.yaml of {escape(run.name)}</summary><pre>{escape(run.config_text)}</pre></details>"
    return body
