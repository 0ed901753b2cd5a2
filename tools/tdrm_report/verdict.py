"""The verdict: which arm answers best, and whether its difference to the baseline is more than noise."""

import numpy as np

from .arms import baseline_of, compare, head_to_head, judge
from .drawing import GREY, WIDTH, percent, plt
from .markup import escape, interval_text, paragraph, points_text, table

TONES = {"better": "#0072B2", "worse": "#D55E00", "no clear difference": GREY}
MARKS = {"better": "▲ better", "worse": "▼ worse", "no clear difference": "≈ within noise"}


def rows_of(arms, wanted=None):
    """(arm, summary, difference or None for a baseline, how it was made), best first within a group, limits last."""
    rows = []
    for group in dict.fromkeys(arm.group for arm in arms):
        own = [arm for arm in arms if arm.group == group]
        baseline = baseline_of(own, wanted)
        found = [(arm, arm.summary, *((None, "") if arm is baseline else compare(arm, baseline))) for arm in own]
        rows += sorted(found, key=lambda row: (row[0].family == "oracle", -np.nan_to_num(row[1].mean)))
    return rows


def votes_like_an_oracle(rows):
    """Majority votes that find a right answer wherever there is one: wrong answers have no common vote (countdown gives
    illegal ones none), so that voting verifies. They are no rivals of a value model."""
    limits = {(row[0].group, row[0].samples): row[1].mean for row in rows if row[0].family == "oracle"}
    return [row for row in rows if row[0].family == "majority"
            and limits.get((row[0].group, row[0].samples), np.inf) - row[1].mean < 0.005]


def headline(rows):
    """Sentences that say what won."""
    sentences = []
    verifying = votes_like_an_oracle(rows)
    rows = [row for row in rows if not any(row is vote for vote in verifying)]
    for group in dict.fromkeys(row[0].group for row in rows):
        own = [row for row in rows if row[0].group == group and row[0].family != "oracle"]
        base = next((row for row in own if row[2] is None), None)
        others = [row for row in own if row[2] is not None]
        if not base or not others:
            continue
        won = [row for row in others if judge(row[2]) == "better" and row[1].mean > base[1].mean]
        arm, summary, change, _ = won[0] if won else others[0]
        where = f"{group}: " if group else ""
        if won:
            sentence = (f"{where}Most problems are solved by {arm.name}: {_share(summary.mean)}, against {_share(base[1].mean)} by {base[0].name} "
                        f"({points_text(change)}).")
            rivals = [row[0].name for row in others if row[0] is not arm and row[1].high >= summary.mean]
            if rivals:
                sentence += f" Within its reach: {', '.join(rivals[:3])}{' and others' if len(rivals) > 3 else ''}."
        else:
            sentence = (f"{where}No arm is clearly better than {base[0].name} ({_share(base[1].mean)} of the problems); the highest "
                        f"figure is {_share(summary.mean)}, by {arm.name} ({points_text(change)}).")
        sentences.append(sentence)
    sentences += [f"{row[0].label[0].upper()}{row[0].label[1:]} has {_share(row[1].mean)}, all that selecting can reach: wrong answers have no "
                  "common vote in this task, so voting verifies and is no rival." for row in verifying]
    return sentences + _models_sentence([row[0] for row in rows])


def _models_sentence(arms):
    verdicts = [judge(compare(a, b)[0]) for a, b in head_to_head(arms) if b.of_outcome]
    if not verdicts:
        return []
    return [f"Selecting by a temporal-difference model instead of the outcome model: better in {verdicts.count('better')} of {len(verdicts)} "
            f"uses, worse in {verdicts.count('worse')}."]


def _share(value):
    return f"{100 * value:.1f} %"


def figure(rows):
    """Differences to the baseline with their intervals, and those of single seeds as dots."""
    shown = [row for row in rows if row[2] is not None and row[0].family != "oracle"][::-1]
    if not shown:
        return None
    drawing, axis = plt.subplots(figsize=(WIDTH, 0.31 * len(shown) + 0.9))
    bases = {row[0].group: row[0] for row in rows if row[2] is None}
    for y, (arm, _, change, _) in enumerate(shown):
        tone = TONES[judge(change)]
        axis.plot([change.low, change.high], [y, y], color=tone, lw=2.2, solid_capstyle="butt")
        axis.plot(change.mean, y, "o", color=tone, ms=6)
        base = bases[arm.group]
        if len(arm.results) > 1 and len(arm.results) == len(base.results):
            for one, other in zip(arm.results, base.results):
                axis.plot(one.interval.mean - other.interval.mean, y, "|", color="#111827", ms=9, mew=1.1)
    axis.axvline(0, color="#111827", lw=1)
    axis.set_yticks(range(len(shown)), [row[0].label for row in shown])
    axis.set_ylim(-0.6, len(shown) - 0.4)
    axis.grid(axis="y", visible=False)
    low = min(min(row[2].mean for row in shown), 0)
    high = max(max(row[2].mean for row in shown), 0)
    reach = 1.5 * max(high - low, 0.1)
    ends = [value for row in shown for value in (row[2].low, row[2].high) if np.isfinite(value)]
    axis.set_xlim(max(min([*ends, low]), low - reach) - 0.03 * reach, min(max([*ends, high]), high + reach) + 0.03 * reach)
    against = {base.label for base in bases.values()}
    axis.set_xlabel(f"share of problems solved, minus that of {against.pop() if len(against) == 1 else 'the baseline'} (points)")
    axis.xaxis.set_major_formatter(lambda value, _: f"{100 * value:+.4g}".replace("-", "\N{MINUS SIGN}") if round(value, 6) else "0")
    return drawing


def section(study, arms, album, wanted=None):
    """HTML of the verdict, and its headline sentences."""
    rows = rows_of(arms, wanted)
    if not rows:
        return paragraph("No stage of kind evaluate, best_of_n or search is finished yet."), []
    seeds = max(len(arm.results) for arm in arms)
    body = table(
        ["arm", "figure", "seeds", "mean", "95 % interval", "difference", "95 % interval", "verdict"],
        _lines(rows), numbers=(2, 3, 4, 5, 6))
    body += paragraph(_how_made(rows, seeds), "note")
    drawing = figure(rows)
    if drawing:
        marks = " Ticks: single seeds." if seeds > 1 else ""
        body += album.show(drawing, "verdict", "Difference to the baseline in points with its 95 % interval. Blue: better, orange: "
                           f"worse, grey: the interval holds 0. Intervals that leave the figure are cut.{marks}")
    pairs = [(a, b, *compare(a, b)) for a, b in head_to_head(arms)]
    if pairs:
        body += "<h3>Head to head</h3>" + paragraph(
            "Pairs that share everything but one thing: the reward of reinforcement learning, the value model that selects, or "
            "selection by value instead of by vote.")
        body += table(["arm", "against", "difference", "95 % interval", "verdict"],
                      [[escape(a.label), escape(b.label), f"{100 * d.mean:+.1f}", interval_text(d, sign=True), _mark(d, how)]
                       for a, b, d, how in pairs], numbers=(2, 3))
    return body, headline(rows)


def _lines(rows):
    """Lines of the table; several configurations get a heading each."""
    lines, group = [], ""
    for row in rows:
        if row[0].group != group:
            group = row[0].group
            lines.append(("group", [escape(group)]))
        lines.append(("base" if row[2] is None else "", _cells(*row)))
    return lines


def _cells(arm, summary, change, how):
    if change is None:
        rest = ["", "", "baseline"]
    elif arm.family == "oracle":
        rest = [f"{100 * change.mean:+.1f}", interval_text(change, sign=True), "limit of selecting"]
    else:
        rest = [f"{100 * change.mean:+.1f}", interval_text(change, sign=True), _mark(change, how)]
    return [escape(arm.name), escape(arm.metric), str(len(arm.results)), f"{100 * summary.mean:.1f}",
            interval_text(summary), *rest]


def _mark(change, how):
    verdict = judge(change)
    return f'<span class="{verdict.split()[0]}">{MARKS[verdict]}{"" if how == "paired" else " *"}</span>'


def _how_made(rows, seeds):
    if seeds == 1:
        text = ("One seed: intervals cover the draw of problems and answers, not that of the training. Whether a method wins takes "
                "several seeds: give their runs together.")
    elif seeds < 4:
        text = (f"{seeds} seeds: intervals cover problems and trainings. So few seeds say little about the spread between trainings, "
                "hence wide intervals; more seeds narrow them.")
    else:
        text = f"{seeds} seeds: intervals cover problems and trainings."
    if any(how == "independent" for *_, how in rows):
        text += " * Not in pairs: the arms answered other problems, or their accuracy on each problem isn't known."
    return text + " Figures in percent and points. With many arms some intervals exclude 0 by chance: about one in twenty."
