"""Accuracy at test time: against the number of answers, against all compute, by difficulty of the problems."""

import numpy as np

from .drawing import GREY, amounts, colour, interval_curve, panels, percent, plt, powers_of_two
from .markup import escape, number, paragraph, table
from .methods import VOTES, comparisons, merged

BLACK = "#111827"
BASELINE_STYLES = {"log_prob": "--", "mean_log_prob": "-.", "shortest": ":"}  # black: no value model
VOTE_STYLES = {"value": "--", "power": "-.", "log_odds": ":"}
MARKS = {"greedy": "D", "beam": "s", "dvts": "^", "smc": "o", "mcts": "P"}
FIFTHS = ("hardest fifth", "second", "third", "fourth", "easiest fifth")


def section(study, album):
    body = ""
    found = comparisons(study)
    for name, comparison in found.items():
        file = name.replace(": ", "-")
        own = [method for method in comparison.methods.values() if method.planned]
        body += f"<h3>{escape(name)}</h3>" if len(found) > 1 else ""
        body += album.show(against_answers(own, comparison.floor), f"scaling-{file}", "Accuracy of the chosen answer: left up to what the best "
                           "choice would reach, right enlarged. Searches stand at as many answers as their drawn tokens would make. Bars: 95 % "
                           "intervals over problems, and over seeds where there are three or more.")
        drawing = against_compute(own, comparison.floor)
        if drawing:
            body += album.show(drawing, f"compute-{file}", "The same against compute: FLOP of all that is generated and scored (docs/search.md), "
                               "and of the policy alone, as if values were free. A method is better where its line lies higher at equal compute.")
        else:
            body += paragraph("What the methods cost in FLOP isn't known (answers of no model, or results of an earlier version).", "note")
        if any(any(method.fifths) for method in own):
            body += album.show(by_difficulty(own), f"fifths-{file}", "Fifths of the problems by the base policy's pass rate in the answers that "
                               "`difficulty` names. Colours and lines as above; votes with values and searches are left out.")
        body += costs(comparison)
    return body or paragraph("No stage of kind best_of_n or search is finished yet.")


def _look(methods):
    """{label: (colour, line, marker)}: colours say whose values, lines and markers how the answer is chosen."""
    models = {}
    for method in methods:
        if method.model and method.model not in models:
            models[method.model] = colour(len(models))
    looks = {}
    for method in methods:
        tone = models.get(method.model, GREY if method.family == "limit" else BLACK)
        styles = {"vote": VOTE_STYLES, "baseline": BASELINE_STYLES}.get(method.family, {})
        looks[method.label] = (tone, styles.get(method.vote, "-"), MARKS.get(method.family, "."))
    return looks, models


def _draw(axis, methods, floor, looks, x_of, bars=True):
    shifts = np.linspace(-0.5, 0.5, len(methods) + 2)[1:-1]
    for method, shift in zip(methods, shifts):
        tone, line, mark = looks[method.label]
        points = [(x_of(key, point), point.interval) for key, point in method.curve()]
        points = [(x, interval) for x, interval in points if np.isfinite(x)]
        if not points:
            continue
        if method.is_search:
            axis.plot([x for x, _ in points], [v.mean for _, v in points], mark, ls="-", zorder=4, **_mark(method.vote, tone))
        else:
            few = bars and method.family != "vote"
            interval_curve(axis, *zip(*points), tone, line, "o", shift=shift if few else 0, bars=few)
    for entries in floor.values():
        axis.axhline(merged(entries).mean, color=GREY, lw=1, ls=(0, (6, 3)), zorder=1)


def _legend(figure, methods, floor, looks, models):
    """Colours first, then what lines and markers mean."""
    handles, labels = [], []
    def add(label, color="#4b5563", **how):
        handles.append(plt.Line2D([], [], **{"color": color} | how))
        labels.append(label)
    for method in methods:
        if method.family in ("limit", "majority", "baseline"):
            add(method.label, looks[method.label][0], ls=looks[method.label][1])
    for label in floor:
        add(label, GREY, lw=1, ls=(0, (6, 3)))
    for model, tone in models.items():
        add(f"by {model}", tone, lw=4)
    if any(method.family == "best_of_n" for method in methods):
        add("best of N")
    for vote in dict.fromkeys(method.vote for method in methods if method.family == "vote"):
        add(VOTES.get(vote, vote), ls=VOTE_STYLES.get(vote, "-"))
    for kind, answer in dict.fromkeys((method.family, method.vote) for method in methods if method.is_search):
        add(f"{kind} search" + (f", {answer}" if answer != "best" else ""), marker=MARKS[kind], **_mark(answer, "#4b5563"))
    figure.legend(handles, labels, loc="outside lower left", ncols=4, handlelength=2.6)


def _mark(answer, tone):
    """Searches that take the best of their answers are filled, those that vote are hollow."""
    filled, hollow = {"ms": 6, "mec": "white", "mfc": tone, "mew": 0.7}, {"ms": 5, "mec": tone, "mfc": "white", "mew": 1.4}
    return {"lw": 0.8, "color": tone} | (filled if answer == "best" else hollow)


def _enlarge(axis, methods, floor):
    """The range of those that choose, a vote aside that reaches far more than all value models: else these can't be told apart."""
    def means(wanted):
        return [point.interval.mean for method in methods if wanted(method) for _, point in method.curve()]
    values, votes = means(lambda m: m.model), means(lambda m: m.family == "majority")
    if not values or votes and max(votes) <= 2 * max(values):
        values = values + votes
    values += [merged(entries).mean for entries in floor.values()]
    values = [value for value in values if np.isfinite(value)]
    if values:
        reach = max(max(values) - min(values), 0.02)
        axis.set_ylim(max(min(values) - 0.3 * reach, -0.02), max(values) + 0.45 * reach)


def against_answers(methods, floor):
    figure, (left, right) = panels(2, height=3.9)
    looks, models = _look(methods)
    sizes = {key for method in methods if not method.is_search for key in method.points}
    widest = np.nanmax([1.0, *(point.answers for method in methods for _, point in method.curve())])
    sizes = sizes or {2**k for k in range(12) if 2**k < 2 * widest}
    for axis, bars in ((left, False), (right, True)):
        _draw(axis, methods, floor, looks, lambda key, point: point.answers if isinstance(key, str) else key, bars)
        powers_of_two(axis, sizes)
        axis.set_xlabel("N: answers, or their worth of drawn tokens")
    left.set_title("accuracy against N")
    right.set_title("enlarged")
    _enlarge(right, methods, floor)
    _legend(figure, methods, floor, looks, models)
    return figure


def against_compute(methods, floor):
    """None where no FLOP is known."""
    values = [flop for method in methods for _, point in method.curve() for flop in (point.flop, point.policy_flop) if np.isfinite(flop)]
    if not values:
        return None
    figure, axes = panels(2, height=3.9)
    looks, models = _look(methods)
    for axis, part, title in zip(axes, ("flop", "policy_flop"), ("policy and value model", "policy alone, values for free")):
        _draw(axis, methods, floor, looks, lambda _, point, part=part: getattr(point, part), bars=False)
        unit = amounts(axis, values, "FLOP")
        percent(axis)
        _enlarge(axis, methods, floor)
        axis.set_xlim(min(values) / 1.15, max(values) * 1.15)
        axis.set_xlabel(f"{unit} a problem")
        axis.set_title(title)
    _legend(figure, methods, floor, looks, models)
    return figure


def by_difficulty(methods):
    """Small multiples, hardest to easiest."""
    figure, axes = panels(5, columns=5, height=2.5)
    looks, _ = _look(methods)
    shown = [method for method in methods if any(method.fifths) and method.family != "vote"]
    for i, (axis, title) in enumerate(zip(axes, FIFTHS)):
        for method in shown:
            curve = {n: merged(entries) for n, entries in method.fifths[i].items()}
            interval_curve(axis, sorted(curve), [curve[n] for n in sorted(curve)], looks[method.label][0], marker=".", bars=False)
        powers_of_two(axis, {n for method in shown for n in method.fifths[i]})
        axis.set_ylim(-0.03, 1.03)
        axis.tick_params(labelsize=7.5)
        axis.set_title(title, fontsize=9)
        if i > 0:
            axis.set_yticklabels([])
    axes[2].set_xlabel("N: candidates")
    return figure


def costs(comparison):
    """Accuracy and cost of all methods: at the largest N a line for whoever chooses, and a line for each search."""
    methods = list(comparison.methods.values())
    choosing, searches = [m for m in methods if not m.is_search], [m for m in methods if m.is_search]
    body = _choices(choosing) if choosing else ""
    if searches:
        rows = [[escape(method.label), escape(key), _accuracy(point), *_cost(point)] for method in searches for key, point in method.curve()]
        body += table(["search", "stage", "accuracy", *COSTS], rows, numbers=range(2, 7))
    text = "Accuracy in percent with its 95 % interval, tokens and FLOP a problem."
    if not all(method.planned for method in methods):
        text += (" † Not in the figures: another place of `at` than the first. To choose among places by these figures would be tuning on the "
                 "test problems.")
    return body + paragraph(text, "note")


COSTS = ("drawn tokens", "scored tokens", "FLOP", "of which value model")


def _choices(methods):
    votes = list(dict.fromkeys(method.vote for method in methods if method.family == "vote"))
    largest = max(key for method in methods for key in method.points)
    ways = {}  # {who chooses: {vote, "" for the best: point}}
    for method in methods:
        who = {"limit": "somebody who knows: pass@N", "majority": "no value model", "baseline": method.label.removeprefix("best of N by ")}.get(
            method.family, f"{method.model}, {method.place}")
        found = ways.setdefault(who + ("" if method.planned else " †"), {})
        found["majority" if method.family == "majority" else method.vote if method.family == "vote" else ""] = method.curve()[-1][1]
    columns = ["", "majority", *votes]
    rows = []
    for who, found in ways.items():
        accuracies = (_accuracy(found[vote]) if vote in found else "–" for vote in columns)
        rows.append([escape(who), *accuracies, *_cost(next(iter(found.values())))])
    heads = [f"best of {largest}", "majority vote", *(VOTES.get(vote, vote) for vote in votes)]
    return table(["chosen by", *heads, *COSTS], rows, numbers=range(1, len(heads) + 5))


def _accuracy(point):
    return f"{100 * point.interval.mean:.1f} <small>± {100 * point.interval.half:.1f}</small>"


def _cost(point):
    share = f"{100 * (1 - point.policy_flop / point.flop):.0f} %" if np.isfinite(point.flop) else "–"
    return [number(point.generated), number(point.scored), number(point.flop), share]
