"""Evidence: comparisons that a study file fixed before its runs were made (docs/report.md, Studies)."""

import itertools
import math
import re
from dataclasses import dataclass

import numpy as np
import yaml

from .errors import NotARun
from .run import load_run, read_json
from .stats import standard_error, t_quantile, t_tail
from .tables import Answers


@dataclass(frozen=True)
class Record:
    """A figure of one arm in one run, by problem: `labels` are the parameters in the name of its stage, `figure` what it is."""

    run: str
    figure: str
    labels: dict
    per_problem: np.ndarray


def labels_of(name):
    """td[n=p125,lambda=0.5] -> {stage: td, n: p125, lambda: 0.5}"""
    base, _, inside = name.partition("[")
    pairs = re.findall(r"([^=,\[\]]+)=((?:\[[^\]]*\]|[^,\[\]])+)", inside.rpartition("]")[0])
    return {"stage": base, **dict(pairs)}


def records_of(run):
    """Everything in a run that is known problem by problem: values against what is known (`v_pi/siblings`), choices of best_of_n
    (`best of N, last`, `vote value, last`, `majority`), answers of searches (`search greedy`), policies (`pass@1`), reinforcement learning
    with kept evaluations (`area` under the curve at equal generated tokens, `last evaluation`); and `v_pi/mse`, `auc`, `auc_within`, one number
    for all problems."""
    found = []

    def add(figure, name, values, by=""):
        if values is not None:
            found.append(Record(run.name, figure, labels_of(name) | {"by": by}, np.array([np.nan if v is None else v for v in values], float)))

    for stage in run.of_kind("best_of_n"):
        for model, entry in stage.results.get("values", {}).items():
            for estimand, figures in entry.items():
                if not isinstance(figures, dict):
                    continue
                for name, key in (("mse", "brier"), ("auc", "auc"), ("auc_within", "auc_within")):
                    if key in figures:  # of all problems together
                        add(f"{figures.get('estimand', estimand)}/{name}", model, [figures[key]], stage.name)
                if "siblings" in figures:
                    add(f"{figures.get('estimand', estimand)}/siblings", model, figures["siblings"].get("per_problem"), stage.name)
        for curve in stage.results.get("curves", []):
            at = f", {curve['at']}" if "at" in curve else ""
            how = f"vote {curve['vote']}{at}" if "vote" in curve else f"best of N{at}" if "model" in curve else curve["method"]
            add(how, curve.get("model", stage.name), curve.get("per_problem"), stage.name)
    for stage in run.of_kind("search"):
        if "accuracy" in stage.results:
            add(f"search {stage.results.get('search', 'greedy')}", stage.name, Answers(stage.directory).share_right())
    for stage in run.of_kind("evaluate"):
        for entry in stage.results.get("policies", []):
            add("pass@1", entry["policy"], entry.get("per_problem"))
    curves = {stage.name: learning_curve(stage) for stage in run.of_kind("rl")}
    curves = {name: curve for name, curve in curves.items() if curve}
    budget = min((tokens[-1] for tokens, _ in curves.values()), default=0)
    for name, (tokens, right) in curves.items():
        add("area", name, area(tokens, right, budget))
        add("last evaluation", name, right[-1])
    return found


def learning_curve(stage):
    """Generated tokens before each kept evaluation (save_evals), and shares of right answers, evaluations x problems; None if there are
    none."""
    files = sorted((stage.directory / "evals").glob("update-*.json"), key=lambda path: int(path.stem.split("-")[1]))
    if not files:
        return None
    evals = [read_json(path) for path in files]
    options = stage.options
    per_batch = int(options.get("inner_epochs", 1)) * int(options.get("minibatches", 1))
    generated = np.cumsum(stage.metrics["completions/tokens"][::per_batch])
    tokens = np.array([generated[(one["update"] - 1) // per_batch] for one in evals], float)
    return tokens, np.array([one["right"] for one in evals], float)


def area(tokens, right, budget):
    """Mean over the first `budget` generated tokens of the share of right answers, by problem; straight lines between evaluations, before
    the first as at the first."""
    grid = np.linspace(0, budget, 201)
    return np.array([np.trapezoid(np.interp(grid, tokens, column), grid) / budget for column in right.T])




class Evidence:
    """Records of the runs of a study, by run name."""

    def __init__(self, records, replicates):
        self.records, self.replicates = records, replicates

    def table(self, run, figure, where):
        """Figures of one arm: a row for each replicate, a column for each problem; replicates in the order of their labels.
        @throws NotARun where nothing is there, or more than one arm answers to `where`"""
        wanted = {key: str(value) for key, value in where.items()}
        rows = [r for r in self.records if r.run == run and r.figure == figure and wanted.items() <= r.labels.items()]
        key = lambda r: tuple(r.labels.get(name, "") for name in self.replicates)  # noqa: E731
        rows.sort(key=key)
        if not rows:
            known = sorted({r.figure for r in self.records if r.run == run})
            raise NotARun(f"no figure {figure} of {wanted} in the run {run} (a comparison has nothing to compare). It has {', '.join(known) or 'none'}.")
        if len({key(r) for r in rows}) < len(rows):
            raise NotARun(f"{wanted} fits several arms in the run {run} (only one can be compared). Name more of {sorted(rows[0].labels)}.")
        return np.stack([r.per_problem for r in rows])


@dataclass(frozen=True)
class Outcome:
    """What a comparison found: `estimate` with its 95 % interval, `p` two-sided against no effect, `verdict`."""

    name: str
    estimate: float
    low: float
    high: float
    p: float
    verdict: str
    arms: str
    replicates: int
    problems: int


def effect(a, b, as_ratio):
    """Difference of the means of two tables (replicates x problems), or their ratio, with its 95 % interval and p against
    no effect: Student's t with the error of replicates and problems (stats.standard_error), of a ratio on its logarithm."""
    if not as_ratio:
        estimate, error, degrees = standard_error(a - b, same_problems=True)
        return _interval(estimate, error, degrees)
    _, error, degrees = standard_error(a / a.mean() - b / b.mean(), same_problems=True)
    estimate, low, high, p = _interval(math.log(a.mean() / b.mean()), error, degrees)
    return math.exp(estimate), math.exp(low), math.exp(high), p


def _interval(estimate, error, degrees):
    half = t_quantile(degrees) * error
    if np.isnan(error):  # one replicate of one figure: nothing is known, and nothing stands
        p = 1.0
    else:
        p = t_tail(estimate / error, degrees) if error > 0 else float(estimate == 0)
    return estimate, estimate - half, estimate + half, p


def best_arm(evidence, run, figure, where, lower_is_better, chosen_by=None):
    """`where` with the values of its listed labels that are best, and the problems to judge it on. They are chosen on every other
    problem, from the first, and judged on the rest; or chosen by the figure with the labels `chosen_by`, on other problems."""
    free = [key for key, value in where.items() if isinstance(value, list)]
    if not free:
        return where, slice(None)
    chosen = None
    for values in itertools.product(*(where[key] for key in free)):
        candidate = {**where, **dict(zip(free, values))}
        figures = evidence.table(run, figure, candidate | (chosen_by or {}))
        score = np.nanmean(figures if chosen_by else figures[:, ::2]) * (1 if lower_is_better else -1)
        if chosen is None or score < chosen[0]:
            chosen = (score, candidate)
    return chosen[1], slice(None) if chosen_by else slice(1, None, 2)


def compare(evidence, entry):
    """One comparison of the study file: arm `a` against arm `b`, matched in replicates and problems."""
    run, figure = entry["run"], entry["figure"]
    lower = bool(entry.get("lower_is_better", False))
    (first, rest), (second, also) = (best_arm(evidence, run, figure, entry[arm], lower, entry.get("chosen_by")) for arm in "ab")
    rest = also if rest == slice(None) else rest
    a, b = (evidence.table(run, figure, one) for one in (first, second))
    if a.shape != b.shape:
        raise NotARun(f"{entry['name']}: arms of {a.shape} and {b.shape} replicates and problems in {run} (pairs are needed). Finish the run.")
    a, b = a[:, rest], b[:, rest]
    known = np.isfinite(a).all(axis=0) & np.isfinite(b).all(axis=0)
    a, b = a[:, known], b[:, known]
    as_ratio = entry.get("as") == "ratio"
    estimate, low, high, p = effect(a, b, as_ratio)
    none = 1.0 if as_ratio else 0.0
    arms = f"{_text(first)} against {_text(second)}"
    return Outcome(entry["name"], estimate, low, high, p, verdict(low, high, none, float(entry["smallest"]), lower), arms, *a.shape)


def verdict(low, high, none, smallest, lower_is_better):
    """better or worse: the interval lies beyond the smallest effect of interest; no effect: it lies within that effect; a
    little better or worse: beyond nothing, but not beyond that effect; else undecided."""
    good, bad = (none - high, low - none) if lower_is_better else (low - none, none - high)
    for distance, word in ((good, "better"), (bad, "worse")):
        if distance >= smallest:
            return word
    if low > none - smallest and high < none + smallest:
        return "no effect of interest"
    return "a little better" if good > 0 else "a little worse" if bad > 0 else "undecided"


def holm(outcomes, level=0.05):
    """Names of the comparisons whose p-values stand after Holm's correction."""
    standing = set()
    for i, one in enumerate(sorted(outcomes, key=lambda o: o.p)):
        if one.p > level / (len(outcomes) - i):
            break
        standing.add(one.name)
    return standing


def _text(where):
    return ", ".join(f"{key} {value}" for key, value in where.items())


def _outcome_lines(outcomes, standing=None):
    lines = ["| comparison | estimate | 95 % interval | p | verdict |", "| --- | --- | --- | --- | --- |"]
    for o in outcomes:
        note = "" if standing is None or o.name in standing else " (falls to Holm's correction)" if o.p < 0.05 else ""
        lines.append(f"| {o.name}: {o.arms} | {o.estimate:.3f} | [{o.low:.3f}, {o.high:.3f}] | {o.p:.4f} | {o.verdict}{note} |")
    return lines


def _table_lines(evidence, entry):
    """Means over replicates and problems, with the deviation between replicates: rows and columns are labels."""
    scale, digits = float(entry.get("times", 1)), int(entry.get("digits", 1))
    rows = [dict(zip(entry["rows"], values)) for values in itertools.product(*entry["rows"].values())]
    column, values = next(iter(entry["columns"].items()))
    lines = ["| " + " | ".join([*entry["rows"], *(f"{column} {v}" for v in values)]) + " |", "|" + " --- |" * (len(entry["rows"]) + len(values))]
    for row in rows:
        cells = []
        for value in values:
            wanted = {**entry.get("where", {}), **row, column: value}
            chosen, rest = best_arm(evidence, entry["run"], entry["figure"], wanted, bool(entry.get("lower_is_better")), entry.get("chosen_by"))
            means = scale * np.nanmean(evidence.table(entry["run"], entry["figure"], chosen)[:, rest], axis=1)
            spread = f" ± {means.std(ddof=1):.{digits}f}" if len(means) > 1 else ""
            cells.append(f"{means.mean():.{digits}f}{spread}")
        lines.append("| " + " | ".join([*(str(v) for v in row.values()), *cells]) + " |")
    return lines


def study_lines(study, runs):
    """The Markdown of a study. @throws NotARun as Evidence.table, or for a run that isn't given"""
    evidence = Evidence([record for run in runs for record in records_of(run)], study.get("replicates", ["seed"]))
    lines = [f"## {study['title']}", "", study.get("text", "").strip(), ""]
    primary = [compare(evidence, entry) for entry in study.get("primary", [])]
    if primary:
        lines += ["Primary, fixed before the runs were made:", "", *_outcome_lines(primary), ""]
    for entry in study.get("tables", []):
        lines += [entry["title"] + ":", "", *_table_lines(evidence, entry), ""]
    secondary = [compare(evidence, entry) for entry in study.get("secondary", [])]
    if secondary:
        lines += ["Secondary, p-values judged by Holm's procedure:", "", *_outcome_lines(secondary, holm(secondary)), ""]
    return lines


def write_study(path, run_folders, out):
    """Writes `out`/STUDY.md from a study file and its runs; returns its path."""
    try:
        study = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise NotARun(f"{path} can't be read ({error}). Name a study file, as in configs/evidence/.") from error
    if not isinstance(study, dict) or "title" not in study:
        raise NotARun(f"{path} is no study file (it has no title). Name one as in configs/evidence/.")
    lines = study_lines(study, [load_run(folder) for folder in run_folders])
    out.mkdir(parents=True, exist_ok=True)
    page = out / f"{path.name.removesuffix('.yaml')}.md"
    page.write_text("\n".join(lines))
    return page
