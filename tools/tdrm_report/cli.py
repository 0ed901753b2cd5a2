"""The command line of tools/report."""

import argparse
import sys
from pathlib import Path

from .errors import DamagedRun, NotARun
from .run import load_run

HELP = """Makes one HTML page of a run, or of several runs side by side.

The page says what won and whether the difference is more than noise, shows learning curves, accuracy by number of answers and
by compute, calibration, how values move along answers, single solutions, facts of the run and red flags. It is one file, made to be sent
to a colleague or printed; the plots also lie beside it in plots/. Runs may be unfinished.

Runs whose configurations differ in seeds only are repetitions: their figures are averaged, and intervals cover the spread
between trainings. Runs of other configurations are shown side by side, each with its own baseline."""

EXAMPLES = """examples:
  tools/report runs/countdown                        writes runs/countdown/report/index.html
  tools/report runs/s1 runs/s2 runs/s3 --out page    three seeds in one page
  tools/report runs/a runs/b --out page              two configurations compared
  tools/report runs/walk-* --study configs/evidence/walk.study.yaml
                                                     comparisons fixed beforehand, with verdicts
  tools/report runs/countdown --baseline rule        differences against the arm `rule`

exit codes: 0 made; 64 no run at that path, or a wrong argument; 65 damaged files (the page, if it could be made, leaves
them out and names them); 69 a package of Python is missing; 74 the page can't be written.
What the figures mean: docs/report.md, docs/metrics.md."""


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(64, f"report: {message}. See tools/report --help.\n")


def arguments(argv):
    parser = _Parser(prog="tools/report", description=HELP, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run (run.dir)")
    parser.add_argument("--out", metavar="DIR", type=Path, help="folder for index.html and plots/ (default: report/ in the first RUN)")
    parser.add_argument("--study", metavar="FILE", type=Path,
                        help="write the comparisons that a study file fixed (configs/evidence/*.study.yaml) to DIR/FILE.md, no page")
    parser.add_argument("--baseline", metavar="ARM", help="arm that others are compared with (default: the policy that rl began with)")
    return parser.parse_args(argv)


def main(argv=None):
    options = arguments(argv)
    try:
        runs = [load_run(path) for path in dict.fromkeys(str(Path(path).resolve()) for path in options.runs)]
        if options.study:
            from .evidence import write_study
            print(write_study(options.study, options.runs, options.out or runs[0].path / "report"))
            return 0
        from .page import build  # after the quick checks: it takes a second to load matplotlib
        from .study import study_of
        study = study_of(runs)
        page = build(study, options.out or runs[0].path / "report", options.baseline)
    except (NotARun, DamagedRun) as error:
        print(f"report: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"report: {error}. Choose a folder that can be written with --out.", file=sys.stderr)
        return 74
    print(page)
    for problem in study.damage:
        print(f"report: {problem}", file=sys.stderr)
    return DamagedRun.exit_code if study.damage else 0
