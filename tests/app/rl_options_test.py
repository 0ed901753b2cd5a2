"""Options of reinforcement learning that no other run uses."""

import pathlib
import sys
import tempfile
import unittest

import h5py
import numpy as np

import runs
import stages
from stages import split

POLICIES = """
  td_n:     {do: value, init: base, data: rolls, batch: 160, updates: 3, select: {holdout: 0},
              target: {kind: td_n, n: 2, gamma: 0.9, shaping: normalised}}
  loo:      {do: rl, like: plain, advantage: {leave_one_out: true, divide_by_std: false}}
  weak:     {do: rl, like: plain, kl: {beta: 0.001}}
  strong:   {do: rl, like: plain, kl: {beta: 2}}
  away:     {do: rl, like: plain, kl: {beta: 0.001, reference: plain}}
  gae:      {do: rl, like: plain, advantage: {kind: gae, value: td_n}}
  white:    {do: rl, like: gae, advantage: {whiten: true}}
  sequence: {do: rl, like: gae, loss: sequence}
  twice:    {do: rl, like: gae, inner_epochs: 2}
  halves:   {do: rl, like: gae, minibatches: 2}
  again:    {do: rl, like: gae, loss: {old: trainer, truncate: 2, reject: 5}}
  refilled: {do: rl, like: plain, batch: {refill: 3}}
  shaped:   {do: rl, like: plain, reward: {rule: {weight: 0.5, normalise: batch}, length: 0.25, overlong: {weight: 0.5, buffer: 8},
             repetition: {weight: 0.125, tokens: 2}}}
  progress: {do: rl, like: plain, reward: {value: {model: td_n, weight: 1, form: difference, scale: probability}}}
  paid:     {do: rl, like: plain, kl: {beta: 0.5, in: reward, reference: plain}}
  critic:   {do: rl, like: plain, advantage: {kind: gae}, critic: {init: base, target: {kind: td_lambda, lambda: 0.5}, warmup: 2,
             optimizer: {lr: 0.01}}, commit: {at: 1}}
  shrunk:   {do: rl, like: critic, advantage: {kind: shrinkage}, batch: {problems: 16, samples: 1}}
  gated:    {do: rl, like: critic, advantage: {kind: gated}, critic: {warmup: 0}, updates: 6}
  tree:     {do: rl, like: plain, batch: {samples: 2, tree: {width: 2, depth: 2}}, advantage: {kind: tree}}
  judged:   {do: rl, like: plain, reward: {rule: 0.5, command: {run: "COMMAND answer", weight: 0.25, workers: 3}}}
  stepwise: {do: rl, like: plain, reward: {rule: 0.5, command: {run: "COMMAND steps", of: steps, normalise: group}}}
  mixed:    {do: rl, like: tree, advantage: {value: td_n}}
  late:     {do: rl, like: plain, batch: {samples: 1, tree: {width: 2, depth: 2, first: 2}}, advantage: {kind: tree}}
  guarded:  {do: rl, like: plain, reward: {rule: 0, length: 1}, eval: {problems: value, every: 1, samples: 16}, guard: stop, updates: 60,
             optimizer: {lr: 0.004}}
  cut:      {do: rl, like: gae, sampler: {max_tokens: 18}}
  masked:   {do: rl, like: cut, mask_truncated: true}
"""


class RlOptions(stages.Stages):
    config = stages.PLAIN + POLICIES

    def policy_loss(self, batch, mean):
        """Of a batch's own policy: all ratios are 1. `mean`: over tokens or over sequences."""
        advantages = split(batch["token/advantage"].astype(np.float64), batch["trajectory/token_offset"])
        counted = batch["trajectory/trainable"] == 1
        if mean == "token":
            lengths = np.array([len(a) for a in advantages])
            return -sum(a.sum() for a, c in zip(advantages, counted) if c) / lengths[counted].sum()
        return -np.mean([a.mean() for a, c in zip(advantages, counted) if c])

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
                f"run: {{dir: {folder}/run, seed: 1}}\n{stages.TASK}stages:\n"
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
        self.assertEqual(line["completions/tokens"], own)
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


if __name__ == "__main__":
    unittest.main(verbosity=2)
