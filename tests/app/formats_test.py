"""What tdrm writes, read with h5py alone: docs/formats/ in executable form."""

import json
import pathlib
import unittest

import h5py
import numpy as np

import runs

SETTINGS = ["stages.rule.save_rollouts=4"]

# Dataset: type on disk, and what its length follows from: another dataset, + 1 for offsets, or the last entry of one.
TRAJECTORIES = {
    "problem/id": ("<i8", "problem/id"),
    "problem/index": ("<i8", "problem/id"),
    "problem/answer": ("text", "problem/id"),
    "problem/prompt_offset": ("<i8", "problem/id + 1"),
    "problem/prompt_token": ("<i4", "problem/prompt_offset[-1]"),
    "trajectory/problem": ("<i4", "trajectory/problem"),
    "trajectory/visit": ("<i4", "trajectory/problem"),
    "trajectory/sample": ("<i4", "trajectory/problem"),
    "trajectory/outcome": ("<f4", "trajectory/problem"),
    "trajectory/finish": ("|u1", "trajectory/problem"),
    "trajectory/verdict_reason": ("|u1", "trajectory/problem"),
    "trajectory/answer": ("text", "trajectory/problem"),
    "trajectory/token_offset": ("<i8", "trajectory/problem + 1"),
    "trajectory/step_offset": ("<i8", "trajectory/problem + 1"),
    "token/id": ("<i4", "trajectory/token_offset[-1]"),
    "token/logprob": ("<f4", "trajectory/token_offset[-1]"),
    "token/logprob_sampled": ("<f4", None),
    "step/end": ("<i4", "trajectory/step_offset[-1]"),
    "vocabulary/id": ("<i4", "vocabulary/id"),
    "vocabulary/text_offset": ("<i8", "vocabulary/id + 1"),
    "vocabulary/text": ("|u1", "vocabulary/text_offset[-1]"),
}
ATTRIBUTES = {"schema", "task", "tokenizer", "template", "split", "policy", "policy_hash", "temperature", "top_k", "top_p",
              "min_p", "seed", "verdict_reasons"}
COSTS = {"policy_read_flop", "policy_drawn_flop"}
NODES = {
    "node/tree_offset": ("<i8", "tree/generated + 1"),
    "node/parent": ("<i4", "node/tree_offset[-1]"),
    "node/value": ("<f4", "node/tree_offset[-1]"),
    "node/terminal": ("|u1", "node/tree_offset[-1]"),
    "node/on_path": ("|u1", "node/tree_offset[-1]"),
    "node/token_offset": ("<i8", "node/parent + 1"),
    "node/token": ("<i4", "node/token_offset[-1]"),
    "node/weight": ("<f4", "node/tree_offset[-1]"),
    "node/visits": ("<i4", "node/tree_offset[-1]"),
    "node/correct": ("|u1", "node/tree_offset[-1]"),
    "tree/generated": ("<i8", None),
    "tree/prompt": ("<i8", "tree/generated"),
    "tree/scored": ("<i8", "tree/generated"),
}
VALUES = {
    "state/offset": ("<i8", None),
    "state/value": ("<f4", "state/offset[-1]"),
    "problem/scored_tokens": ("<i8", "problem/shared_tokens"),
    "problem/shared_tokens": ("<i8", None),
}
ROLLOUTS = {
    "trajectory/reward": ("<f8", "trajectory/problem"),
    "trajectory/reward_rule": ("<f8", "trajectory/problem"),
    "trajectory/trainable": ("|u1", "trajectory/problem"),
    "token/advantage": ("<f4", "token/id"),
}
ROLLOUT_VALUES = {
    "trajectory/reward_value": ("<f8", "trajectory/problem"),
    "state/offset": ("<i8", "trajectory/problem + 1"),
    "state/value": ("<f4", "state/offset[-1]"),
}


def datasets(file):
    found = {}
    file.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    return found


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


class Formats(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.run_folder = runs.reference(settings=SETTINGS)

    def open(self, name):
        file = h5py.File(self.run_folder / name)
        self.addCleanup(file.close)
        return file

    def check_schema(self, file, schema):
        found = datasets(file)
        self.assertEqual(set(found), set(schema), file.filename)
        for name, (type_name, rule) in schema.items():
            text = h5py.check_string_dtype(found[name].dtype)
            self.assertEqual("text" if text else found[name].dtype.str, type_name, name)
            self.assertTrue(text is None or text.encoding == "utf-8", name)
            self.assertEqual(found[name].ndim, 1, name)
            self.assertIsNone(found[name].chunks, f"{name} is contiguous")
            if rule is None:
                continue
            if rule.endswith("[-1]"):
                length = found[rule[:-4]][-1]
            else:
                base, _, more = rule.partition(" + ")
                length = len(found[base]) + int(more or 0)
            self.assertEqual(len(found[name]), length, f"{name}: {rule}")
            if name.endswith("offset"):
                offsets = found[name][...]
                self.assertEqual(offsets[0], 0, name)
                self.assertTrue((np.diff(offsets) >= 0).all(), name)

    def check_trajectories(self, file, more=None):
        self.check_schema(file, TRAJECTORIES | (more or {}))
        self.assertLessEqual(ATTRIBUTES, set(file.attrs))
        problem, sample = file["trajectory/problem"][...], file["trajectory/sample"][...]
        order = list(zip(problem, file["trajectory/visit"][...], sample))
        self.assertEqual(order, sorted(set(order)), "canonical order, no row twice")
        self.assertTrue(np.isin(file["trajectory/outcome"][...], [0, 1]).all())
        self.assertTrue((file["token/logprob"][...] <= 0).all())
        lengths = np.diff(file["trajectory/token_offset"][...])
        for row, (begin, end) in enumerate(zip(file["trajectory/step_offset"][:-1], file["trajectory/step_offset"][1:])):
            ends = file["step/end"][begin:end]
            self.assertTrue((np.diff(ends) > 0).all() and (end == begin or 0 < ends[0] and ends[-1] <= lengths[row]), row)
        right = file["trajectory/verdict_reason"][...] <= 1
        np.testing.assert_array_equal(right, file["trajectory/outcome"][...] == 1)

    def states(self, file):
        """First state of each trajectory: a state for the prompt and one for each step."""
        return np.concatenate([[0], np.cumsum(np.diff(file["trajectory/step_offset"][...]) + 1)])

    def test_trajectories_of_rollouts_and_evaluations(self):
        for name, samples in (("rolls", 8), ("cands", 16), ("score/base", 4), ("score/rule@best", 4)):
            with self.subTest(name):
                file = self.open(f"{name}/trajectories.h5")
                self.check_trajectories(file)
                self.assertEqual(file.attrs["schema"], "tdrm-trajectories-1")
                self.assertLessEqual(COSTS, set(file.attrs))
                self.assertEqual(len(file["trajectory/problem"]), samples * len(file["problem/id"]))
                self.assertEqual(file.attrs["temperature"], 1.0)

    def test_labels_stand_beside_the_states_of_their_trajectories(self):
        for name in ("rolls", "cands", "score/sum"):
            file, data = self.open(f"{name}/labels.h5"), self.open(f"{name}/trajectories.h5")
            self.check_schema(file, {"state/offset": ("<i8", None), "state/truth": ("<f4", "state/offset[-1]"), "step/right": ("|u1", None)})
            self.assertEqual(file.attrs["schema"], "tdrm-labels-1")
            self.assertEqual(file.attrs["kind"], "no_error_so_far")
            np.testing.assert_array_equal(file["state/offset"][...], self.states(data))
            self.assertEqual(len(file["step/right"]), len(data["step/end"]))
            truth, first = file["state/truth"][...], file["state/offset"][:-1]
            self.assertTrue((truth[first] == 1).all(), "nothing is wrong before the first step")

    def test_values_stand_beside_the_states_of_what_they_describe(self):
        data = self.open("cands/trajectories.h5")
        labels = self.open("cands/labels.h5")
        for model in ("orm", "td[lambda=0]", "td[lambda=0.8]"):
            file = self.open(f"bon/{model}/values.h5")
            self.check_schema(file, VALUES)
            self.assertEqual({"schema", "describes", "model", "model_hash", "read_flop"}, set(file.attrs))
            self.assertEqual(file.attrs["schema"], "tdrm-values-1")
            self.assertEqual(file.attrs["model"], model)
            self.assertEqual(file.attrs["describes"], labels.attrs["describes"])
            np.testing.assert_array_equal(file["state/offset"][...], self.states(data))
            self.assertTrue(np.isfinite(file["state/value"][...]).all())
            self.assertEqual(list(file["problem/scored_tokens"]), self.read_once(data))
            np.testing.assert_array_equal(file["problem/shared_tokens"][...], np.diff(data["problem/prompt_offset"][...]) + 1)

    def read_once(self, data):
        """Tokens of the prompt, of the answers up to their last states, and of a probe behind each state, by problem."""
        ends, offset = data["step/end"][...], data["trajectory/step_offset"][...]
        read = np.diff(data["problem/prompt_offset"][...]) + 1
        for row, problem in enumerate(data["trajectory/problem"][...]):
            steps = ends[offset[row] : offset[row + 1]]
            read[problem] += (steps[-1] if len(steps) else 0) + len(steps)
        return list(read)

    def test_a_selection_says_what_it_costs_as_a_search_does(self):
        with h5py.File(self.run_folder / "cands/trajectories.h5") as data, h5py.File(self.run_folder / "bon/orm/values.h5") as values:
            drawn, prompt, scored = len(data["token/id"]), len(data["problem/prompt_token"]), int(sum(values["problem/scored_tokens"]))
            policy, model = dict(data.attrs), values.attrs["read_flop"]
        curves = {curve["method"]: curve["points"] for curve in json.loads((self.run_folder / "bon/results.json").read_text())["curves"]}
        point = curves["orm last"][-1]
        self.assertEqual([point[f"{kind}_tokens"] for kind in ("generated", "prompt", "scored")], [drawn, prompt, scored])
        self.assertEqual(point["flops"]["policy"], policy["policy_read_flop"] * prompt + policy["policy_drawn_flop"] * drawn)
        self.assertEqual(point["flops"]["value"], model * scored)
        self.assertEqual(curves["majority"][-1]["flops"], {"policy": point["flops"]["policy"], "value": 0, "total": point["flops"]["policy"]})
        search = json.loads((self.run_folder / "greedy/results.json").read_text())
        self.assertLessEqual({"generated_tokens", "prompt_tokens", "scored_tokens", "flops"}, set(search) & set(point))
        self.assertEqual(search["flops"]["value"], model * search["scored_tokens"])

    def test_search_keeps_its_trees(self):
        answers, file = self.open("greedy/trajectories.h5"), self.open("greedy/search.h5")
        self.check_trajectories(answers)
        self.assertLessEqual({"value", "value_hash"}, set(answers.attrs))
        self.assertEqual(file.attrs["schema"], "tdrm-search-1")
        self.check_schema(file, NODES | {name: rule for name, rule in TRAJECTORIES.items() if name.startswith("vocabulary/")})
        trees, parent = file["node/tree_offset"][...], file["node/parent"][...]
        ids, token = answers["token/id"][...], file["node/token"][...]
        for tree, (begin, end) in enumerate(zip(trees[:-1], trees[1:])):
            self.assertTrue((parent[begin:end] < np.arange(end - begin)).all(), "parents come first")
            path = np.flatnonzero(file["node/on_path"][begin:end])
            spans = [token[slice(*file["node/token_offset"][begin + n : begin + n + 2])] for n in path]
            answer = ids[slice(*answers["trajectory/token_offset"][tree : tree + 2])]
            np.testing.assert_array_equal(np.concatenate(spans), answer)

    def test_checkpoints_hold_tensors_by_their_hugging_face_names(self):
        for stage, head in (("base", "lm_head.weight"), ("td[lambda=0.8]", "score.weight"), ("rule", "lm_head.weight")):
            record = json.loads((self.run_folder / stage / "stage.json").read_text())
            file = self.open(f"{stage}/update-{record['updates']:06}/checkpoint.h5")
            self.assertEqual(set(file), {"model", "optimizer", "layout", "progress"})
            tensors = {group: datasets(file[group]) for group in ("model", "optimizer/exp_avg", "optimizer/exp_avg_sq")}
            model = tensors["model"]
            self.assertIn(head, model)
            self.assertEqual(model["model.layers.1.self_attn.q_proj.weight"].shape, (64, 64))
            self.assertEqual(model["model.norm.weight"].shape, (64,))
            for group in tensors.values():
                self.assertEqual({n: (d.shape, d.dtype.str) for n, d in group.items()},
                                 {n: (d.shape, "<f4") for n, d in model.items()})
                self.assertTrue(all(np.isfinite(d[...]).all() for d in group.values()))
            self.assertTrue(all((d[...] >= 0).all() for d in tensors["optimizer/exp_avg_sq"].values()))
            progress = json.loads(file["progress"].asstr()[0])
            self.assertEqual(progress["update"], record["updates"])
            self.assertEqual(progress["metrics_bytes"], (self.run_folder / stage / "metrics.jsonl").stat().st_size)

    def test_every_update_has_a_line_of_metrics(self):
        for stage in ("base", "td[lambda=0]", "orm", "rule", "sum", "step"):
            updates = json.loads((self.run_folder / stage / "stage.json").read_text())["updates"]
            for name in ("metrics.jsonl", "timing.jsonl"):
                self.assertEqual([line["update"] for line in runs.lines(self.run_folder / stage / name)], list(range(1, updates + 1)))

    def test_rl_keeps_every_fourth_batch_with_rewards_values_and_advantages(self):
        for stage in ("rule", "sum", "step"):
            found = sorted(path.name for path in (self.run_folder / stage / "rollouts").iterdir())
            self.assertEqual(found, ["update-000000.h5", "update-000004.h5", "update-000008.h5"])
            for update in (0, 4, 8):
                file = self.open(f"{stage}/rollouts/update-{update:06}.h5")
                has_values = stage != "rule"
                self.check_trajectories(file, ROLLOUTS | (ROLLOUT_VALUES if has_values else {}))
                self.assertEqual(file.attrs["schema"], "tdrm-rollouts-1")
                self.assertEqual(file.attrs["update"], update)
                self.assertEqual(len(file["trajectory/problem"]), 8 * 4)
                getattr(self, f"check_{stage}")(file, runs.lines(self.run_folder / stage / "metrics.jsonl")[update])

    def check_rule(self, file, metrics):
        reward = file["trajectory/reward"][...]
        np.testing.assert_array_equal(reward, file["trajectory/outcome"][...])
        self.assertAlmostEqual(reward.mean(), metrics["reward"], 7)
        groups = reward.reshape(8, 4)
        centred = groups - groups.mean(1, keepdims=True)
        expected = (centred / (groups.std(1, ddof=1, keepdims=True) + 1e-4)).ravel()
        first = file["trajectory/token_offset"][:-1]
        np.testing.assert_allclose(file["token/advantage"][...][first], expected, rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(file["trajectory/trainable"][...] == 1, expected != 0)

    def check_sum(self, file, metrics):
        parts = file["trajectory/reward_rule"][...] + file["trajectory/reward_value"][...]
        np.testing.assert_array_equal(file["trajectory/reward_rule"][...], 0.8 * file["trajectory/outcome"][...].astype(np.float64))
        np.testing.assert_allclose(file["trajectory/reward"][...], parts, rtol=1e-12)
        self.assertEqual((file.attrs["reward_weight_rule"], file.attrs["reward_weight_value"]), (0.8, 0.2))
        for name, weight in (("rule", 0.8), ("value", 0.2)):
            self.assertAlmostEqual(metrics[f"rewards/{name}/mean"], file[f"trajectory/reward_{name}"][...].mean() / weight, 6)
        # The value's part is 0.2 times the logit of one of the answer's states.
        offsets, values = file["state/offset"][...], file["state/value"][...].astype(np.float64)
        for row, part in enumerate(file["trajectory/reward_value"][...]):
            self.assertTrue(np.isclose(0.2 * values[offsets[row] : offsets[row + 1]], part, rtol=1e-12).any(), row)

    def check_step(self, file, metrics):
        # gamma = lambda = 1: the reward minus the value of the state before the step.
        offsets, values = file["state/offset"][...], sigmoid(file["state/value"][...])
        self.assertEqual(file.attrs["reward_weight_value"], 0)  # only looked at
        self.assertFalse(file["trajectory/reward_value"][...].any())
        self.assertAlmostEqual(metrics["value/mean"], values.mean(), 6)
        first = file["trajectory/token_offset"][:-1]
        expected = file["trajectory/reward"][...] - values[offsets[:-1]]
        np.testing.assert_allclose(file["token/advantage"][...][first], expected, rtol=1e-5, atol=1e-6)


if __name__ == "__main__":
    unittest.main(verbosity=2)
