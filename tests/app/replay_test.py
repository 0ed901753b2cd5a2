"""tdrm replay: an update computed again from its stored answers is the update that was made, and says what made it."""

import json
import os
import shutil
import tempfile
import pathlib
import unittest

import h5py

import runs

CONFIG = """
run: {dir: elsewhere, seed: 1}
task: {kind: chain, min_steps: 2, max_steps: 3, splits: {sft: 4000, value: 40, rl: 100}}
stages:
  base:  {do: sft, model: {layers: 2, width: 32, heads: 2}, problems: sft, batch: 32, optimizer: {lr: 0.006}}
  rolls: {do: rollout, policy: base, problems: value, samples: 4}
  td:    {do: value, init: base, data: rolls, epochs: 1}
  grpo:  {do: rl, policy: base, problems: rl, batch: {problems: 8, samples: 4}, updates: 4, save_rollouts: 1, commit: {at: 1}, kl: {beta: 0.01},
          reward: {rule: 0.8, value: {model: td, form: difference}}}
  paid:  {do: rl, like: grpo, kl: {in: reward, form: k1}, loss: {kind: gspo, mean: sequence, old: trainer, truncate: 2}}
  tree:  {do: rl, like: grpo, batch: {samples: 2, tree: {width: 2, depth: 2}}, advantage: {kind: tree}}
  gated: {do: rl, like: grpo, advantage: {kind: gated}, critic: {init: td, warmup: 2}, inner_epochs: 2, commit: {at: 2}}
  many:  {do: rl, like: grpo, minibatches: 2, inner_epochs: 2, updates: 8, commit: {at: 4}}
  lora:  {do: rl, like: many, lora: {rank: 4}}
"""


class Replay(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            cls.run_folder = runs.reference(config=runs.write_config(folder, CONFIG))

    def replay(self, stage, *arguments, folder=None):
        with tempfile.TemporaryDirectory() as empty:
            done = runs.tdrm("replay", f"{folder or self.run_folder}/{stage}", *map(str, arguments), env={**os.environ, "TMPDIR": empty})
            # Open MPI's own folder goes when the program ends well.
            self.assertEqual([name for name in os.listdir(empty) if name.startswith("tdrm")], [], done.stdout)
        return done

    def test_figures_are_as_logged_and_rewards_and_advantages_as_stored(self):
        for stage, updates in (("grpo", (0, 2)), ("paid", (0, 3)), ("tree", (1, 3)), ("gated", (2, 3)), ("many", (0, 5, 7)), ("lora", (1, 6))):
            for update in updates:
                done = self.replay(stage, "--update", update)
                self.assertEqual(done.returncode, 0, done.stdout)
                self.assertEqual(done.stdout.count(", as logged"), 4, done.stdout)
                self.assertEqual(done.stdout.count("bit for bit"), 2, done.stdout)

    def test_an_answer_is_accounted_for_token_by_token(self):
        with h5py.File(self.run_folder / "grpo/rollouts/update-000002.h5") as file:
            offsets, parts = file["trajectory/token_offset"][...], file["trajectory/reward_value"][...]
            advantage, reward = file["token/advantage"][...], file["trajectory/reward"][...]
        shares = 0
        for row in range(len(reward)):
            page = self.replay("grpo", "--update", 2, "--answer", row).stdout
            self.assertIn(f"answer {row}: ", page)
            self.assertIn(f"reward {reward[row]:.6g} = ", page)
            self.assertIn(f"{parts[row]:.6g} value", page)
            lines = [line.split() for line in page.split("slope\n")[1].splitlines() if line.strip()[0].isdigit()]
            self.assertEqual(len(lines), offsets[row + 1] - offsets[row])
            for line, expected in zip(lines, advantage[offsets[row] :]):
                self.assertAlmostEqual(float(line[5]), expected, delta=6e-6)
            shares += float(page.rsplit("its share of the loss: ", 1)[1])
        self.assertAlmostEqual(shares, runs.lines(self.run_folder / "grpo/metrics.jsonl")[2]["loss"], 5)

    def test_a_changed_number_is_seen(self):
        folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        copy = folder / "run"
        shutil.copytree(self.run_folder, copy)
        with h5py.File(copy / "grpo/rollouts/update-000002.h5", "r+") as file:
            file["token/advantage"][3] += 0.5
        page = self.replay("grpo", "--update", 2, folder=copy).stdout
        self.assertIn("advantages DIFFER from the stored ones by up to 0.5", page)
        path = copy / "grpo/metrics.jsonl"
        lines = runs.lines(path)
        lines[2]["loss"] += 1
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        self.assertIn("BUT LOGGED AS", self.replay("grpo", "--update", 2, folder=copy).stdout)

    def test_what_cant_be_computed_again_says_why(self):
        for stage, arguments, message in (
            ("gated", ("--update", 1), "only the critic learnt then"),
            ("many", ("--update", 5, "--answer", 0), "answer 0 is another one's"),
            ("grpo", ("--update", 9), "save_rollouts: 1 keeps"),
            ("grpo", ("--update", 1, "--answer", 99), "no answer 99. It has 32"),
            ("base", ("--update", 1), "only updates of rl"),
            ("grop", ("--update", 1), "has no stage grop"),
        ):
            with self.subTest(message):
                done = self.replay(stage, *arguments)
                self.assertEqual(done.returncode, 64, done.stdout)
                self.assertIn(message, done.stdout)
        self.assertIn("is no run folder", self.replay("x", "--update", 1, folder="/nowhere").stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
