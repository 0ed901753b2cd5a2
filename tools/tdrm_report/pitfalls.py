"""Red flags of comparisons at test time: the common mistakes, as far as files of runs show them. Rules: docs/report.md."""

import numpy as np

from .arms import baseline_of
from .flags import Flag
from .methods import comparisons
from .stats import difference
from .study import shown

POINT = 0.005  # half a point of accuracy: less isn't called a difference


def of_comparisons(study, arms, wanted=None):
    """All flags, for `arms` of a study (arms.collect) and the baseline that was asked for."""
    found = []
    for _, run, stage in study.stages("best_of_n", "search", "evaluate"):
        prefix = f"{run.name}/" if len(study.runs) > 1 else ""
        found += [Flag(prefix + flag.where, flag.what, flag.severe) for rule in OF_STAGES for flag in rule(study, run, stage)]
    for name, comparison in comparisons(study).items():
        found += [Flag(name, what) for method in comparison.methods.values() for rule in OF_METHODS if (what := rule(method, comparison))]
    for group in dict.fromkeys(arm.group for arm in arms):
        own = [arm for arm in arms if arm.group == group]
        found += [Flag(group or "comparison", what) for rule in OF_ARMS if (what := rule(own, baseline_of(own, wanted)))]
    return found


def _judged(study, run, stage, *kinds):
    """(answers, model as shown, its stage) of the models of some kinds that a stage's figures rest on."""
    results = stage.results
    if stage.kind == "evaluate":
        folders = [stage.directory / entry["policy"] for entry in results.get("policies", [])]
    else:
        folders = [run.folder(results["data"]) if results.get("data") else stage.directory]
    answers = next((found for folder in folders if (found := study.answers(folder))), None)
    models = [*results.get("values", {}), results.get("value"), results.get("policy"), *(entry["policy"] for entry in results.get("policies", []))]
    for model in models:
        trained = run.stage(model) if model else None
        if answers and trained and trained.kind in kinds:
            yield answers, shown(model), trained


def trained_on_test(study, run, stage):
    """A model that learnt from the problems that it is judged on: a value model from answers to them, a policy from their split."""
    for answers, model, trained in _judged(study, run, stage, "value"):
        data = study.answers(run.folder(trained.options.get("data", "?").strip('"')))
        shared = np.intersect1d(data.problem_id, answers.problem_id).size if data else 0
        if shared:
            yield Flag(f"{stage.name}/{model}", f"{shared} of the {answers.problem_id.size} problems are among those of {data.attribute('split')}, "
                       "which the value model was trained on (its figures are those of memory). Train it on answers to other problems.", True)
    for answers, model, trained in _judged(study, run, stage, "sft", "rl"):
        if trained.options.get("problems") == answers.attribute("split", None):
            yield Flag(f"{stage.name}/{model}", f"The policy was trained on the split {answers.attribute('split')}, which it answers here (its "
                       "figures are those of memory). Evaluate it on another split.", True)


def update_picked_on_test(study, run, stage):
    """The best update by the evaluation on the very split."""
    for answers, model, trained in _judged(study, run, stage, "sft", "rl"):
        picked_on = run.config.get(("stages", trained.name, "eval", "problems"))  # no part of a stage's identity
        if model.endswith("@best") and picked_on == answers.attribute("split", None):
            yield Flag(f"{stage.name}/{model}", f"Its update was chosen on the split {answers.attribute('split')}, which it answers here (the best "
                       "of several is too good by chance). Let eval.problems name another split.")


def beyond_critical_width(study, run, stage):
    results = stage.results
    width, critical = results.get("width"), results.get("critical_width")
    if width and critical and width > critical:
        yield Flag(stage.name, f"Each round has {width} continuations, but with a gap of {results['gap']:.3g} and a noise of {results['noise']:.3g} "
                   f"this value model can tell apart about {critical:.3g} (a wider search finds wrong answers that look right). Try fewer.")


def few_orderings(study, run, stage):
    """Votes over so few subsets that another draw of them would show."""
    drawn = [point["sampling"] for curve in stage.results.get("curves", []) for point in curve["points"] if point.get("sampling")]
    if drawn and max(drawn) > 0.01:
        yield Flag(stage.name, f"Votes are known to ± {100 * max(drawn):.1f} points only, as few subsets of the candidates were drawn (one "
                   "ordering of them says little). Raise subsets.")


def _choices(stage):
    return {(curve["model"], curve["at"], curve.get("vote")): curve for curve in stage.results.get("curves", []) if "model" in curve}


def aggregation_tuned(study, run, stage):
    """Another place of `at` than the first is clearly better on these problems, and no other best_of_n stage says so on others."""
    first, curves = {}, _choices(stage)
    for (model, place, vote), curve in curves.items():
        planned = curves.get((model, first.setdefault(model, place), vote))
        if place == first[model] or planned is None:
            continue
        change = difference([curve["per_problem"]], [planned["per_problem"]])
        if change.low > 0 and not _better_elsewhere(study, run, stage, (model, place, vote), first[model]):
            yield Flag(f"{stage.name}/{shown(model)}", f"Chosen by {place} its answers are {100 * change.mean:.1f} points better than by "
                       f"{first[model]}, the first of `at` (to quote it would be tuning on the test problems). Compare places on other problems "
                       "first, then name one.")


def _better_elsewhere(study, run, stage, key, first):
    model, place, vote = key
    here = run.folder(stage.results["data"])
    for other in run.of_kind("best_of_n"):
        curves = _choices(other)
        if other is stage or key not in curves or (model, first, vote) not in curves:
            continue
        ours, theirs = study.answers(here), study.answers(run.folder(other.results["data"]))
        apart = ours and theirs and not np.intersect1d(ours.problem_id, theirs.problem_id).size
        if apart and curves[key]["points"][-1]["mean"] > curves[(model, first, vote)]["points"][-1]["mean"]:
            return True
    return False


def cost_unknown(method, comparison):
    if method.model and not any(np.isfinite(point.flop) for _, point in method.curve()):
        return (f"What the {method.label} costs in FLOP isn't known (compared at equal N, the value model is free). Make the stages again with "
                "--redo; candidates have to be a model's.")
    return None


def loses_at_equal_compute(method, comparison):
    """Ahead of the majority vote at equal N, behind it at equal compute."""
    vote = next((other for other in comparison.methods.values() if other.family == "majority"), None)
    if vote is None or method.family not in ("best_of_n", "vote") or not method.planned:
        return None
    (n, most), (_, ours) = vote.curve()[-1], method.curve()[-1]
    equal = method.accuracy_at(most.flop)
    if equal is not None and ours.interval.mean > most.interval.mean + POINT and equal < most.interval.mean - POINT:
        return (f"At N = {n} the {method.label} is ahead of the majority vote ({_share(ours)} against {_share(most)}), at the vote's compute it has "
                f"{100 * equal:.1f} % (the value model isn't free). Compare at equal FLOP.")
    return None


def bends_down(method, comparison):
    """More candidates, clearly worse choice: the interval at the largest N lies below an earlier mean."""
    if method.family not in ("best_of_n", "vote") or not method.planned:
        return None
    curve = method.curve()
    n, best = max(curve, key=lambda item: item[1].interval.mean)
    last = curve[-1][1]
    if last.interval.high < best.interval.mean:
        return (f"The {method.label} falls from {_share(best)} at N = {n} to {_share(last)} at N = {curve[-1][0]} (among more candidates more "
                "wrong ones look right). Choose among fewer, or vote.")
    return None


def _share(point):
    return f"{100 * point.interval.mean:.1f} %"


def ceiling_as_baseline(arms, baseline):
    if baseline and baseline.family == "oracle":
        return f"The baseline {baseline.name} is a limit, no method (somebody has to know which answer is right). Name another one with --baseline."
    return None


def other_sampler(arms, baseline):
    """Answers that were drawn otherwise than the baseline's."""
    def samplers(arm):
        return {tuple(result.answers.sampler().items()) for result in arm.results if result.answers}
    if baseline is None or len(samplers(baseline)) != 1:
        return None
    (own,) = samplers(baseline)
    others = {arm.name: dict(other) for arm in arms for other in samplers(arm) if own and other and other != own and arm.family != "policy"}
    if not others:
        return None
    name, other = next(iter(others.items()))
    options = [key for key, value in own if other.get(key) != value]
    told = ", ".join(f"{key} {dict(own)[key]:g} instead of {other[key]:g}" for key in options if key in other)
    more = f" and {len(others) - 1} others" if len(others) > 1 else ""
    return (f"The baseline {baseline.name} was drawn with {told} of {name}{more} (differences to it are those of the sampler, too). "
            "Evaluate the policy with the sampler of the candidates.")


def cut_for_some(arms, baseline):
    """Answers cut for length count as wrong: it matters where some methods have many more of them."""
    shares = {arm.name: float(np.mean([result.answers.share_cut() for result in arm.results])) for arm in arms
              if arm.results and all(result.answers for result in arm.results)}
    if not shares:
        return None
    most, least = max(shares, key=shares.get), min(shares, key=shares.get)
    if shares[most] > shares[least] + 0.05:
        return (f"{100 * shares[most]:.0f} % of the answers behind {most} were cut for length, {100 * shares[least]:.0f} % of those behind {least} "
                "(they count as wrong for some methods only). Give all the same sampler.max_tokens, and enough.")
    return None


def one_seed(arms, baseline):
    if len(arms) > 1 and all(len(arm.results) == 1 for arm in arms):
        return ("One seed (intervals cover the draw of problems and answers, not that of training). Repeat the run with other seeds, and give all of "
                "them to tools/report.")
    return None


OF_STAGES = (trained_on_test, update_picked_on_test, beyond_critical_width, few_orderings, aggregation_tuned)
OF_METHODS = (cost_unknown, loses_at_equal_compute, bends_down)
OF_ARMS = (ceiling_as_baseline, other_sampler, cut_for_some, one_seed)
