"""Puts the page together."""

import time
from importlib.resources import files

from . import accuracy, calibration, curves, dynamics, facts, flags, pitfalls, scaling, solutions, verdict
from .arms import collect, require_baseline
from .drawing import Album
from .markup import escape, paragraph
from .movement import movements

# Id, title, and the sentence that says what is seen and how to read it.
SECTIONS = (
    ("verdict", "What won", "Each arm answers the same problems; the table gives the share it solves, and how far it is from the baseline. A "
     "difference counts when its interval excludes 0."),
    ("flags", "Red flags", "What should make you doubt a figure; rules are in docs/report.md."),
    ("scaling", "Accuracy at test time", "What more compute buys: one answer chosen out of N by a vote or by the value of a state, or found by a "
     "search. pass@N is the ceiling: a right answer was there to be chosen; the dashed line is what the policy does alone. A line that bends down "
     "exploits errors of its value model."),
    ("policies", "Policies", "pass@k is the share of problems that k answers would contain a right one to. Training that raises pass@1 while pass@k "
     "for large k falls sharpens what the policy could already do."),
    ("curves", "Learning curves", "How each training stage went, variants over each other in the same panel."),
    ("calibration", "Are values what they say?", "A value is a probability: of the states with value 30 %, 30 % should end in a right answer, "
     "so points should lie on the diagonal. Each panel names what values are compared with (docs/values.md): that an answer can still be saved, say, "
     "doesn't mean that this policy does, so values of outcomes may lie below that truth."),
    ("dynamics", "How values move along an answer", "Values should part right from wrong answers early, change little from step to step, and fall "
     "where an answer is lost."),
    ("solutions", "Single solutions", "Answers where value models were very right or very wrong: read along the steps where the value changes, and "
     "whether the truth does."),
    ("facts", "Facts of the run", "What was run, where, on which build, how long it took and what the time went into."),
)


def build(study, directory, wanted=None):
    """Writes index.html and plots/ into `directory`; returns the path of the page."""
    began = time.time()
    arms = collect(study)
    require_baseline(arms, wanted)
    directory.mkdir(parents=True, exist_ok=True)
    album = Album(directory)
    bodies = {}
    bodies["verdict"], headline = verdict.section(study, arms, album, wanted)
    bodies["scaling"] = scaling.section(study, album)
    bodies["policies"] = accuracy.section(study, album)
    bodies["curves"] = curves.section(study, album)
    bodies["calibration"] = calibration.section(study, album)
    bodies["dynamics"] = dynamics.section(study, movements(study), album)
    bodies["solutions"] = solutions.section(study)
    bodies["facts"] = facts.section(study, album)
    # After all files were read, so that all damage is known.
    found = flags.flags_of(study, pitfalls.of_comparisons(study, arms, wanted))
    bodies["flags"] = _flags(found)
    page = directory / "index.html"
    temporary = directory / "index.html.tmp"
    temporary.write_text(_html(study, headline, found, bodies, time.time() - began), encoding="utf-8")
    temporary.replace(page)
    return page


def _flags(found):
    if not found:
        return paragraph("None was found.")
    items = [f'<li class="{"severe" if flag.severe else ""}"><b>{escape(flag.where)}:</b> {escape(flag.what)}</li>' for flag in found]
    return f'<ul class="flags">{"".join(items)}</ul>'


def _html(study, headline, found, bodies, seconds):
    names = ", ".join(run.name for run in study.runs)
    tasks = ", ".join(dict.fromkeys(run.task for run in study.runs))
    title = f"{tasks}: {names}"
    style = files(__package__).joinpath("page.css").read_text()
    links = "".join(f'<a href="#{key}">{escape(name)}</a>' for key, name, _ in SECTIONS)
    severe = sum(flag.severe for flag in found)
    counted = f"{len(found)} red flag{'s' if len(found) != 1 else ''}" + (f", {severe} of them severe" if severe else "")
    lead = "".join(paragraph(sentence, "lead") for sentence in headline)
    lead += f'<p class="count"><a href="#flags">{counted}</a></p>' if found else ""
    parts = "".join(f'<section id="{key}"><h2>{escape(name)}</h2><p class="how">{escape(how)}</p>{bodies[key]}</section>'
                    for key, name, how in SECTIONS)
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f"<title>{escape(title)}</title><style>{style}</style></head><body><header><h1>{escape(tasks)}</h1>"
            f'<p class="sub">{escape(names)}</p>{lead}<nav>{links}</nav></header><main>{parts}</main>'
            f"<footer>Made by tools/report on {made} in {seconds:.1f} s. How figures are made: docs/report.md, docs/metrics.md.</footer>"
            "</body></html>\n")
