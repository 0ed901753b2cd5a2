"""Options of value models that no other run uses."""

import math
import unittest

import h5py
import numpy as np

import stages
from stages import TRAJECTORIES, split

VALUES = """
  # Every trajectory once in each update, from values of 1/2: the first targets are known without the model.
  td_n:      {do: value, init: base, data: rolls, batch: 160, updates: 3, select: {holdout: 0},
              target: {kind: td_n, n: 2, gamma: 0.9, shaping: normalised}}
  reference: {do: value, like: td_n, target: {kind: reference, n: 2, gamma: 1, shaping: none}}
  outcome:   {do: value, like: td_n, target: {kind: outcome, n: 1, gamma: 1, shaping: none}}
  impatient: {do: value, init: base, data: rolls, batch: 32, updates: 25, select: {holdout: 0.3, every: 1},
              optimizer: {lr: 0.02, schedule: constant}}
  patient:   {do: value, like: impatient, select: {patience: 3}}
"""


def cosine_reward(tokens, outcome):
    h = (1 + np.cos(np.pi * np.minimum(tokens, 512) / 512)) / 2
    return outcome * (1 + h) + (1 - outcome) * -10 * h


class ValueOptions(stages.Stages):
    config = VALUES

    def solutions(self):
        with h5py.File(self.run_folder / "rolls/trajectories.h5") as file:
            ends = split(file["step/end"][...], file["trajectory/step_offset"][...])
            outcomes = file["trajectory/outcome"][...].astype(np.float64)
        self.assertEqual(len(outcomes), TRAJECTORIES)
        return [(y, np.concatenate([[0], e])) for y, e in zip(outcomes, ends)]

    def check_first_update(self, stage, targets_of):
        """`targets_of(outcome, tokens before each state)` gives (target, weight) of each state while all values are 1/2."""
        pairs = [pair for y, prefix in self.solutions() for pair in targets_of(y, prefix)]
        targets = np.clip([target for target, weight in pairs if weight > 0], 0, 1)
        line = self.lines(stage)[0]
        self.assertAlmostEqual(line["target/mean_delta"], np.abs(targets - 0.5).mean(), 6)
        self.assertAlmostEqual(line["target/interior_share"], ((targets > 0) & (targets < 1)).mean(), 6)
        self.assertAlmostEqual(line["loss"], math.log(2), 6)
        self.assertLess(self.lines(stage)[-1]["loss"], line["loss"])
        return targets

    def test_targets_of_td_n(self):
        def targets(y, prefix):
            last = len(prefix) - 1
            for t in range(last + 1):
                m = min(2, last - t)
                rewards = sum(0.9**k * 0.1 * y for k in range(m))
                yield rewards + 0.9**m * (y if t + m == last else 0.5), 1

        self.check_first_update("td_n", targets)

    def test_targets_of_the_published_code(self):
        def targets(y, prefix):
            last = len(prefix) - 1
            for t in range(last + 1):
                rewards = sum(0.8**k * cosine_reward(prefix[t + k], y) for k in range(2) if t + k < last)
                backup = 0.8**2 * 0.5 if t + 2 <= last else 0
                yield y if t == last else rewards + backup, 0 if t == 0 < last else 1

        self.assertTrue(np.isin(self.check_first_update("reference", targets), [0, 1]).all(), "solutions are short")
        # Where the shaping saturates at the outcome, the untrained s_0 is what is left.
        self.check_first_update("outcome", lambda y, prefix: [(y, 1) for _ in prefix])
        self.assertNotAlmostEqual(self.lines("reference")[0]["grad_norm"], self.lines("outcome")[0]["grad_norm"], 4)

    def test_patience_stops_after_so_many_measurements_without_a_new_best(self):
        figures = [line["eval/log_loss"] for line in self.lines("impatient")]
        self.assertEqual(len(figures), 25)
        best, since, stop = math.inf, 0, None
        for update, figure in enumerate(figures, 1):
            since = 0 if figure < best else since + 1
            if figure < best:
                best, best_update = figure, update
            if since == 3:
                stop = update
                break
        self.assertIsNotNone(stop, "the longer training has such a stretch")
        self.assertLess(stop, 25)
        record = self.record("patient")
        self.assertEqual((record["updates"], record["best"], record["done"]), (stop, best_update, True))
        self.assertEqual(self.lines("patient"), self.lines("impatient")[:stop])
        commits = sorted(path.name for path in (self.run_folder / "patient").glob("update-*"))
        self.assertEqual(commits, [f"update-{update:06}" for update in sorted({best_update, stop})])


if __name__ == "__main__":
    unittest.main(verbosity=2)
