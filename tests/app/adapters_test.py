"""Adapters (`lora`) in each kind of training: what they leave alone, and what becomes of their commits."""

import json
import pathlib
import tempfile
import unittest

import h5py
import numpy as np

import runs
import stages

ADAPTERS = """
  adapters: {do: rl, like: plain, lora: {rank: 4, keep_body: true}, optimizer: {lr: 0.01}}
  alone:    {do: rl, like: adapters, lora: {keep_body: false}}
  tuned:    {do: sft, init: base, problems: rl, lora: {rank: 2, targets: [q_proj, v_proj], keep_body: true}, updates: 8, batch: 32}
  headed:   {do: sft, like: tuned, lora: {rank: 2, targets: [q_proj], head: true, keep_body: true}, updates: 4}
  head:     {do: rl, like: plain, lora: {head: true}, optimizer: {lr: 0.01}}
  by_head:  {do: rollout, policy: head, problems: value, samples: 1}
  td_lora:  {do: value, init: base, data: rolls, updates: 3, lora: {rank: 4, keep_body: true}}
  td_alone: {do: value, like: td_lora, lora: {keep_body: false}}
  by_whole: {do: rollout, policy: adapters, problems: value, samples: 1}
  by_alone: {do: rollout, like: by_whole, policy: alone}
  of_whole: {do: score, data: rolls, value: td_lora}
  of_alone: {do: score, data: rolls, value: td_alone}
"""


class Adapters(stages.Stages):
    config = stages.PLAIN + ADAPTERS

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
            self.assertEqual(done.returncode, 64, done.stdout)
            self.assertIn("it holds adapters alone; the model under them is base", done.stdout)
            done = runs.tdrm("export", f"{self.run_folder}/alone", str(pathlib.Path(folder) / "adapter"), "--adapter")
            self.assertEqual(done.returncode, 0, done.stdout)

    def test_a_head_learns_alone_and_commits_hold_it_alone(self):
        lines = self.lines("head")
        self.assertEqual(len({line["sampling/weights_hash"] for line in lines}), len(lines), "each batch is drawn from other weights")
        with h5py.File(self.run_folder / "head/update-000004/checkpoint.h5") as file, \
             h5py.File(self.run_folder / "base/update-000125/checkpoint.h5") as base:
            self.assertNotIn("model", file)
            for group in ("lora/model", "lora/optimizer/exp_avg"):
                self.assertEqual(list(file[group]), ["lm_head.weight"])
            self.assertFalse(np.array_equal(file["lora/model/lm_head.weight"][...], base["model/lm_head.weight"][...]))
        done = runs.tdrm("export", f"{self.run_folder}/head", str(self.run_folder / "none"), "--adapter")
        self.assertEqual(done.returncode, 64)
        self.assertIn("its head alone learnt", done.stdout)

    def test_exported_adapters_merge_into_their_base_as_the_stage_did(self):
        for stage in ("adapters", "headed"):
            with self.subTest(stage):
                self.merge_exported(stage)

    def merge_exported(self, stage):
        with tempfile.TemporaryDirectory() as folder:
            paths = {name: pathlib.Path(folder) / name for name in ("base", "adapter", "whole", "merged")}
            for source, name, more in (("base", "base", []), (stage, "adapter", ["--adapter"]), (stage, "whole", [])):
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


if __name__ == "__main__":
    unittest.main(verbosity=2)
