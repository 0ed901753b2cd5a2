"""Options of training that no other run uses: each run to its end, and its effect computed again from what it stored."""

import json
import math
import pathlib
import sys
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
  twice:    {{do: rl, like: gae, inner_epochs: 2}}
  halves:   {{do: rl, like: gae, minibatches: 2}}
  again:    {{do: rl, like: gae, loss: {{old: trainer, truncate: 2, reject: 5}}}}
  refilled: {{do: rl, like: plain, batch: {{refill: 3}}}}
  shaped:   {{do: rl, like: plain, reward: {{rule: {{weight: 0.5, normalise: batch}}, length: 0.25, overlong: {{weight: 0.5, buffer: 8}},
             repetition: {{weight: 0.125, tokens: 2}}}}}}
  progress: {{do: rl, like: plain, reward: {{value: {{model: td_n, weight: 1, form: difference, scale: probability}}}}}}
  paid:     {{do: rl, like: plain, kl: {{beta: 0.5, in: reward, reference: plain}}}}
  critic:   {{do: rl, like: plain, advantage: {{kind: gae}}, critic: {{init: base, target: {{kind: td_lambda, lambda: 0.5}}, warmup: 2,
             optimizer: {{lr: 0.01}}}}, commit: {{at: 1}}}}
  shrunk:   {{do: rl, like: critic, advantage: {{kind: shrinkage}}, batch: {{problems: 16, samples: 1}}}}
  gated:    {{do: rl, like: critic, advantage: {{kind: gated}}, critic: {{warmup: 0}}, updates: 6}}
  tree:     {{do: rl, like: plain, batch: {{samples: 2, tree: {{width: 2, depth: 2}}}}, advantage: {{kind: tree}}}}
  judged:   {{do: rl, like: plain, reward: {{rule: 0.5, command: {{run: "COMMAND answer", weight: 0.25, workers: 3}}}}}}
  stepwise: {{do: rl, like: plain, reward: {{rule: 0.5, command: {{run: "COMMAND steps", of: steps, normalise: group}}}}}}
  adapters: {{do: rl, like: plain, lora: {{rank: 4, keep_body: true}}, optimizer: {{lr: 0.01}}}}
  alone:    {{do: rl, like: adapters, lora: {{keep_body: false}}}}
  tuned:    {{do: sft, init: base, problems: rl, lora: {{rank: 2, targets: [q_proj, v_proj], keep_body: true}}, updates: 8, batch: 32}}
  td_lora:  {{do: value, init: base, data: rolls, updates: 3, lora: {{rank: 4, keep_body: true}}}}
  td_alone: {{do: value, like: td_lora, lora: {{keep_body: false}}}}
  by_whole: {{do: rollout, policy: adapters, problems: value, samples: 1}}
  by_alone: {{do: rollout, like: by_whole, policy: alone}}
  of_whole: {{do: score, data: rolls, value: td_lora}}
  of_alone: {{do: score, data: rolls, value: td_alone}}
  mixed:    {{do: rl, like: tree, advantage: {{value: td_n}}}}
  late:     {{do: rl, like: plain, batch: {{samples: 1, tree: {{width: 2, depth: 2, first: 2}}}}, advantage: {{kind: tree}}}}
  guarded:  {{do: rl, like: plain, reward: {{rule: 0, length: 1}}, eval: {{problems: value, every: 1, samples: 16}}, guard: stop, updates: 60,
             optimizer: {{lr: 0.004}}}}
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
            judge = pathlib.Path(__file__).with_name("data") / "judge.py"
            cls.run_folder = runs.reference(config=runs.write_config(folder, CONFIG.replace("COMMAND", f"{sys.executable} {judge}")))

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

    def test_minibatches_share_a_batch_among_updates(self):
        self.assertEqual(self.batches("halves"), [0, 2])
        batch = self.batch("halves")
        self.same_answers(batch, self.batch("gae"))
        advantages = split(batch["token/advantage"].astype(np.float64), batch["trajectory/token_offset"])
        first = [a for a, p in zip(advantages, batch["trajectory/problem"]) if p < 4]
        line = self.lines("halves")[0]
        self.assertAlmostEqual(line["loss"], -sum(a.sum() for a in first) / sum(len(a) for a in first), 5)

    def test_log_probs_of_the_trainer_are_those_of_the_sampler(self):
        batch = self.batch("again")
        np.testing.assert_array_equal(batch["token/logprob_old"], batch["token/logprob"], "the same bits, so nothing is rejected")
        self.assertEqual(self.lines("again")[0]["loss"], self.lines("gae")[0]["loss"])
        self.assertEqual(self.lines("again")[0]["sampling/rejected_ratio"], 0)

    def test_refill_leaves_no_group_without_spread_while_rounds_last(self):
        for update, line in enumerate(self.lines("refilled")):
            batch = self.batch("refilled", update)
            spread = [len(set(group)) > 1 for group in batch["trajectory/outcome"].reshape(8, 4)]
            self.assertEqual(len(spread), 8)
            self.assertGreaterEqual(line["batch/offered_problems"], 8)
            if line["batch/offered_problems"] == 8:
                self.assertTrue(all(spread))
        even = [len(set(g)) == 1 for u in range(4) for g in self.batch("plain", u)["trajectory/outcome"].reshape(8, 4)]
        refilled = [len(set(g)) == 1 for u in range(4) for g in self.batch("refilled", u)["trajectory/outcome"].reshape(8, 4)]
        self.assertLess(sum(refilled), sum(even))

    def test_parts_of_the_reward_add_up_and_are_what_they_say(self):
        batch = self.batch("shaped")
        lengths = np.diff(batch["trajectory/token_offset"]).astype(np.float64)
        outcome = batch["trajectory/outcome"].astype(np.float64)
        expected = 0.5 * (outcome - outcome.mean()) / outcome.std()
        np.testing.assert_allclose(batch["trajectory/reward_rule"], expected, atol=1e-12)
        longest = lengths[0] / (-batch["trajectory/reward_length"][0] / 0.25)
        np.testing.assert_allclose(batch["trajectory/reward_length"], -0.25 * lengths / longest, atol=1e-12)
        np.testing.assert_allclose(batch["trajectory/reward_overlong"], -0.5 * np.clip((lengths - longest + 8) / 8, 0, 1), atol=1e-12)
        for row, ids in enumerate(split(batch["token/id"], batch["trajectory/token_offset"])):
            pairs = list(zip(ids[:-1], ids[1:]))
            again = 1 - len(set(pairs)) / len(pairs) if pairs else 0
            self.assertAlmostEqual(batch["trajectory/reward_repetition"][row], -0.125 * again, 12)
        parts = sum(batch[f"trajectory/reward_{name}"] for name in ("rule", "length", "overlong", "repetition"))
        np.testing.assert_allclose(batch["trajectory/reward"], parts, atol=1e-12)

    def test_a_program_of_the_user_scores_answers_or_steps(self):
        batch = self.batch("judged")
        lengths = np.array([end - begin for begin, end in zip(batch["trajectory/step_offset"][:-1], batch["trajectory/step_offset"][1:])])
        expected = 0.25 * (lengths / 10 + batch["trajectory/outcome"])
        np.testing.assert_allclose(batch["trajectory/reward_command"], expected, atol=1e-12)
        batch = self.batch("stepwise")
        for scores in split(batch["state/reward_command"], batch["state/offset"]):
            self.assertEqual(scores[-1], 0, "behind the last step nothing is judged")
        first = batch["state/reward_command"][: batch["state/offset"][4]]
        given = np.array([float(len(split(batch["step/end"], batch["trajectory/step_offset"])[row]) and k)
                          for row in range(4) for k in range(len(split(batch["step/end"], batch["trajectory/step_offset"])[row]))])
        kept = np.concatenate([s[:-1] for s in split(first, batch["state/offset"][:5])])
        np.testing.assert_allclose(kept, (given - given.mean()) / given.std(), atol=1e-9)

    def test_a_judge_that_fails_ends_the_run_with_its_last_commit_whole(self):
        with tempfile.TemporaryDirectory() as folder:
            config = runs.write_config(folder, """
run: {dir: elsewhere, seed: 1}
task: {kind: chain, min_steps: 2, max_steps: 3, splits: {sft: 640, rl: 20}}
stages:
  base:   {do: sft, model: {layers: 1, width: 32, heads: 2}, problems: sft, batch: 32}
  judged: {do: rl, policy: base, problems: rl, batch: {problems: 4, samples: 2}, updates: 4, commit: {at: 1},
           reward: {command: {run: placeholder, attempts: 2, deadline: 1s}}}
""")
            judge = pathlib.Path(__file__).with_name("data") / "judge.py"
            for command, code, message in (("true", 65, "ended"), ("echo nonsense; cat > /dev/null", 65, "nonsense"),
                                           ("cat > /dev/null", 65, "deadline"), ("/no/such/judge", 64, "judge"),
                                           (f"{sys.executable} {judge} fails", 65, "exit")):
                with self.subTest(command):
                    run = pathlib.Path(folder) / "run"
                    done = runs.tdrm(*runs.run_arguments(run, config=config, settings=[f"stages.judged.reward.command.run={command}"],
                                                         more=["--redo", "judged"] if (run / "judged").exists() else []))
                    self.assertEqual(done.returncode, code, done.stdout)
                    self.assertIn(message, done.stdout)
                    if "fails" in command:
                        self.assertEqual(runs.tdrm("inspect", str(run)).returncode, 0)
                        self.assertTrue((run / "judged/update-000002").is_dir())

    def test_adapters_learn_alone_sample_and_are_committed_with_the_merged_model(self):
        lines = self.lines("adapters")
        hashes = [line["sampling/weights_hash"] for line in lines]
        self.assertEqual(len(set(hashes)), len(lines), "each batch is drawn from other weights")
        self.same_answers(self.batch("adapters"), self.batch("plain"))
        with h5py.File(self.run_folder / "base/update-000125/checkpoint.h5") as base:
            frozen = {name: base[f"model/{name}"][...] for name in base["model"]}
        for stage, update, moved in (("adapters", 4, "_proj.weight"), ("tuned", 8, ("q_proj.weight", "v_proj.weight"))):
            with h5py.File(self.run_folder / f"{stage}/update-{update:06}/checkpoint.h5") as file:
                adapters, moments = file["lora/model"], file["lora/optimizer/exp_avg"]
                self.assertNotIn("optimizer", file)
                self.assertEqual(set(adapters), set(moments))
                rank = 4 if stage == "adapters" else 2
                for name, before in frozen.items():
                    now = file[f"model/{name}"][...]
                    module = name.removesuffix(".weight")
                    if not name.endswith(moved):
                        np.testing.assert_array_equal(now, before, name)
                        continue
                    change = 16 / rank * adapters[f"{module}.lora_B.weight"][...] @ adapters[f"{module}.lora_A.weight"][...]
                    self.assertGreater(np.abs(change).max(), 0)
                    np.testing.assert_allclose(now, before + change, atol=1e-5)
        self.assertLess(self.lines("tuned")[-1]["loss"], self.lines("tuned")[0]["loss"])
        with h5py.File(self.run_folder / "td_lora/update-000003/checkpoint.h5") as file:
            self.assertIn("score.weight", file["lora/model"])
            np.testing.assert_array_equal(file["model/score.weight"][...], file["lora/model/score.weight"][...])

    def test_commits_of_adapters_alone_are_the_same_model_where_their_base_is(self):
        for whole, alone, update in (("adapters", "alone", 4), ("td_lora", "td_alone", 3)):
            with h5py.File(self.run_folder / f"{whole}/update-{update:06}/checkpoint.h5") as one, \
                 h5py.File(self.run_folder / f"{alone}/update-{update:06}/checkpoint.h5") as other:
                self.assertIn("model", one)
                self.assertNotIn("model", other)
                for name, values in one["lora/model"].items():
                    np.testing.assert_array_equal(other[f"lora/model/{name}"][...], values[...], name)
        for one, other, dataset in (("by_whole", "by_alone", "token/logprob"), ("of_whole", "of_alone", "state/value")):
            name = "trajectories.h5" if "token" in dataset else "values.h5"
            with h5py.File(self.run_folder / one / name) as a, h5py.File(self.run_folder / other / name) as b:
                np.testing.assert_array_equal(a[dataset][...], b[dataset][...])
        with tempfile.TemporaryDirectory() as folder:
            done = runs.tdrm("export", f"{self.run_folder}/alone", str(pathlib.Path(folder) / "model"))
            self.assertEqual(done.returncode, 65, done.stdout)
            self.assertIn("it holds adapters alone; the model under them is base", done.stdout)
            done = runs.tdrm("export", f"{self.run_folder}/alone", str(pathlib.Path(folder) / "adapter"), "--adapter")
            self.assertEqual(done.returncode, 0, done.stdout)

    def test_exported_adapters_merge_into_their_base_as_the_stage_did(self):
        with tempfile.TemporaryDirectory() as folder:
            paths = {name: pathlib.Path(folder) / name for name in ("base", "adapter", "whole", "merged")}
            for source, name, more in (("base", "base", []), ("adapters", "adapter", ["--adapter"]), ("adapters", "whole", [])):
                done = runs.tdrm("export", f"{self.run_folder}/{source}", str(paths[name]), *more)
                self.assertEqual(done.returncode, 0, done.stdout)
            done = runs.tdrm("export", f"hf:{paths['base']}+{paths['adapter']}", str(paths["merged"]), "--dtype", "fp32")
            self.assertEqual(done.returncode, 0, done.stdout)
            tensors = [self.safetensors(paths[name] / "model.safetensors") for name in ("whole", "merged")]
            self.assertEqual(set(tensors[0]), set(tensors[1]))
            for name, values in tensors[0].items():
                np.testing.assert_allclose(tensors[1][name], values, atol=1e-6, err_msg=name)
            done = runs.tdrm("export", f"{self.run_folder}/plain", str(pathlib.Path(folder) / "none"), "--adapter")
            self.assertEqual(done.returncode, 64)
            self.assertIn("has no adapters", done.stdout)

    @staticmethod
    def safetensors(path):
        data = path.read_bytes()
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        return {name: np.frombuffer(data[8 + size :][slice(*entry["data_offsets"])], np.float32)
                for name, entry in header.items() if name != "__metadata__"}

    def test_progress_counts_for_the_steps_before_it(self):
        batch = self.batch("progress")
        value = 1 / (1 + np.exp(-batch["state/value"].astype(np.float64)))
        states = split(value, batch["state/offset"])
        rewards = split(batch["state/reward_value"], batch["state/offset"])
        for v, r in zip(states, rewards):
            np.testing.assert_allclose(r, np.append(np.diff(v), 0), atol=1e-9)
        np.testing.assert_allclose(batch["trajectory/reward_value"], [v[-1] - v[0] for v in states], atol=1e-9)
        advantages = split(batch["token/advantage"], batch["trajectory/token_offset"])
        self.assertTrue(any(len(set(a)) > 1 for a in advantages), "steps differ")

    def test_a_divergence_in_the_reward_is_paid_by_the_tokens_before_it(self):
        batch = self.batch("paid")
        rewards = split(batch["token/reward_kl"], batch["trajectory/token_offset"])
        self.assertLess(sum(r.sum() for r in rewards), 0)
        plain = self.batch("plain")
        self.same_answers(batch, plain)
        change = split(batch["token/advantage"].astype(np.float64) - plain["token/advantage"], batch["trajectory/token_offset"])
        for c, r in zip(change, rewards):
            np.testing.assert_allclose(c, np.cumsum(r[::-1])[::-1], atol=1e-5)
        self.assertNotIn("kl", self.lines("paid")[0])

    def test_a_critic_learns_from_the_answers_after_it_judged_them(self):
        lines = self.lines("critic")
        for line in lines:
            self.assertGreater(line["critic/grad_norm"], 0)
            self.assertEqual(line["critic/learning_rate"], 0.01)
        self.assertLess(lines[-1]["critic/loss"], lines[0]["critic/loss"])
        self.assertEqual([line["grad_norm"] > 0 for line in lines], [False, False, True, True], "the policy waits for it")
        batches = [self.batch("critic", update) for update in range(4)]
        self.same_answers(batches[0], self.batch("plain"))
        value = 1 / (1 + np.exp(-batches[3]["state/value"].astype(np.float64)))
        ends = split(batches[3]["step/end"], batches[3]["trajectory/step_offset"])
        advantages = split(batches[3]["token/advantage"], batches[3]["trajectory/token_offset"])
        for v, e, a, y in zip(split(value, batches[3]["state/offset"]), ends, advantages, batches[3]["trajectory/outcome"]):
            counts = np.diff(np.concatenate([[0], e, [len(a)]]))
            np.testing.assert_allclose(a, np.repeat(y - v, counts), atol=1e-6)
        with h5py.File(self.run_folder / "critic/update-000004/checkpoint.h5") as file:
            self.assertIn("score.weight", file["critic/model"])
            self.assertIn("critic/optimizer/exp_avg", file)

    def test_a_critic_is_a_value_model_for_later_stages(self):
        stored = self.run_folder / "critic/rollouts/update-000003.h5"
        with tempfile.TemporaryDirectory() as folder:
            config = pathlib.Path(folder) / "score.yaml"
            config.write_text(
                f"run: {{dir: {folder}/run, seed: 1}}\n{CONFIG[CONFIG.index('task:') : CONFIG.index('stages:')]}stages:\n"
                f'  scores: {{do: score, data: "file:{stored}", value: "run:{self.run_folder}/critic@update-3"}}\n'
            )
            done = runs.tdrm("run", config)
            self.assertEqual(done.returncode, 0, done.stdout)
            with h5py.File(pathlib.Path(folder) / "run/scores/values.h5") as file:
                values = file["state/value"][...]
        np.testing.assert_array_equal(values, self.batch("critic", 3)["state/value"])

    def test_one_answer_a_problem_is_enough_with_a_critic(self):
        batch = self.batch("shrunk", 2)
        self.assertEqual(len(batch["trajectory/outcome"]), 16)
        self.assertTrue((batch["trajectory/trainable"] == 1).all())
        self.assertGreater(self.lines("shrunk")[2]["grad_norm"], 0)

    def test_the_gate_opens_where_values_explained_the_batch_before(self):
        lines = self.lines("gated")
        opened = []
        for update, line in enumerate(lines):
            batch = self.batch("gated", update)
            advantages = split(batch["token/advantage"], batch["trajectory/token_offset"])
            whole = all(len(set(a)) == 1 for a in advantages)
            before = lines[update - 1]["value/explained_variance"] if update > 0 else 0
            self.assertEqual(whole, before <= 0, update)
            opened.append(before > 0)
        self.assertIn(False, opened)

    def test_trees_share_beginnings_and_compute_them_once(self):
        batch = self.batch("tree")
        parent, tokens = batch["trajectory/fork_parent"], batch["trajectory/fork_tokens"]
        ids = split(batch["token/id"], batch["trajectory/token_offset"])
        logprob = split(batch["token/logprob"], batch["trajectory/token_offset"])
        self.assertGreater((parent >= 0).sum(), 8)
        for row, (p, n) in enumerate(zip(parent, tokens)):
            if p < 0:
                continue
            self.assertLess(p, row)
            np.testing.assert_array_equal(ids[row][:n], ids[p][:n])
            np.testing.assert_array_equal(logprob[row][:n], logprob[p][:n])
            ends = batch["step/end"][slice(*batch["trajectory/step_offset"][p : p + 2])]
            self.assertIn(n, ends, "branches leave at the ends of steps")
        own = sum(len(i) for i in ids) - tokens.sum()
        prompts = len(batch["problem/prompt_token"]) if "problem/prompt_token" in batch else 0
        line = self.lines("tree")[0]
        self.assertEqual(line["batch/answers"], len(ids))
        self.assertLess(line["num_tokens"], sum(len(i) for i in ids) + prompts + 8 * 40)
        self.assertLess(own, sum(len(i) for i in ids))

    def test_a_value_model_changes_what_the_pieces_of_a_tree_are_worth(self):
        plain, mixed = self.batch("tree"), self.batch("mixed")
        self.same_answers(plain, mixed)
        self.assertEqual(len(mixed["state/value"]), mixed["state/offset"][-1])
        self.assertGreater(np.abs(plain["token/advantage"] - mixed["token/advantage"]).max(), 0.01)

    def test_trees_that_branch_late_share_more(self):
        def shared(stage):
            batch = self.batch(stage)
            return batch["trajectory/fork_tokens"][batch["trajectory/fork_parent"] >= 0]

        self.assertGreater(shared("late").min(), shared("tree").min(), "the first branching lies a step later")
        self.assertGreater(shared("late").mean(), shared("tree").mean())

    def test_a_guard_ends_training_when_the_reward_is_gamed_and_names_the_last_good_commit(self):
        record = self.record("guarded")
        self.assertTrue(record["done"])
        self.assertLess(record["updates"], 60, "shorter answers are no better ones")
        alarm = record["results"]["alarm"]
        self.assertEqual(alarm["good"], record["best"])
        self.assertTrue((self.run_folder / f"guarded/update-{alarm['good']:06}").is_dir() or alarm["good"] == 0)
        lines = self.lines("guarded")
        self.assertEqual(lines[-1]["eval/guard/alarm"], 1)
        self.assertLess(lines[-1]["eval/pass@1"], max(line.get("eval/pass@1", 0) for line in lines))
        self.assertGreater(lines[-1]["reward"], lines[0]["reward"])

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
