"""Ways to choose an answer at test time: their accuracy over N, or over the budget of a search, and what that costs."""

from dataclasses import dataclass, field

import numpy as np

from .stats import Interval, mean_interval, t_quantile
from .study import shown, without_seed

VOTES = {"value": "value-weighted vote", "power": "power-weighted vote", "log_odds": "log-odds vote"}
BASELINES = {"log_prob": "log-prob", "mean_log_prob": "mean log-prob", "shortest": "length, the shortest"}
SEARCHES = ("greedy", "beam", "dvts", "smc", "mcts")


@dataclass
class Method:
    """`family`: limit (pass@N), majority, baseline (log-prob, length), best_of_n, vote, or a kind of search. `planned`: whether its place is the first one that the
    run file names for the model; to take the best of several places by their figures would be tuning on the test problems. `vote`: how
    votes are weighed, which baseline it is, or how a search chooses among its answers. `points`: entries of results.json by N, or by stage of a search, one for
    each seed; `fifths`: such points of each fifth."""

    label: str
    family: str
    model: str = ""
    place: str = ""
    vote: str = ""
    planned: bool = True
    points: dict = field(default_factory=dict)
    fifths: list = field(default_factory=lambda: [{} for _ in range(5)])

    @property
    def is_search(self):
        return self.family in SEARCHES

    def curve(self):
        """[(N or stage, Point)], cheapest first."""
        found = [(key, point_of(entries)) for key, entries in self.points.items()]
        return sorted(found, key=lambda item: item[1].answers if self.is_search else item[0])

    def accuracy_at(self, flop):
        """Accuracy at so much compute, between points by the logarithm of theirs; None outside of them or where it isn't known."""
        known = [(point.flop, point.interval.mean) for _, point in self.curve() if np.isfinite(point.flop)]
        if not known or not known[0][0] * (1 - 1e-9) <= flop <= known[-1][0] * (1 + 1e-9):
            return None
        return float(np.interp(np.log(flop), np.log([x for x, _ in known]), [y for _, y in known]))


@dataclass
class Point:
    """Means over seeds, costs a problem. `answers`: drawn tokens, counted in answers of mean length; `policy_flop`: without the value
    model's part. NaN where results.json doesn't say."""

    interval: Interval
    answers: float
    generated: float
    scored: float
    flop: float
    policy_flop: float


@dataclass
class Comparison:
    """Methods on the same problems, by label, and what the policy does alone: {label: [interval of each seed]}."""

    methods: dict = field(default_factory=dict)
    floor: dict = field(default_factory=dict)


def figure(entry, name):
    """A number of results.json, where null and nothing are NaN."""
    return np.nan if entry.get(name) is None else float(entry[name])


def merged(points):
    """One seed: its interval over problems. Several: mean of seeds with Student's interval over seeds, at least as wide as
    the mean of their intervals over problems."""
    means = np.array([figure(point, "mean") for point in points])
    half = np.mean([(figure(point, "high") - figure(point, "low")) / 2 for point in points])
    if len(means) > 2:
        half = max(half, t_quantile(len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means)))
    return Interval(float(means.mean()), float(means.mean() - half), float(means.mean() + half), len(means))


def point_of(entries):
    def mean(read):
        return float(np.mean([read(entry) / entry["problems"] for entry in entries]))
    drawn = mean(lambda entry: figure(entry, "generated_tokens"))
    flop = {part: mean(lambda entry: figure(entry.get("flops", {}), part)) for part in ("total", "policy")}
    length = float(np.mean([entry["answer_tokens"] for entry in entries]))
    return Point(merged(entries), drawn / length, drawn, mean(lambda entry: figure(entry, "scored_tokens")), flop["total"], flop["policy"])


def comparisons(study):
    """{stage of best_of_n: Comparison}, with the searches that answered the same problems; other searches under "search". Of several
    configurations each has its own, named "configuration: stage"."""
    found, drawn = {}, set()
    searches = [(group, run, stage) for group, run, stage in study.stages("search") if "accuracy" in stage.results]
    for group, run, stage in study.stages("best_of_n"):
        if not stage.results.get("curves"):
            continue
        own = found.setdefault(_within(group, without_seed(stage.name)), Comparison())
        candidates = study.answers(run.folder(stage.results.get("data", "?")))
        length = _selections(own, stage)
        _floor(study, own, run, stage, candidates)
        for _, other, search in searches:
            answers = study.answers(search.directory)
            if other is run and candidates and answers and np.array_equal(answers.problem_id, candidates.problem_id):
                _search(own, search, length, candidates.attribute("policy"))
                drawn.add(search.directory)
    for group, run, stage in searches:
        answers = study.answers(stage.directory)
        if stage.directory not in drawn and answers:
            own = found.setdefault(_within(group, "search"), Comparison())
            _search(own, stage, answers.mean_length(), answers.attribute("policy"))
    return found


def _selections(comparison, stage):
    """Adds the curves of a best_of_n stage; returns the mean length of a candidate in tokens, NaN if it isn't known."""
    problems, length, first = stage.results["problems"], np.nan, {}
    for curve in stage.results["curves"]:
        model, place, vote = curve.get("model", ""), curve.get("at", ""), curve.get("vote", curve.get("baseline", ""))
        method = Method(*_name(curve), shown(model), place, vote, first.setdefault(model, place) == place)
        method = comparison.methods.setdefault(method.label, method)
        if curve["points"][0]["n"] == 1:
            length = figure(curve["points"][0], "generated_tokens") / problems
        _add(method.points, curve["points"], problems, length)
        for fifth, points in zip(method.fifths, curve.get("quintiles", [])):
            _add(fifth, points, problems, length)
    return length


def _within(group, label):
    return f"{group.label}: {label}" if group.label else label


def _add(found, points, problems, length):
    for point in points:
        found.setdefault(point["n"], []).append(point | {"problems": problems, "answer_tokens": length})


def _name(curve):
    if "baseline" in curve:
        return f"best of N by {BASELINES.get(curve['baseline'], curve['baseline'])}", "baseline"
    if "model" not in curve:
        return ("pass@N", "limit") if curve["method"] == "pass@N" else ("majority vote", "majority")
    by = f"{shown(curve['model'])}, {curve['at']}"
    vote = curve.get("vote")
    return (f"{VOTES.get(vote, vote)} by {by}", "vote") if vote else (f"best of N by {by}", "best_of_n")


def _search(comparison, stage, length, policy):
    results = stage.results
    kind, answer, model = results.get("search", "greedy"), results.get("answer", "best"), shown(results.get("value", "?"))
    label = f"{kind} search by {model}" + (f", {answer}" if answer != "best" else "")
    if results.get("policy", policy) != policy:
        label += f", of {shown(results['policy'])}"
    method = comparison.methods.setdefault(label, Method(label, kind, model, vote=answer))
    entry = results["accuracy"] | {name: results[name] for name in ("generated_tokens", "scored_tokens", "flops") if name in results}
    method.points.setdefault(without_seed(stage.name), []).append(entry | {"problems": results["problems"], "answer_tokens": length})


def _floor(study, comparison, run, stage, candidates):
    """Greedy decoding by the policy that drew the candidates, where the run has it, else one draw of that policy."""
    policy = shown(str(candidates.attribute("policy", "the policy"))) if candidates else "the policy"
    greedy = candidates and greedy_answers(study, run, candidates)
    if greedy:
        label, interval = f"greedy decoding by {policy}", mean_interval(greedy.share_right())
        entry = {"mean": interval.mean, "low": interval.low, "high": interval.high}
    else:
        limit = next((curve for curve in stage.results["curves"] if curve["method"] == "pass@N"), None)
        if limit is None or limit["points"][0]["n"] != 1:
            return
        label, entry = f"pass@1 of {policy} among the candidates (the run has no greedy decoding)", limit["points"][0]
    comparison.floor.setdefault(label, []).append(entry)


def greedy_answers(study, run, candidates):
    """Answers at temperature 0 by the same policy to the same problems; None if the run has none."""
    folders = [stage.directory for stage in run.of_kind("rollout")]
    folders += [stage.directory / entry["policy"] for stage in run.of_kind("evaluate") for entry in stage.results.get("policies", [])]
    for folder in folders:
        answers = study.answers(folder)
        if (answers and answers.attribute("temperature", 1.0) == 0 and np.array_equal(answers.problem_id, candidates.problem_id)
                and answers.attribute("policy_hash") == candidates.attribute("policy_hash")):
            return answers
    return None
