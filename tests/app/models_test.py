"""Models of others and for others: `tdrm check-model`, `tdrm export`, and training with bf16 weights."""

import json
import pathlib
import re
import shutil
import tempfile
import unittest

import h5py
import numpy as np

import runs

DATA = runs.SOURCE / "tests/model/data"
LANGUAGE_MODELS = ("gemma3", "gemma3_linear", "glm4", "glm4_v4", "granite", "llama", "llama3", "llama3_v4", "llama_dynamic",
                   "llama_linear", "ministral", "ministral3", "mistral", "mistral_window", "olmo2", "olmo3", "phi3", "phi4_mini",
                   "qwen2", "qwen2_tied_v4", "qwen3", "qwen3_window", "smollm3")

TINY = """
run: {dir: DIR}
task: {kind: chain, min_steps: 2, max_steps: 3, splits: {sft: 320, value: 10, rl: 20}}
stages:
  base:  {do: sft, model: {layers: 1, width: 64, heads: 2}, problems: sft, batch: 32, commit: {at: 5}}
  rolls: {do: rollout, policy: base, problems: value, samples: 4}
  td:    {do: value, init: base, data: rolls, epochs: 1, batch: 8}
  grpo:  {do: rl, policy: base, problems: rl, batch: {problems: 4, samples: 4}, updates: 3}
"""
TRAINED = ("base", "td", "grpo")
BF16 = [f"stages.{stage}.precision.weights=bf16" for stage in TRAINED]


def tensors(folder):
    """Format, shape and bytes of every tensor of a Hugging Face folder."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        content = path.read_bytes()
        begin = 8 + int.from_bytes(content[:8], "little")
        for name, entry in json.loads(content[8:begin]).items():
            if name != "__metadata__":
                first, last = entry["data_offsets"]
                found[name] = (entry["dtype"], entry["shape"], content[begin + first : begin + last])
    return found


def rounded(values):
    """To bf16, ties to even."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)


class Models(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tdrm-models-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def expect(self, code, *arguments, says=()):
        done = runs.tdrm(*arguments)
        self.assertEqual(done.returncode, code, done.stdout)
        for part in says:
            self.assertIn(part, done.stdout)
        return done.stdout

    def copy(self, name, **changes):
        """A model's folder with another config.json."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder)) / name
        shutil.copytree(DATA / name, folder)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **changes}))
        return folder


class CheckModel(Models):
    def check(self, code, folder, *more, reference=DATA / "llama/reference.json", says=()):
        return self.expect(code, "check-model", folder, "--reference", reference, *more, says=says)

    def test_models_of_every_family_agree_with_transformers(self):
        for name in LANGUAGE_MODELS:
            with self.subTest(name):
                self.check(0, DATA / name, reference=DATA / name / "reference.json", says=["agrees with its reference"])

    def test_devices_come_near_transformers_in_bf16(self):
        for name in ("glm4", "glm4_v4", "llama", "llama3", "llama3_v4", "mistral", "qwen2", "qwen2_tied_v4"):
            with self.subTest(name):
                text = self.check(0, DATA / name, "--device", "emulated", "--tolerance", "0.5", reference=DATA / name / "reference.json",
                                  says=["24 of 24 greedy tokens equal"])
                self.assertLess(float(re.search(r"RMS ([\d.e-]+)", text)[1]), 0.07)
        self.check(65, DATA / "llama", "--device", "emulated", says=["DIFFERS"])
        self.check(64, DATA / "granite", "--device", "emulated", reference=DATA / "granite/reference.json", says=["ffn 20 is no multiple of 8"])
        self.check(64, DATA / "llama", "--device", "tpu", says=["--device", "emulated"])

    def test_adapters_are_merged_into_their_base(self):
        for name, base in (("adapter_list", "qwen3"), ("adapter_all_linear", "phi3"), ("adapter_tied_head", "granite")):
            with self.subTest(name):
                reference = DATA / name / "reference.json"
                self.check(0, DATA / name, reference=reference, says=["agrees with its reference"])
                self.check(0, f"{DATA / base}+{DATA / name}", reference=reference, says=["agrees with its reference"])
                self.check(65, DATA / base, reference=reference, says=["DIFFERS"])

    def test_a_difference_above_the_tolerance_ends_with_65(self):
        self.check(65, DATA / "llama", "--tolerance", "1e-12", says=["DIFFERS from its reference", "(tolerance 1e-12)"])

    def test_another_greedy_token_ends_with_65_and_is_told(self):
        cases = json.loads((DATA / "llama/reference.json").read_text())
        which = next(i for i, case in enumerate(cases) if case.get("greedy"))
        cases[which]["greedy"][0] ^= 1
        changed = self.folder / "reference.json"
        changed.write_text(json.dumps(cases))
        self.check(65, DATA / "llama", reference=changed, says=[f"case {which}: token 0 of the continuation is", "DIFFERS"])

    def test_a_folder_or_reference_that_isnt_there_ends_with_74(self):
        self.check(74, self.folder / "nowhere", says=["nowhere/config.json", "Check the path."])
        self.check(74, DATA / "llama", reference=self.folder / "nowhere.json", says=["nowhere.json", "Check the path."])

    def test_a_reference_that_doesnt_fit_ends_with_65(self):
        broken = self.folder / "reference.json"
        for text, says in [("{}", "is no JSON list of cases"), ('[{"ids": [1]}]', "case 0 has no input_ids"),
                           ('[{"input_ids": [1, 64]}]', "case 0 has token 64, the model's vocabulary has 64"),
                           ('[{"input_ids": [1, 2], "logprobs_of_next": [-1, -2]}]', "has 2 logprobs_of_next for 2 tokens")]:
            broken.write_text(text)
            self.check(65, DATA / "llama", reference=broken, says=[says])

    def test_missing_tensors_and_wrong_shapes_are_all_listed(self):
        text = self.check(65, self.copy("llama", num_hidden_layers=3, intermediate_size=41))
        for tensor in ("input_layernorm", "self_attn.q_proj", "self_attn.o_proj", "mlp.down_proj"):
            self.assertIn(f"model.layers.2.{tensor}.weight is missing", text)
        for layer in (0, 1):
            self.assertIn(f"model.layers.{layer}.mlp.gate_proj.weight has shape [40,32], config.json asks for [41,32]", text)

    def test_values_of_a_reward_model_are_compared_where_the_reference_says_them(self):
        folder, reference = DATA / "token_classifier", self.folder / "reference.json"
        cases = json.loads((folder / "values.json").read_text())
        for case in cases:
            case["positions"] = [i for i, token in enumerate(case["input_ids"]) if token == 7]
            case["values"] = [1 / (1 + np.exp(-z)) for z in case["logits"]]
        count = sum(2 * len(case["positions"]) for case in cases)
        reference.write_text(json.dumps(cases))
        self.check(0, folder, reference=reference, says=[f"largest difference of {count} values", "agrees with its reference"])
        cases[1]["values"][0] += 0.01
        reference.write_text(json.dumps(cases))
        self.check(65, folder, reference=reference, says=["(case 1)", "DIFFERS from its reference"])
        reference.write_text('[{"input_ids": [1, 2]}]')
        self.check(64, folder, reference=reference, says=["no language head"])

    def test_a_value_model_has_no_log_probs_to_compare(self):
        self.check(64, DATA / "sequence_classifier", says=["no language head", "Name a language model."])


class Export(Models):
    def export(self, code, source, *more, says=()):
        target = pathlib.Path(tempfile.mkdtemp(dir=self.folder)) / "export"
        self.expect(code, "export", source, target, *more, says=says)
        if code != 0:
            self.assertEqual(list(target.parent.iterdir()), [], "nothing is left")
        return target

    def test_a_folder_comes_out_with_the_bits_and_the_format_that_it_has(self):
        for name in (*LANGUAGE_MODELS, "sequence_classifier"):
            with self.subTest(name):
                before = tensors(DATA / name)
                formats = {dtype for dtype, _, _ in before.values()}
                after = tensors(self.export(0, f"hf:{DATA / name}"))
                self.assertEqual({key: after[key] for key in after}, {key: before[key] for key in after})
                self.assertEqual(before.keys() - after.keys(), set())
                self.assertEqual(len(formats), 1)
        self.assertIn("BF16", {dtype for name in LANGUAGE_MODELS for dtype, _, _ in tensors(DATA / name).values()})

    def test_another_format_is_made_on_request(self):
        for word, format_, named in (("bf16", "BF16", "bfloat16"), ("fp16", "F16", "float16"), ("fp32", "F32", "float32")):
            target = self.export(0, f"hf:{DATA / 'llama'}", "--dtype", word, says=[word])
            self.assertEqual({dtype for dtype, _, _ in tensors(target).values()}, {format_})
            self.assertEqual(json.loads((target / "config.json").read_text())["dtype"], named)

    def test_a_merged_adapter_is_exported_as_a_model_of_its_own(self):
        target = self.export(0, f"hf:{DATA / 'qwen3'}+{DATA / 'adapter_list'}")
        self.assertEqual(tensors(target).keys(), tensors(DATA / "qwen3").keys())
        self.expect(0, "check-model", target, "--reference", DATA / "adapter_list/reference.json", says=["agrees"])

    def test_an_exported_language_model_agrees_with_the_reference_of_the_original(self):
        target = self.export(0, f"hf:{DATA / 'qwen2'}")
        self.expect(0, "check-model", target, "--reference", DATA / "qwen2/reference.json", says=["agrees"])

    def test_a_value_model_becomes_a_sequence_classifier_of_one_label_and_reads_back_to_the_same_bits(self):
        runs.finish(self.folder / "run", config=runs.write_config(self.folder, TINY), more=["--until", "td"])
        target = self.export(0, self.folder / "run/td", says=["sequence classification, one label, fp32"])
        config = json.loads((target / "config.json").read_text())
        self.assertEqual(config["architectures"], ["LlamaForSequenceClassification"])
        self.assertEqual(config["num_labels"], 1)
        made = tensors(target)
        self.assertEqual(made["score.weight"][1], [1, 64])
        with h5py.File(next((self.folder / "run/td").glob("update-*")) / "checkpoint.h5") as file:
            self.assertEqual(set(file["model"]), set(made))
            for name, (_, shape, content) in made.items():
                self.assertEqual(content, file["model"][name][()].tobytes(), name)
                self.assertEqual(tuple(shape), file["model"][name].shape)
        self.assertEqual(tensors(self.export(0, f"hf:{target}")), made)

    def test_what_cant_be_exported_is_refused_and_leaves_nothing(self):
        runs.finish(self.folder / "run", config=runs.write_config(self.folder, TINY), more=["--until", "rolls"])
        run = self.folder / "run"
        for code, source, says, more in [
            (74, f"hf:{self.folder}/nowhere", "nowhere/config.json", ()),
            (65, f"hf:{self.copy('llama', num_hidden_layers=3)}", "model.layers.2.input_layernorm.weight is missing", ()),
            (65, f"hf:{self.copy('llama', intermediate_size=41)}", "has shape [40,32], config.json asks for [41,32]", ()),
            (64, f"hf:{DATA / 'token_classifier'}", "a value head of another form", ()),
            (64, f"hf:{DATA / 'llama'}", '--dtype "int8" isn\'t known', ("--dtype", "int8")),
            (64, run / "rolls", "is a stage of kind rollout", ()),
            (64, f"{run}/base@newest", '"newest" is no version of a stage', ()),
            (64, run / "bsae", "bsae", ()),
        ]:
            with self.subTest(str(source)):
                self.export(code, source, *more, says=[says])
        target = self.folder / "there"
        target.mkdir()
        self.expect(64, "export", f"hf:{DATA / 'llama'}", target, says=["exists already"])
        self.assertEqual(list(target.iterdir()), [])


class Bf16Weights(Models):
    def setUp(self):
        super().setUp()
        self.config = runs.write_config(self.folder, TINY)
        runs.finish(self.folder / "run", config=self.config, settings=BF16)

    def test_are_stored_in_half_the_size_and_are_the_rounded_master_weights(self):
        for stage in TRAINED:
            for commit in (self.folder / "run" / stage).glob("update-*"):
                with h5py.File(commit / "checkpoint.h5") as file:
                    masters = file["optimizer/master"]
                    more_exact = 0
                    for name, weights in file["model"].items():
                        self.assertEqual(weights.id.get_type().get_size(), 2)
                        np.testing.assert_array_equal(weights[()], rounded(masters[name][()]), err_msg=f"{commit} {name}")
                        more_exact += int((weights[()] != masters[name][()]).sum())
                    if stage != "grpo":  # whose few answers may all be worth the same, so that nothing is learnt
                        self.assertGreater(more_exact, 10_000)

    def test_give_the_same_run_on_two_ranks_and_after_kills(self):
        runs.finish(self.folder / "two", config=self.config, settings=BF16, ranks=2)
        self.assertEqual(runs.differences(self.folder / "run", self.folder / "two"), [])
        often = BF16 + [f"stages.{stage}.commit.every=0.001s" for stage in TRAINED]
        hit, _ = runs.run_with_kills(self.folder / "killed", 3, 5, TRAINED, rank_counts=(1, 2), config=self.config, settings=often)
        self.assertEqual(len(hit), 3)
        runs.finish(self.folder / "often", config=self.config, settings=often)
        self.assertEqual(runs.differences(self.folder / "often", self.folder / "killed"), [])

    def test_are_another_training_than_fp32(self):
        runs.finish(self.folder / "fp32", config=self.config, more=["--until", "base"])
        loss = {name: [line["loss"] for line in runs.lines(self.folder / name / "base/metrics.jsonl")] for name in ("run", "fp32")}
        self.assertNotEqual(loss["run"], loss["fp32"])
        np.testing.assert_allclose(loss["run"], loss["fp32"], rtol=0.02)

    def test_are_exported_as_bf16_with_the_same_bits(self):
        self.expect(0, "export", self.folder / "run/grpo", self.folder / "export", says=["bf16"])
        made = tensors(self.folder / "export")
        self.assertEqual({dtype for dtype, _, _ in made.values()}, {"BF16"})
        with h5py.File(next((self.folder / "run/grpo").glob("update-*")) / "checkpoint.h5") as file:
            for name, (_, _, content) in made.items():
                bits = np.frombuffer(content, np.uint16).astype(np.uint32) << 16
                np.testing.assert_array_equal(bits.view(np.float32), file["model"][name][()].ravel())

    def test_fp16_is_refused_with_what_there_is(self):
        done = runs.tdrm(*runs.run_arguments(self.folder / "other", config=self.config, settings=["stages.td.precision.weights=fp16"]))
        self.assertEqual(done.returncode, 64, done.stdout)
        for part in ("stages.td.precision.weights", "fp16", "fp32", "bf16"):
            self.assertIn(part, done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
