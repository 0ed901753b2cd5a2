"""Reads tdrm's run folders and reports on them. For notebooks: `load_run`; docs/report.md."""

from .errors import DamagedRun, NotARun
from .run import Run, Stage, load_run
from .stats import Interval, difference, mean_interval, over_problems_and_seeds, pass_at_k
from .tables import Answers, Labels, Values

__all__ = ["Answers", "DamagedRun", "Interval", "Labels", "NotARun", "Run", "Stage", "Values", "difference", "load_run",
           "mean_interval", "over_problems_and_seeds", "pass_at_k"]
