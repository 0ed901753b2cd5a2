"""Runs of many small stages of one task: each run to its end, and its effect computed again from what it stored."""

import json
import pathlib
import sys
import tempfile
import unittest

import h5py
import numpy as np

import runs

TRAJECTORIES = 160
TASK = "task: {kind: chain, min_steps: 2, max_steps: 3, splits: {sft: 4000, value: 40, rl: 100}}\n"
BEGINNING = "run: {dir: elsewhere, seed: 1}\n" + TASK + """stages:
  base:  {do: sft, model: {layers: 2, width: 32, heads: 2}, problems: sft, batch: 32, optimizer: {lr: 0.006}}
  rolls: {do: rollout, policy: base, problems: value, samples: 4}
"""
# Of reinforcement learning, what others are like.
PLAIN = """
  plain:    {do: rl, policy: base, problems: rl, batch: {problems: 8, samples: 4}, updates: 4, save_rollouts: 1,
             optimizer: {lr: 0.003}}
"""


def split(values, offsets):
    """A flat array as a list, one array a trajectory."""
    return np.split(values, offsets[1:-1])


class Stages(unittest.TestCase):
    """A run of the beginning and of a class's `config`."""

    config = ""

    @classmethod
    def setUpClass(cls):
        judge = pathlib.Path(__file__).with_name("data") / "judge.py"
        config = (BEGINNING + cls.config).replace("COMMAND", f"{sys.executable} {judge}")
        with tempfile.TemporaryDirectory() as folder:
            cls.run_folder = runs.reference(config=runs.write_config(folder, config))

    def lines(self, stage):
        return runs.lines(self.run_folder / stage / "metrics.jsonl")

    def record(self, stage):
        return json.loads((self.run_folder / stage / "stage.json").read_text())

    def weights(self, stage):
        path = self.run_folder / stage / f"update-{self.record(stage)['updates']:06}/checkpoint.h5"
        with h5py.File(path) as file:
            return file["model/model.layers.0.self_attn.q_proj.weight"][...]

    def batches(self, stage):
        return sorted(int(path.stem.split("-")[1]) for path in (self.run_folder / stage / "rollouts").iterdir())

    def batch(self, stage, update=0):
        """Arrays of a batch of answers, by their names in the file."""
        with h5py.File(self.run_folder / stage / f"rollouts/update-{update:06}.h5") as file:
            found = {}
            file.visititems(lambda name, item: found.update({name: item[...]}) if isinstance(item, h5py.Dataset) else None)
        return found

    def same_answers(self, one, other):
        np.testing.assert_array_equal(one["token/id"], other["token/id"])
