"""Reading trajectories.h5, labels.h5 and values.h5 block by block. Format: docs/formats/trajectories.md."""

from functools import cached_property

import h5py
import numpy as np

from .errors import DamagedRun
from .manifests import check

BLOCK = 1 << 15  # trajectories read at once


def open_table(path, schema):
    """An h5py file. @throws DamagedRun if it isn't what its manifest says, or of another schema; FileNotFoundError if it isn't
    there and no manifest names it (answers of tasks without exact truth have no labels)."""
    check(path)
    try:
        file = h5py.File(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedRun(f"{path} can't be read ({error}). Make the stage again with --redo.") from error
    if file.attrs.get("schema") != schema:
        found = file.attrs.get("schema", "none")
        raise DamagedRun(f"{path} has the schema {found} (this report reads {schema}). Use the tools of its version.")
    return file


class Answers:
    """Problems and answers of a trajectories.h5. Rows are read when asked for."""

    def __init__(self, directory):
        self.file = open_table(directory / "trajectories.h5", "tdrm-trajectories-1")
        self.problem_id = self.file["problem/id"][...]
        self.problem = self.file["trajectory/problem"][...]
        self.outcome = self.file["trajectory/outcome"][...]
        self.step_offset = self.file["trajectory/step_offset"][...]
        self.token_offset = self.file["trajectory/token_offset"][...]
        self.state_offset = self.step_offset + np.arange(len(self.step_offset))

    def __len__(self):
        return len(self.outcome)

    def attribute(self, name, default=""):
        return self.file.attrs.get(name, default)

    def share_right(self):
        """Share of right answers to each problem, in the order of `problem_id`; NaN without answers."""
        count = np.bincount(self.problem, minlength=len(self.problem_id))
        right = np.bincount(self.problem, weights=self.outcome > 0.5, minlength=len(self.problem_id))
        return np.divide(right, count, out=np.full(len(count), np.nan), where=count > 0)

    def mean_length(self):
        """Tokens of an answer."""
        return float(self.token_offset[-1]) / max(len(self), 1)

    def share_cut(self):
        """Share of the answers that were cut for length."""
        return float(np.mean(self.file["trajectory/finish"][...] == 1)) if len(self) else 0.0

    def sampler(self):
        """How answers were drawn: {option: value}; {} of answers that no model drew."""
        return {name: float(self.attribute(name)) for name in ("temperature", "top_k", "top_p", "min_p") if name in self.file.attrs}

    @cached_property
    def _words(self):
        if "vocabulary" not in self.file:
            return {}
        at, text = self.file["vocabulary/text_offset"][...], self.file["vocabulary/text"][...].tobytes()
        return {int(id): text[at[i]:at[i + 1]] for i, id in enumerate(self.file["vocabulary/id"][...])}

    def text(self, ids):
        """Text of tokens; ⟨id⟩ for those that the file has no word for."""
        return b"".join(self._words.get(int(id), f" ⟨{id}⟩".encode()) for id in ids).decode(errors="replace").strip()

    def prompt(self, row):
        begin, end = self.file["problem/prompt_offset"][self.problem[row]:self.problem[row] + 2]
        return self.text(self.file["problem/prompt_token"][begin:end])

    def gold(self, row):
        return _text(self.file["problem/answer"][self.problem[row]])

    def given(self, row):
        return _text(self.file["trajectory/answer"][row])

    def steps(self, row):
        """Texts of the steps, and of what comes behind the last step, the end token aside."""
        first, last = self.token_offset[row:row + 2]
        ids = self.file["token/id"][first:last]
        ends = self.file["step/end"][self.step_offset[row]:self.step_offset[row + 1]]
        begins = np.concatenate([[0], ends])
        ended = int(self.file["trajectory/finish"][row]) == 0
        return [self.text(ids[a:b]) for a, b in zip(begins, ends)], self.text(ids[begins[-1]:len(ids) - ended])

    def reason(self, row):
        names = self.attribute("verdict_reasons").split(",")
        code = int(self.file["trajectory/verdict_reason"][row])
        return names[code].replace("_", " ") if code < len(names) and names[code] else f"reason {code}"


def _text(value):
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


class States:
    """A figure for each state of the answers: values.h5 (as probabilities) or labels.h5."""

    def __init__(self, path, answers, schema, dataset):
        self.file = open_table(path, schema)
        self.dataset, self.answers = dataset, answers
        if not np.array_equal(self.file["state/offset"][...], answers.state_offset):
            raise DamagedRun(f"{path} belongs to other answers (its states differ). Make the stage again with --redo.")

    def rows(self, first, last):
        """Figures of all states of the answers [first, last)."""
        offset = self.answers.state_offset
        return self._scale(self.file[self.dataset][offset[first]:offset[last]].astype(float))

    def row(self, row):
        return self.rows(row, row + 1)

    def _scale(self, figures):
        return figures


class Values(States):
    """Chances of success; of a model of `hazards` the chance that no step so far has the first error, 1 before the first step."""

    def __init__(self, directory, answers, hazards=False):
        super().__init__(directory / "values.h5", answers, "tdrm-values-1", "state/value")
        self.hazards = hazards

    def rows(self, first, last):
        chances = super().rows(first, last)
        if not self.hazards:
            return chances
        offset = self.answers.state_offset[first:last + 1] - self.answers.state_offset[first]
        chances[offset[:-1][np.diff(offset) > 1]] = 0  # s_0 of an answer with steps
        log = np.concatenate([[0], np.cumsum(np.log1p(-np.minimum(chances, 1 - 1e-12)))])
        return np.exp(log[1:] - np.repeat(log[offset[:-1]], np.diff(offset)))

    def _scale(self, logits):
        return 1 / (1 + np.exp(-np.clip(logits, -700, 700)))


class Labels(States):
    """Truth of each state; `kind` is reachable or no_error_so_far."""

    def __init__(self, directory, answers):
        super().__init__(directory / "labels.h5", answers, "tdrm-labels-1", "state/truth")
        self.kind = self.file.attrs.get("kind", "")

    def estimands(self):
        """Names of what is known of states: the truth, exact values of a script, shares of right continuations (docs/values.md)."""
        names = {self.kind: "state/truth", "v_pi": "state/v_pi", "v_pi_sampled": "state/tries"}
        return [name for name, dataset in names.items() if name and dataset in self.file]

    def rows_of(self, estimand, first, last):
        """Its figures of all states of the answers [first, last), NaN where it isn't known."""
        begin, end = self.answers.state_offset[first], self.answers.state_offset[last]
        if estimand != "v_pi_sampled":
            return self.file["state/v_pi" if estimand == "v_pi" else "state/truth"][begin:end].astype(float)
        tries, right = self.file["state/tries"][begin:end], self.file["state/successes"][begin:end]
        return np.divide(right, tries, out=np.full(len(tries), np.nan), where=tries > 0)

    def steps_right(self, first, last):
        offset = self.answers.step_offset
        return self.file["step/right"][offset[first]:offset[last]] > 0


def blocks(count):
    """[first, last) of blocks of trajectories."""
    for first in range(0, count, BLOCK):
        yield first, min(first + BLOCK, count)
