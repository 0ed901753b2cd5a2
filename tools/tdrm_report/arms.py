"""Arms of an experiment: ways to answer the same problems. Their accuracy, and their differences in pairs."""

from dataclasses import dataclass, field

import numpy as np

from .errors import NotARun
from .stats import Interval, difference, independent_difference, over_problems_and_seeds, t_quantile
from .methods import BASELINES, VOTES
from .study import shown, without_seed


@dataclass
class Result:
    """An arm in one run: accuracy on each problem (None where only the mean is known), and the answers that it chooses from."""

    seed: str
    interval: Interval
    per_problem: np.ndarray | None = None
    problem_id: np.ndarray | None = None
    answers: object = None  # tables.Answers that were drawn, where they can be read


@dataclass
class Arm:
    """`family`: policy, majority, best_of_n, vote, search, or oracle (pass@N, a limit). `metric` says what the figure is; `samples` how many
    answers to a problem the arm looks at."""

    name: str
    family: str
    metric: str
    samples: int
    group: str = ""
    results: list = field(default_factory=list)
    start: str = ""  # rl: the policy it began with
    use: str = ""  # best of N and search: how the value model is used
    of_outcome: bool = False  # whether that model was trained on outcomes alone

    @property
    def label(self):
        return f"{self.group}: {self.name}" if self.group else self.name

    @property
    def summary(self):
        return over_seeds(self.results)


def over_seeds(results):
    """Mean with interval over problems and seeds (docs/report.md)."""
    rows = [result.per_problem for result in results]
    if all(row is not None for row in rows):
        return over_problems_and_seeds(rows, _same_problems(results))
    if len(results) == 1:
        return results[0].interval
    means = np.array([result.interval.mean for result in results])
    half = t_quantile(len(means) - 1) * means.std(ddof=1) / np.sqrt(len(means))
    return Interval(float(means.mean()), float(means.mean() - half), float(means.mean() + half), len(means))


def _same_problems(results):
    first = results[0].problem_id
    return first is not None and all(r.problem_id is not None and np.array_equal(r.problem_id, first) for r in results)


def compare(arm, baseline):
    """Difference of two arms and how it was made: (Interval, "paired" | "independent"), paired where both know their
    accuracy on the same problems in all seeds of both."""
    seeds = [result.seed for result in arm.results]
    matching = {result.seed: result for result in baseline.results}
    if all(seed in matching for seed in seeds) and len(seeds) == len(matching):
        pairs = [(result, matching[result.seed]) for result in arm.results]
        if all(_pairable(a, b) for a, b in pairs):
            left, right = zip(*((a.per_problem, b.per_problem) for a, b in pairs))
            return difference(left, right, _same_problems(arm.results)), "paired"
    return independent_difference(arm.summary, baseline.summary), "independent"


def _pairable(a, b):
    return (a.per_problem is not None and b.per_problem is not None and a.problem_id is not None and b.problem_id is not None
            and len(a.per_problem) == len(a.problem_id) and np.array_equal(a.problem_id, b.problem_id))


def judge(interval):
    """better, worse, or no clear difference: whether a 95 % interval of a difference excludes 0."""
    return ("better" if interval.mean > 0 else "worse") if interval.excludes(0) else "no clear difference"


def collect(study):
    """All arms of a study, in order of stages; results of stages that differ in the seed only are results of one arm."""
    arms = {}
    for group, run, stage in study.stages("evaluate", "best_of_n", "search"):
        makers = {"evaluate": _policies, "best_of_n": _selections, "search": _search}
        for arm, result in makers[stage.kind](study, run, stage):
            arm.group = group.label
            arms.setdefault((arm.group, arm.name, arm.family, without_seed(stage.name)), arm).results.append(result)
    _name_apart(arms)
    if not any(arm.family == "policy" for arm in arms.values()):
        _add_candidates(study, arms)
    for arm in arms.values():
        _name_seeds(arm)
    return list(arms.values())


def _name_apart(arms):
    """Arms of equal names get that of their stage."""
    names = [(arm.group, arm.name) for arm in arms.values()]
    for (*_, stage), arm in arms.items():
        if names.count((arm.group, arm.name)) > 1:
            arm.name += f" ({stage})"


def _name_seeds(arm):
    """Repetitions within one run have equal seeds of the run: number them, so that pairs are found."""
    seen = {}
    for result in arm.results:
        seen[result.seed] = seen.get(result.seed, 0) + 1
        result.seed = f"{result.seed}#{seen[result.seed]}"


def _policies(study, run, stage):
    samples = int(stage.results.get("samples", 0))
    for entry in stage.results.get("policies", []):
        answers = study.answers(stage.directory / entry["policy"])
        first = entry["pass_at_k"][0]
        name = entry["policy"]
        trained = run.stage(name)
        start = shown(trained.options.get("policy", "").strip('"')) if trained and trained.kind == "rl" else ""
        arm = Arm(shown(name), "policy", "pass@1", samples, start=start)
        yield arm, Result(run.seed, _interval(first), _array(entry.get("per_problem")), answers and answers.problem_id, answers)


def _selections(study, run, stage):
    """Of each value model at the first place that the run file names: to pick one of several by its figures would be tuning."""
    answers, first = study.answers(run.folder(stage.results.get("data", "?"))), {}
    for curve in stage.results.get("curves", []):
        last = curve["points"][-1]
        n, model, place, vote = int(last["n"]), curve.get("model"), curve.get("at"), curve.get("vote")
        if first.setdefault(model, place) != place:
            continue
        if "baseline" in curve:
            arm = Arm(f"best of {n} by {BASELINES.get(curve['baseline'], curve['baseline'])}", "baseline", "accuracy", n)
        elif model is None:
            limit = curve["method"] == "pass@N"
            arm = Arm(f"pass@{n}", "oracle", f"pass@{n}", n) if limit else Arm(f"majority of {n}", "majority", "accuracy", n)
        else:
            name = f"{VOTES.get(vote, vote)} of {n}" if vote else f"best of {n}"
            arm = Arm(f"{name} by {shown(model)}, {place}", "vote" if vote else "best_of_n", "accuracy", n,
                      use=f"{without_seed(stage.name)} {place} {vote}", of_outcome=_of_outcome(run, model))
        yield arm, Result(run.seed, _interval(last), _array(curve.get("per_problem")), answers and answers.problem_id, answers)


def _search(study, run, stage):
    results = stage.results
    if "accuracy" not in results:
        return
    answers = study.answers(stage.directory)
    branch, model = int(results.get("branch", 0)), results.get("value", "?")
    kind = results.get("search", "greedy")
    width = f"{branch} branches" if kind == "greedy" else f"{results.get('width', branch)} wide"
    width = f"{stage.options['simulations']} simulations" if kind == "mcts" and "simulations" in stage.options else width
    width += f", {results['answer']}" if results.get("answer", "best") != "best" else ""
    arm = Arm(f"{kind} search by {shown(model)}, {width}", "search", "accuracy", results.get("width", branch),
              use=f"{kind} {width}", of_outcome=_of_outcome(run, model))
    rows = answers.share_right() if answers else None
    yield arm, Result(run.seed, _interval(results["accuracy"]), rows, answers and answers.problem_id, answers)


def _add_candidates(study, arms):
    """Without an evaluation, candidates of best-of-N say how good their policy is."""
    for group, run, stage in study.stages("best_of_n"):
        answers = study.answers(run.folder(stage.results.get("data", "?")))
        if answers is None:
            continue
        name, rows = shown(str(answers.attribute("policy", "policy"))), answers.share_right()
        arm = Arm(name, "policy", "pass@1", len(answers) // max(len(rows), 1), group=group.label)
        arms.setdefault((group.label, name, "policy", ""), arm).results.append(
            Result(run.seed, over_problems_and_seeds([rows], True), rows, answers.problem_id, answers))


def _of_outcome(run, model):
    """Whether a value model was trained on outcomes alone: the usual model to compare with."""
    stage = run.stage(model)
    return stage is not None and stage.options.get("target.kind", "").startswith("outcome")


def _interval(entry):
    return Interval(*(float("nan") if entry.get(name) is None else float(entry[name]) for name in ("mean", "low", "high")))


def _array(values):
    return None if values is None else np.array(values, float)


def baseline_of(arms, wanted=None):
    """The arm that others of its group are compared with: the one named, else the policy that rl began with, else the
    first policy; None without arms."""
    named = [arm for arm in arms if wanted is not None and arm.name == wanted]
    policies = [arm for arm in arms if arm.family == "policy"]
    starts = {arm.start for arm in policies if arm.start}
    started_from = [arm for arm in policies if not arm.start and arm.name.split(" (")[0] in starts]
    return next(iter(named + started_from + policies + arms), None)


def require_baseline(arms, wanted):
    """@throws NotARun if no arm has the name that the user gave"""
    names = list(dict.fromkeys(arm.name for arm in arms))
    if wanted is not None and wanted not in names:
        raise NotARun(f"no arm is called \"{wanted}\" (it would be the baseline). Arms are: {', '.join(names) or 'none yet'}.")


def head_to_head(arms):
    """Pairs that answer the questions of a study. Within a group: rl variants against the first one, which has the rule
    alone; value models against the vote, and against the model of the outcome where used alike. Between groups: equal
    arms against those of the first group, if they answered the same problems."""
    pairs = []
    for group in dict.fromkeys(arm.group for arm in arms):
        own = [arm for arm in arms if arm.group == group]
        trained = [arm for arm in own if arm.start]
        pairs += [(arm, trained[0]) for arm in trained[1:]]
        for family in ("best_of_n", "vote", "search"):
            chosen = [arm for arm in own if arm.family == family]
            for reference in [arm for arm in chosen if arm.of_outcome]:
                pairs += [(arm, reference) for arm in chosen if not arm.of_outcome and arm.use == reference.use]
        votes = {arm.samples: arm for arm in own if arm.family == "majority"}
        pairs += [(arm, votes[arm.samples]) for arm in own if arm.family in ("best_of_n", "vote") and arm.samples in votes]
    first = {arm.name: arm for arm in reversed(arms) if arm.group == arms[0].group}
    others = [(arm, first[arm.name]) for arm in arms if arm.group != arms[0].group and arm.name in first]
    pairs += [(arm, other) for arm, other in others if _same_problems(arm.results + other.results)]
    return pairs
