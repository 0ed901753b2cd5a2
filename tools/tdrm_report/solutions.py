"""Single solutions with the value after each step: where values and truth agree, and where they don't."""

import heapq

import numpy as np

from .markup import escape, paragraph
from .study import scored, shown
from .tables import Labels, Values, blocks

SHOWN = 2  # solutions of each kind
LONGEST = 400  # characters of a step; the rest is left out


def kinds(labelled):
    """Kinds of solutions: title, what is sought (greatest first), from figures of each answer."""
    found = [
        ("Right, and valued highly", lambda f: np.where(f["right"], f["last"], -np.inf)),
        ("Wrong, yet valued highly: the value model was fooled", lambda f: np.where(f["right"], -np.inf, f["last"])),
        ("Right, yet valued lowly: a right answer that selection misses", lambda f: np.where(f["right"], -f["last"], -np.inf)),
        ("Wrong, with the greatest drop of the value in one step", lambda f: np.where(f["right"], -np.inf, f["drop"])),
    ]
    if labelled:
        found.append(("The step that loses, and the value doesn't fall", lambda f: f["missed"]))
    return found + [("Cut for length", lambda f: np.where(f["cut"], f["last"], -np.inf))]


def figures_of(answers, value, truth, first, last):
    """Figures by answer in [first, last) that kinds() chooses by."""
    offset = answers.state_offset[first:last + 1] - answers.state_offset[first]
    steps = np.diff(offset) - 1
    change = np.diff(value, append=0.0)
    change[offset[1:] - 1] = np.inf  # no step leaves the last state
    change = np.append(change, np.inf)
    found = {
        "right": answers.outcome[first:last] > 0.5,
        "cut": answers.file["trajectory/finish"][first:last] == 1,
        "last": value[offset[1:] - 1],
        "drop": -np.minimum.reduceat(change, offset[:-1]),
    }
    found["drop"][steps < 1] = -np.inf
    if truth is not None:
        lost = np.append((truth[:-1] > 0.5) & (truth[1:] < 0.5), False)
        rise = np.append(np.where(lost, np.where(np.isfinite(change[:-1]), change[:-1], -np.inf), -np.inf), -np.inf)
        found["missed"] = np.where(found["right"], -np.inf, np.maximum.reduceat(rise, offset[:-1]))
    return found


def chosen(answers, values, labels):
    """[(title, [row])]: for each kind the most telling answers, of different problems, each answer once."""
    wanted = kinds(labels is not None)
    best = [[] for _ in wanted]
    for first, last in blocks(len(answers)):
        truth = labels.rows(first, last) if labels is not None else None
        figures = figures_of(answers, values.rows(first, last), truth, first, last)
        for heap, (_, score) in zip(best, wanted):
            scores = score(figures)
            for i in np.argsort(-scores, kind="stable")[:50]:
                if np.isfinite(scores[i]):
                    heapq.heappush(heap, (scores[i], -(first + int(i))))
                    if len(heap) > 200:
                        heapq.heappop(heap)
    used, problems, result = set(), set(), []
    for (title, _), heap in zip(wanted, best):
        rows = []
        for _, row in sorted(heap, reverse=True):
            if len(rows) < SHOWN and -row not in used and answers.problem[-row] not in problems:
                rows.append(-row)
                used.add(-row)
                problems.add(answers.problem[-row])
        result.append((title, rows))
    return result


def section(study):
    """Solutions among the candidates of the first best_of_n stage whose files can be read."""
    for _, run, stage in study.stages("best_of_n"):
        data = run.folder(stage.results.get("data", "?"))
        answers = study.answers(data)
        if answers is None:
            continue
        labels = study.guarded(Labels, data, answers)
        values = {model: study.guarded(Values, stage.directory / model, answers, "outcome_at_end" in entry) for model, entry in scored(run, stage)}
        values = {model: found for model, found in values.items() if found is not None}
        if values:
            return _shown(data, answers, values, labels)
    return paragraph("No candidates with values yet (a stage of kind best_of_n makes them).")


def _shown(data, answers, values, labels):
    main = next(iter(values))
    body = paragraph(f"From {data.parent.name}/{data.name}, {len(answers):,} answers, chosen by the values of {shown(main)}. Each line is a step of the answer; "
                     "the boxes give the value of the state after it, blue for high and orange for low.")
    if "vocabulary" not in answers.file:
        body += paragraph("These files have no words for their tokens (made by an older version), so tokens are shown as ⟨id⟩.", "note")
    for title, rows in chosen(answers, values[main], labels):
        if rows:
            cards = "".join(_card(answers, values, labels, row) for row in rows)
            body += f'<h3>{escape(title)}</h3><div class="cards">{cards}</div>'
    return body


def _card(answers, values, labels, row):
    steps, tail = answers.steps(row)
    truth = labels.row(row) if labels is not None else None
    columns = {model: found.row(row) for model, found in values.items()}
    right = answers.outcome[row] > 0.5
    head = "".join(f"<th>{escape(shown(model))}</th>" for model in columns) + ("<th>truth</th>" if truth is not None else "")
    lines = []
    for i, text in enumerate(["(nothing written yet)", *steps]):
        cells = "".join(_box(value[i]) for value in columns.values())
        if truth is not None:
            cells += f'<td class="t">{_truth(truth[i])}</td>'
        text = text if len(text) <= LONGEST else text[:LONGEST] + " …"
        lines.append(f'<tr><td class="s{" none" if i == 0 else ""}">{escape(text)}</td>{cells}</tr>')
    if tail:
        lines.append(f'<tr><td class="s none" colspan="{2 + len(columns)}">after the last step: {escape(tail[:LONGEST])}</td></tr>')
    mark = '<b class="better">✓ right</b>' if right else f'<b class="worse">✗ {escape(answers.reason(row))}</b>'
    gold, given = answers.gold(row), answers.given(row)
    given = "as above" if given.endswith(";") or len(given) > 40 else given  # votes may be on whole solutions
    return (f'<div class="card"><p class="problem">{escape(answers.prompt(row))}</p>'
            f"<table><tr><th>step</th>{head}</tr>{''.join(lines)}</table>"
            f'<p class="note">{mark} · wanted {escape(gold) or "–"} · answered {escape(given) or "nothing"}'
            f" · problem {answers.problem_id[answers.problem[row]]}, sample {answers.file['trajectory/sample'][row]}</p></div>")


def _truth(value):
    return "?" if np.isnan(value) else "✓" if value > 0.99 else "✗" if value < 0.01 else f"{value:.2f}"


def _box(value):
    """A cell whose background goes from orange (0) by white (0.5) to blue (1)."""
    end = np.array([0, 114, 178]) if value > 0.5 else np.array([213, 94, 0])
    share = abs(value - 0.5) * 1.5
    red, green, blue = (255 + (end - 255) * share).astype(int)
    return f'<td class="v" style="background:rgb({red},{green},{blue})">{value:.2f}</td>'
