"""Several runs side by side: which repeat each other with other seeds, and which are other configurations."""

import re
from dataclasses import dataclass, field

from .errors import DamagedRun, NotARun
from .tables import Answers


def without_seed(name):
    """Stages that `each` made of several seeds repeat each other: td[lambda=0,seed=2] becomes td[lambda=0]."""
    return re.sub(r"\[,?|,(?=\])", lambda m: "[" if m[0].startswith("[") else "", re.sub(r",?\s*seed=\d+", "", name)).replace("[]", "")


def shown(reference):
    """Name of a model in figures and tables: without seeds, and of models elsewhere the end of their path."""
    kind, colon, path = reference.partition(":")
    if colon and kind in ("run", "hf", "file"):
        reference = "/".join(path.rstrip("/").split("/")[-2:])
    return without_seed(reference)


@dataclass
class Group:
    """Runs of one configuration; they differ in seeds at most. `label` is empty if all runs are of one configuration."""

    label: str
    runs: list


@dataclass
class Study:
    """The runs of a page. `damage`: what is wrong with files of a run; damaged files are left out."""

    runs: list
    groups: list = field(default_factory=list)
    damage: list = field(default_factory=list)
    _answers: dict = field(default_factory=dict)

    def guarded(self, read, *arguments):
        """read(*arguments), or None where that finds damage or a file isn't there; damage is noted."""
        try:
            return read(*arguments)
        except DamagedRun as error:
            if str(error) not in self.damage:
                self.damage.append(str(error))
        except FileNotFoundError:
            pass
        return None

    def answers(self, directory):
        """Answers of a folder, opened once; None if there are none."""
        if directory not in self._answers:
            there = (directory / "trajectories.h5").exists() and (directory / "manifest.json").exists()
            self._answers[directory] = self.guarded(Answers, directory) if there else None
        return self._answers[directory]

    def stages(self, *kinds):
        """(group, run, stage) of all stages of some kinds that have begun."""
        for group in self.groups:
            for run in group.runs:
                for stage in run.of_kind(*kinds):
                    if stage.record:
                        yield group, run, stage


def scored(run, stage):
    """(model, entry of results.json) of the value models of a best_of_n stage, in the order of the run's stages."""
    order = list(run.stages)
    entries = stage.results.get("values", {}).items()
    return sorted(entries, key=lambda item: order.index(base) if (base := item[0].partition("@")[0]) in order else len(order))


def labelled(group, name):
    """Name of a stage or model in figures and tables."""
    name = shown(name)
    return f"{group.label}: {name}" if group.label else name


def differing(runs):
    """Settings in which runs of several configurations differ: {path: [value in each run]}."""
    settings = [run.configuration() for run in runs]
    paths = sorted({path for one in settings for path in one})
    rows = {path: [one.get(path, "-") for one in settings] for path in paths}
    return {path: values for path, values in rows.items() if len(set(values)) > 1}


def refuse_twins(runs):
    """@throws NotARun for runs that are the same with their seeds: they would be counted as repetitions."""
    seen = {}
    for run in runs:
        same = frozenset((path, value) for path, value in run.config.items() if path[-1] != "dir")
        if same in seen:
            raise NotARun(f"{seen[same].path} and {run.path} are one run made twice (same options, same seeds; counted as repetitions they "
                          f"would make intervals too narrow). Leave one out, or make one with another run.seed.")
        seen[same] = run


def study_of(runs):
    """Groups runs by configuration and looks for damage that manifests and records show. @throws NotARun as refuse_twins"""
    refuse_twins(runs)
    study = Study(runs)
    for run in runs:
        for group in study.groups:
            if group.runs[0].configuration() == run.configuration():
                group.runs.append(run)
                break
        else:
            study.groups.append(Group(run.name, [run]))
    names = [group.label for group in study.groups]
    for i, group in enumerate(study.groups):
        if len(study.groups) == 1:
            group.label = ""
        elif names.count(group.label) > 1:
            group.label = f"{group.label} ({i + 1})"
    for run in runs:
        for stage in run.stages.values():
            study.damage += [f"{problem}. Make the stage again with --redo." for problem in stage.problems()]
            for part in ("results", "metrics", "timing"):
                if study.guarded(getattr, stage, part) is None:
                    stage.__dict__[part] = {}  # left out
    return study
