"""Red flags: what in a run should make its reader doubt the figures. Each rule looks at a stage and says what it saw."""

from dataclasses import dataclass

import numpy as np

LEAST_PROBLEMS = 100


@dataclass(frozen=True)
class Flag:
    """`where`: run and stage; `what`: what was seen, why it matters and what to do. `severe`: the figures can't be trusted."""

    where: str
    what: str
    severe: bool = False


def ends(values, share=0.2):
    """Means of the first and of the last `share` of a curve; NaN for a curve of fewer than 2 figures."""
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return float("nan"), float("nan")
    count = max(1, int(len(values) * share))
    return float(values[:count].mean()), float(values[-count:].mean())


def _last(metrics, name):
    return ends(metrics.get(name, np.empty(0)))[1]


def hacking(stage):
    """The reward rises while what is wanted falls: the rule's verdict in training, or accuracy on the evaluation split."""
    first, last = ends(stage.metrics.get("reward", np.empty(0)))
    if not last > first + 0.02:
        return None
    for name, what in (("eval/pass@1", "accuracy on the evaluation split"), ("rewards/rule/mean", "the share of right answers")):
        values = stage.metrics.get(name, np.empty(0))
        values = values[np.isfinite(values)]
        before, after = ends(values)
        if after < before - 0.02:
            return (f"The reward rose from {first:.3f} to {last:.3f} while {what} fell from {100 * before:.1f} % to {100 * after:.1f} % (reward "
                    "hacking: the value model is exploited). Lower reward.value.weight, or take an earlier update.")
    return None


def worse_than_start(stage):
    """Training that lowers the share of right answers, without a rise of the reward."""
    before, after = ends(stage.metrics.get("rewards/rule/mean", np.empty(0)))
    if after < before - 0.05 and hacking(stage) is None:
        return f"The share of right answers fell from {100 * before:.1f} % to {100 * after:.1f} % (training harms). Lower the learning rate."
    return None


def entropy_collapse(stage):
    first, last = ends(stage.metrics.get("entropy", np.empty(0)))
    if last < 0.1 * first or last < 0.01:
        return (f"Entropy fell from {first:.3f} to {last:.4f} nats (the policy hardly explores any more). Train for fewer updates, or with a "
                "lower learning rate or kl.beta > 0.")
    return None


def clipping(stage):
    share = _last(stage.metrics, "clip_ratio/region_mean")
    if share > 0.2:
        return f"{100 * share:.0f} % of the tokens were clipped at the end (updates step too far from their batch). Lower the learning rate or epochs."
    return None


def no_spread(stage):
    share = _last(stage.metrics, "frac_reward_zero_std")
    if share > 0.7:
        return f"{100 * share:.0f} % of the groups had no spread at the end (they teach nothing). Take more samples, or problems nearer to the policy's reach."
    return None


def truncation(stage):
    share = _last(stage.metrics, "completions/clipped_ratio")
    if share > 0.05:
        return f"{100 * share:.0f} % of the answers were cut for length at the end (they count as wrong). Raise sampler.max_tokens."
    return None


def saturated_targets(stage):
    kind, share = stage.options.get("target.kind", ""), _last(stage.metrics, "target/interior_share")
    if kind.startswith("td") and share < 0.05:
        return f"Only {100 * share:.1f} % of the targets lay inside (0, 1) (bootstrapping is inert, all but outcomes). Check target.shaping and lambda."
    return None


def no_better_than_constant(stage):
    """The best held-out AUC is near a coin's."""
    values = stage.metrics.get("eval/auc", np.empty(0))
    values = values[np.isfinite(values)]
    if len(values) and values.max() < 0.55:
        return f"The best held-out AUC is {values.max():.3f} (the value model is no better than a constant). Train longer or on more problems."
    return None


def diverged(stage):
    loss = stage.metrics.get("loss", np.empty(0))
    first, last = ends(loss)
    if len(loss) and not np.isfinite(loss).all():
        return "The loss was not finite in some updates (training diverged). Lower the learning rate."
    if stage.kind != "rl" and last > first:
        return f"The loss rose from {first:.3f} to {last:.3f} (training diverged). Lower the learning rate."
    return None


def overfitting(stage):
    """The held-out log loss ends clearly above its least figure."""
    values = stage.metrics.get("eval/log_loss", np.empty(0))
    values = values[np.isfinite(values)]
    if len(values) > 2 and values[-1] > 1.1 * values.min():
        return (f"The held-out log loss ends at {values[-1]:.3f}, after {values.min():.3f} (overfitting). Stages that read this one take the best "
                "update; set select.patience to stop earlier.")
    return None


RULES = {
    "sft": (diverged,),
    "value": (diverged, saturated_targets, no_better_than_constant, overfitting),
    "rl": (hacking, worse_than_start, entropy_collapse, clipping, no_spread, truncation, diverged),
}


def of_results(stage):
    """Flags of stages that evaluate."""
    results = stage.results
    problems = results.get("problems")
    if problems is not None and problems < LEAST_PROBLEMS:
        yield Flag(stage.name, f"Evaluated on {problems} problems (intervals are wide below {LEAST_PROBLEMS}). Use a larger split.")
    for entry in results.get("policies", []):
        cut = entry.get("reasons", {}).get("truncated", 0) / max(sum(entry.get("reasons", {}).values()), 1)
        if cut > 0.05:
            yield Flag(f"{stage.name}/{entry['policy']}", f"{100 * cut:.0f} % of the answers were cut for length (they count as wrong). Raise sampler.max_tokens.")
    for model, entry in results.get("values", {}).items():
        auc = entry.get("outcome", {}).get("auc")
        if auc is not None and auc < 0.55:
            yield Flag(f"{stage.name}/{model}", f"AUC against the outcome is {auc:.3f} (the value model is no better than a constant on these "
                       "answers). Don't select by it.")


def of_selection(stage):
    """Flags of best_of_n: votes that need no verifier because they are one; a value model against the constant that says
    the share of right answers of every state."""
    last = {curve["method"]: curve["points"][-1]["mean"] for curve in stage.results.get("curves", []) if curve.get("points")}
    if "majority" in last and last.get("pass@N", np.inf) - last["majority"] < 0.005:
        yield Flag(stage.name, f"Majority vote reaches pass@N ({100 * last['majority']:.1f} %): wrong answers have no common vote in this task, so "
                   "voting verifies (it is no rival of value models). Compare value models with one another and with pass@1.")
    for model, entry in stage.results.get("values", {}).items():
        bins = entry.get("outcome", {}).get("bins", [])
        states = sum(b["count"] for b in bins)
        base = sum(b["count"] * b["truth"] for b in bins) / max(states, 1)
        if 0 < base < 1 and entry["outcome"]["brier"] > 0.98 * base * (1 - base):
            yield Flag(f"{stage.name}/{model}", f"Brier score {entry['outcome']['brier']:.4f}, always saying {base:.3f} has {base * (1 - base):.4f} (hardly better "
                       "than a constant). Don't trust its values as chances.")


def flags_of(study, more=()):
    """All flags of a study; severe ones first (damage), then stage by stage, then `more` of them, of comparisons."""
    found = [Flag("damaged", problem, severe=True) for problem in study.damage] + [flag for flag in more if flag.severe]
    several = len(study.runs) > 1
    for run in study.runs:
        prefix = f"{run.name}/" if several else ""
        for stage in run.stages.values():
            found += [Flag(prefix + stage.name, what) for rule in RULES.get(stage.kind, ()) if stage.metrics and (what := rule(stage))]
            found += [Flag(prefix + flag.where, flag.what, flag.severe) for flag in (*of_results(stage), *of_selection(stage))]
            cut = stage.record.get("results", {}).get("completions/clipped_ratio") if stage.kind == "rollout" else None
            if cut is not None and cut > 0.05:
                found.append(Flag(prefix + stage.name, f"{100 * cut:.0f} % of the answers were cut for length (they count as wrong). Raise sampler.max_tokens."))
        waiting = [f"{stage.name} ({stage.state})" for stage in run.stages.values() if stage.state != "done"]
        if waiting:
            found.append(Flag(run.name, f"Not finished: {', '.join(waiting)} (the page shows what there is). Start the run again to go on."))
    return _merged([*found, *(flag for flag in more if not flag.severe)])


def _merged(found):
    """Flags in equal words at several places become one."""
    places = {}
    for flag in found:
        places.setdefault((flag.what, flag.severe), []).append(flag.where)
    return [Flag(", ".join(dict.fromkeys(where)), what, severe) for (what, severe), where in places.items()]
