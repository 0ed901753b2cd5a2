"""Options of training that no other run uses: each run to its end, and its effect computed again from what it stored."""

import json
import math
import tempfile
import unittest

import h5py
import numpy as np

import runs

TRAJECTORIES = 160
CONFIG = f"""
run: {{dir: elsewhere, seed: 1}}
task: {{kind: chain, min_steps: 2, max_steps: 3, splits: {{sft: 4000, value: 40, rl: 100}}}}
stages:
  base:  {{do: sft, model: {{layers: 2, width: 32, heads: 2}}, problems: sft, batch: 32, optimizer: {{lr: 0.006}}}}
  rolls: {{do: rollout, policy: base, problems: value, samples: 4}}

  # Every trajectory once in each update, from values of 1/2: the first targets are known without the model.
  td_n:      {{do: value, init: base, data: rolls, batch: {TRAJECTORIES}, updates: 3, select: {{holdout: 0}},
              target: {{kind: td_n, n: 2, gamma: 0.9, shaping: normalised}}}}
  reference: {{do: value, like: td_n, target: {{kind: reference, n: 2, gamma: 1, shaping: none}}}}
  outcome:   {{do: value, like: td_n, target: {{kind: outcome, n: 1, gamma: 1, shaping: none}}}}
  impatient: {{do: value, init: base, data: rolls, batch: 32, updates: 25, select: {{holdout: 0.3, every: 1}},
              optimizer: {{lr: 0.02, schedule: constant}}}}
  patient:   {{do: value, like: impatient, select: {{patience: 3}}}}

  plain:    {{do: rl, policy: base, problems: rl, batch: {{problems: 8, samples: 4}}, updates: 4, save_rollouts: 1,
             optimizer: {{lr: 0.003}}}}
  loo:      {{do: rl, like: plain, advantage: {{leave_one_out: true, divide_by_std: false}}}}
  weak:     {{do: rl, like: plain, kl: {{beta: 0.001}}}}
  strong:   {{do: rl, like: plain, kl: {{beta: 2}}}}
  away:     {{do: rl, like: plain, kl: {{beta: 0.001, reference: plain}}}}
  gae:      {{do: rl, like: plain, advantage: {{kind: gae, value: td_n}}}}
  white:    {{do: rl, like: gae, advantage: {{whiten: true}}}}
  sequence: {{do: rl, like: gae, loss: sequence}}
  twice:    {{do: rl, like: gae, epochs: 2}}
  cut:      {{do: rl, like: gae, sampler: {{max_tokens: 18}}}}
  masked:   {{do: rl, like: cut, mask_truncated: true}}
"""


def split(values, offsets):
    """A flat array as a list, one array a trajectory."""
    return np.split(values, offsets[1:-1])


def cosine_reward(tokens, outcome):
    h = (1 + np.cos(np.pi * np.minimum(tokens, 512) / 512)) / 2
    return outcome * (1 + h) + (1 - outcome) * -10 * h


class Options(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            cls.run_folder = runs.reference(config=runs.write_config(folder, CONFIG))

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

    def policy_loss(self, batch, mean):
        """Of a batch's own policy: all ratios are 1. `mean`: over tokens or over sequences."""
        advantages = split(batch["token/advantage"].astype(np.float64), batch["trajectory/token_offset"])
        counted = batch["trajectory/trainable"] == 1
        if mean == "token":
            lengths = np.array([len(a) for a in advantages])
            return -sum(a.sum() for a, c in zip(advantages, counted) if c) / lengths[counted].sum()
        return -np.mean([a.mean() for a, c in zip(advantages, counted) if c])

    # Policies

    def test_loss_is_a_mean_over_tokens_or_over_sequences(self):
        for stage, mean in (("gae", "token"), ("sequence", "sequence")):
            for update, line in enumerate(self.lines(stage)):
                batch = self.batch(stage, update)
                self.assertTrue((batch["trajectory/trainable"] == 1).all())
                self.assertAlmostEqual(line["loss"], self.policy_loss(batch, mean), 5, (stage, update))
        batch = self.batch("gae")
        self.same_answers(batch, self.batch("sequence"))
        self.assertGreater(abs(self.policy_loss(batch, "token") - self.policy_loss(batch, "sequence")), 1e-3)

    def test_whitened_advantages_have_mean_0_and_deviation_1_over_the_tokens_of_the_batch(self):
        raw, white = self.batch("gae")["token/advantage"].astype(np.float64), self.batch("white")["token/advantage"]
        self.same_answers(self.batch("gae"), self.batch("white"))
        self.assertGreater(abs(raw.mean()), 0.01)
        np.testing.assert_allclose(white, (raw - raw.mean()) / raw.std(), rtol=1e-5, atol=1e-6)

    def test_leave_one_out_compares_with_the_mean_of_the_other_answers(self):
        for update in self.batches("loo"):
            batch = self.batch("loo", update)
            groups = batch["trajectory/reward"].reshape(8, 4)
            self.assertGreater(groups.std(1).max(), 0)
            others = (groups.sum(1, keepdims=True) - groups) / 3
            advantages = batch["token/advantage"][batch["trajectory/token_offset"][:-1]]
            np.testing.assert_allclose(advantages, (groups - others).ravel(), rtol=1e-6, atol=1e-7)

    def test_masked_answers_neither_train_nor_count(self):
        cut, masked = self.batch("cut"), self.batch("masked")
        self.same_answers(cut, masked)
        truncated = cut["trajectory/finish"] == 1
        self.assertTrue(0 < truncated.sum() < len(truncated))
        self.assertTrue((cut["trajectory/trainable"] == 1).all())
        np.testing.assert_array_equal(masked["trajectory/trainable"] == 1, ~truncated)
        for stage in ("cut", "masked"):
            for update, line in enumerate(self.lines(stage)):
                self.assertAlmostEqual(line["loss"], self.policy_loss(self.batch(stage, update), "token"), 5, (stage, update))
        self.assertNotAlmostEqual(self.lines("cut")[0]["loss"], self.lines("masked")[0]["loss"], 3)

    def test_two_epochs_make_two_updates_of_each_batch(self):
        self.assertEqual(self.batches("gae"), [0, 1, 2, 3])
        self.assertEqual(self.batches("twice"), [0, 2])
        lines = self.lines("twice")
        self.assertEqual(len(lines), 4)
        for first, second in ((0, 1), (2, 3)):
            for figure in ("reward", "completions/tokens", "rewards/rule/mean"):
                self.assertEqual(lines[first][figure], lines[second][figure], "of the same answers")
            self.assertLess(lines[first]["sampling/sampling_logp_difference/mean"], 1e-5)
            self.assertGreater(lines[second]["sampling/sampling_logp_difference/mean"], 1e-3)
            self.assertNotAlmostEqual(lines[second]["sampling/importance_sampling_ratio/mean"], 1, 5)
        self.assertNotEqual(len(self.batch("twice", 0)["token/id"]), len(self.batch("twice", 2)["token/id"]))
        # The next batch has the problems that the second batch has where each makes one update.
        np.testing.assert_array_equal(self.batch("twice", 2)["problem/id"], self.batch("gae", 1)["problem/id"])

    def test_kl_penalty_enters_the_loss_and_holds_the_policy_near_its_reference(self):
        self.assertNotIn("kl", self.lines("plain")[0])
        for stage, beta in (("weak", 0.001), ("strong", 2)):
            lines = self.lines(stage)
            self.assertLess(lines[0]["kl"], 1e-9, "the first policy is the reference")
            for update, line in enumerate(lines):
                if update > 0:
                    self.assertGreater(line["kl"], 1e-5)
                batch = self.batch(stage, update)
                self.assertTrue((batch["trajectory/trainable"] == 1).all(), "every answer has a penalty")
                expected = self.policy_loss(batch, "token") + beta * line["kl"]
                self.assertAlmostEqual(line["loss"], expected, 5, (stage, update))
        # Without a divergence there is no gradient of it.
        self.assertAlmostEqual(self.lines("strong")[0]["grad_norm"], self.lines("plain")[0]["grad_norm"], 5)
        self.assertLess(self.lines("strong")[-1]["kl"], self.lines("weak")[-1]["kl"])
        self.assertGreater(np.abs(self.weights("strong") - self.weights("plain")).max(), 1e-4)

    def test_kl_reference_may_be_another_policy(self):
        self.assertGreater(self.lines("away")[0]["kl"], 1e-4, "the first policy isn't the reference")
        self.same_answers(self.batch("away"), self.batch("weak"))

    # Value models

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
