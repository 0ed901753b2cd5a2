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
    def __init__(self, directory, answers):
        super().__init__(directory / "values.h5", answers, "tdrm-values-1", "state/value")

    def _scale(self, logits):
        return 1 / (1 + np.exp(-np.clip(logits, -700, 700)))


class Labels(States):
    """Truth of each state; `kind` is reachable or no_error_so_far."""

    def __init__(self, directory, answers):
        super().__init__(directory / "labels.h5", answers, "tdrm-labels-1", "state/truth")
        self.kind = self.file.attrs.get("kind", "")

    def steps_right(self, first, last):
        offset = self.answers.step_offset
        return self.file["step/right"][offset[first]:offset[last]] > 0


def blocks(count):
    """[first, last) of blocks of trajectories."""
    for first in range(0, count, BLOCK):
        yield first, min(first + BLOCK, count)
