"""Reading run folders: stages, metrics as arrays, history. Format: docs/formats/run.md."""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from .errors import DamagedRun, NotARun
from .manifests import HASH_BELOW, file_problem, manifest_problems, sealed_json_problem, sealed_text


def read_json(path):
    """An object of a JSON file; {} if there is no file. @throws DamagedRun if it can't be read."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (ValueError, OSError) as error:
        raise DamagedRun(f"{path} can't be read ({error}). Make the stage again with --redo.") from error
    if not isinstance(content, dict):
        raise DamagedRun(f"{path} holds no JSON object. Make the stage again with --redo.")
    return content


def read_lines(path):
    """JSON objects of a .jsonl file one by one; the unfinished last line of a killed job is left out."""
    if not path.exists():
        return
    with open(path, "rb") as file:
        for line in file:
            try:
                yield json.loads(line)
            except ValueError as error:
                if not line.endswith(b"\n"):
                    return
                raise DamagedRun(f"{path} has a line that is no JSON ({error}). Restore the file.") from error


def read_table(path):
    """Figures of metrics.jsonl or timing.jsonl as {name: float64 array}, NaN where a line has none."""
    columns, rows = {}, 0
    for rows, line in enumerate(read_lines(path), 1):
        for name, value in line.items():
            column = columns.setdefault(name, [])
            column.extend([np.nan] * (rows - 1 - len(column)))
            column.append(value if isinstance(value, (int, float)) else np.nan)
    return {name: np.array(column + [np.nan] * (rows - len(column)), float) for name, column in columns.items()}


_KEY = re.compile(r'( *)("(?:[^"\\]|\\.)*"|[^\s:"#-][^:]*):(?: +(.*))?')


def settings(text):
    """{(key, key, ...): text of the value} of the YAML that tdrm writes: nested maps in block style. Lists and quoted
    text stay as they are written."""
    found, above = {}, []
    for line in text.splitlines():
        match = _KEY.fullmatch(line.rstrip())
        if not match:
            if above and line.strip():  # further lines of a value
                path = tuple(key for _, key in above)
                found[path] = (found.get(path, "") + "\n" + line).strip()
            continue
        indent, key, value = len(match[1]), match[2], match[3]
        while above and above[-1][0] >= indent:
            above.pop()
        above.append((indent, json.loads(key) if key.startswith('"') else key))
        if value is not None:
            found[tuple(key for _, key in above)] = value
    return found


@dataclass
class Stage:
    """A stage of a run: its folder and stage.json ({} before it began)."""

    name: str
    kind: str
    directory: Path
    record: dict

    @property
    def state(self):
        """done, unfinished or missing"""
        return "missing" if not self.record else "done" if self.record.get("done") else "unfinished"

    @cached_property
    def options(self):
        """Texts of all options, defaults included, by dotted name: options["target.lambda"]; {} before it began."""
        found = settings(self.record.get("identity_text", ""))
        return {".".join(path[1:]): value for path, value in found.items() if path[0] == "options"}

    def checked(self, name):
        """Path of a file. @throws DamagedRun if the record knows another content"""
        for entry in self.record.get("files", []):
            if entry["name"] == name and (problem := file_problem(self.directory, entry)):
                raise DamagedRun(f"{problem.replace('of the manifest', 'in stage.json')}. Make the stage again with --redo.")
        return self.directory / name

    @cached_property
    def metrics(self):
        return read_table(self.checked("metrics.jsonl"))

    @cached_property
    def timing(self):
        return read_table(self.directory / "timing.jsonl")

    @cached_property
    def results(self):
        """results.json of best_of_n, evaluate and search; {} if there is none."""
        return read_json(self.checked("results.json"))

    def manifests(self):
        """Folders of this stage whose files have a manifest; not those being written."""
        for path in sorted(self.directory.rglob("manifest.json")):
            parts = path.relative_to(self.directory).parts
            if not any(part == "parts" or part.endswith((".tmp", ".old")) for part in parts):
                yield path.parent

    def problems(self, hash_below=HASH_BELOW):
        """Damage that the manifests show. Files of the record are looked at when they are read (`checked`)."""
        return [problem for folder in self.manifests() for problem in manifest_problems(folder, hash_below)]


@dataclass
class Run:
    """A run folder: `stages` by name in order of execution, `config` as settings() of config.yaml."""

    path: Path
    config_text: str
    config: dict
    stages: dict
    history: list

    @property
    def name(self):
        return self.path.name

    @property
    def seed(self):
        return self.config.get(("run", "seed"), "")

    @property
    def task(self):
        return self.config.get(("task", "kind"), "?")

    def of_kind(self, *kinds):
        return [stage for stage in self.stages.values() if stage.kind in kinds]

    def folder(self, reference):
        """Folder of a stage as a run file names it: NAME, NAME@best, run:DIR/NAME."""
        name = reference.partition("@")[0] if "]" not in reference else reference[:reference.index("]") + 1]
        return Path(name[4:]) if name.startswith("run:") else self.path / name

    def stage(self, reference):
        """The stage that a run file names, of this run or of another one; None if it isn't there."""
        folder = self.folder(reference)
        found = self.stages.get(folder.name) if folder.parent == self.path else None
        if found is None and (record := read_json(folder / "stage.json")):
            found = Stage(folder.name, record.get("kind", "?"), folder, record)
        return found

    @cached_property
    def performance(self):
        """Stages of performance.json by name, which is no result: {} if it is missing or damaged."""
        path = self.path / "performance.json"
        return {} if sealed_json_problem(path) else read_json(path).get("stages", {})

    def configuration(self):
        """What the run does, its seeds and place aside: equal for runs that are repetitions of each other."""
        return {path: value for path, value in self.config.items() if path[-1] not in ("seed", "dir")}

    def seconds(self):
        """Seconds of the jobs that worked on each stage to its end; of the newest such job where it was made again."""
        return {event["stage"]: event["seconds"] for event in self.history if event.get("event") == "finished"}


def load_run(path):
    """Reads a run folder; it may be unfinished.

    @throws NotARun if the folder holds no run, DamagedRun if its description can't be read
    """
    path = Path(path).resolve()
    if not (path / "config.yaml").is_file():
        what = "is no run folder (it has no config.yaml)" if path.is_dir() else "doesn't exist (a report needs a run folder)"
        raise NotARun(f"{path} {what}. Name the folder given as run.dir.")
    try:
        text = (path / "config.yaml").read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise DamagedRun(f"{path}/config.yaml can't be read ({error}). Start the run again to write it anew.") from error
    config = settings(text)
    kinds = {keys[1]: value for keys, value in config.items() if keys[0] == "stages" and keys[2:] == ("do",)}
    if not kinds:
        raise DamagedRun(f"{path}/config.yaml names no stages (a run has some). Start the run again to write it anew.")
    if sealed_text(text) is None:
        raise DamagedRun(f"{path}/config.yaml is damaged (its first line holds another hash). Start the run again to write it anew.")
    for name in kinds:
        if problem := sealed_json_problem(path / name / "stage.json"):
            raise DamagedRun(f"{problem}. Make the stage again with --redo {name}.")
    stages = {name: Stage(name, kind, path / name, read_json(path / name / "stage.json")) for name, kind in kinds.items()}
    return Run(path, text, config, stages, list(read_lines(path / "history.jsonl")))
