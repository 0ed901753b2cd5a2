"""Every kind of stage on the emulated device, and the promises of devices: any number of ranks, any kill, another identity than processors."""

import json
import pathlib
import re
import shutil
import sys
import tempfile
import unittest

import runs
from process_test import chain_rows, write_lines

# Tiny, since kernels are emulated: what counts is that every stage goes through every part of the engine.
CONFIG = """
run: {dir: DIR, device: emulated}
task: {kind: chain, min_steps: 2, max_steps: 2, splits: {sft: 64, value: 8, rl: 8, dev: 4, test: 4}}
stages:
  base:   {do: sft, model: {layers: 1, width: 32, heads: 2}, problems: sft, epochs: 1, batch: 16, unit_tokens: 128, optimizer: {lr: 0.01},
           commit: {at: 2}}
  rolls:  {do: rollout, policy: base, problems: value, samples: 2, sampler: {max_tokens: 12}}
  cands:  {do: rollout, policy: base, problems: test, samples: 4, sampler: {max_tokens: 12, top_p: 0.95}}
  td:     {do: value, init: base, data: rolls, target: {kind: td_lambda, lambda: 0.8}, epochs: 1, batch: 8}
  bon:    {do: best_of_n, data: cands, values: [td], at: [last]}
  greedy: {do: search, policy: base, value: td, problems: test, kind: greedy, branch: 2}
  step:   {do: rl, policy: base, problems: rl, batch: {problems: 2, samples: 2}, updates: 2, sampler: {max_tokens: 12},
           advantage: {kind: gae, value: td}}
  heads:  {do: value, like: td, train: head}
  tuned:  {do: sft, init: base, problems: sft, epochs: 1, batch: 32, unit_tokens: 128, lora: {rank: 2}}
  score:  {do: evaluate, policies: [base, step, tuned], problems: test, samples: 2, sampler: {max_tokens: 12}}
  picks:  {do: best_of_n, data: cands, values: [heads], at: [last]}
  bench:  {do: processbench, value: td, processbench: DIR/processbench, separator: ""}
"""


class Devices(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tdrm-device-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.config = runs.write_config(self.folder, CONFIG.replace("DIR/processbench", str(self.folder / "processbench")))
        write_lines(self.folder / "processbench/gsm8k.jsonl", [{"id": f"gsm8k-{i}", "problem": q, "steps": s, "label": w}
                                                               for i, (q, s, w) in enumerate(chain_rows(8, 2))])

    def test_every_stage_runs_and_two_ranks_make_the_same_files(self):
        one, two = self.folder / "one", self.folder / "two"
        runs.finish(one, config=self.config)
        runs.finish(two, config=self.config, ranks=2)
        self.assertEqual(runs.differences(one, two), [])
        record = json.loads((one / "base/stage.json").read_text())
        self.assertIn("device: emulated", record["identity_text"])

    def test_a_stopped_stage_goes_on_with_another_number_of_ranks(self):
        whole, stopped, only = self.folder / "whole", self.folder / "stopped", ["--only", "base"]
        settings = ["stages.base.epochs=2"]
        runs.finish(whole, config=self.config, settings=settings, more=only)
        begun = runs.tdrm(*runs.run_arguments(stopped, self.config, settings, [*only, "--max-time", "0.01s"]))
        self.assertEqual(begun.returncode, 75, begun.stdout)
        runs.finish(stopped, config=self.config, settings=settings, more=only, ranks=2)
        self.assertEqual(runs.differences(whole, stopped), [])

    def test_killed_ranks_leave_a_run_that_goes_on_to_the_same_end(self):
        whole, killed, only = self.folder / "whole", self.folder / "killed", ["--until", "td"]
        often = ["stages.td.epochs=4", *(f"stages.{stage}.commit.every=0.001s" for stage in ("base", "td"))]
        runs.finish(whole, config=self.config, settings=often, more=only)
        hit, _ = runs.run_with_kills(killed, 3, 5, ("base", "rolls", "td"), rank_counts=(1, 2), events=4, config=self.config,
                                     settings=often, more=only)
        self.assertEqual(len(hit), 3)
        self.assertEqual(runs.differences(whole, killed), [])

    def test_less_memory_gives_the_same_weights(self):
        whole, less, only = self.folder / "whole", self.folder / "less", ["--only", "base"]
        settings = ["stages.base.precision={moments: bf16}"]
        runs.finish(whole, config=self.config, settings=settings, more=only)
        settings = ["stages.base.precision={moments: bf16, recompute: block}", "run.sum=dealt"]
        begun = runs.tdrm(*runs.run_arguments(less, self.config, settings, [*only, "--max-time", "0.01s"]), ranks=2)
        self.assertEqual(begun.returncode, 75, begun.stdout)
        runs.finish(less, config=self.config, settings=settings, more=only)
        self.assertEqual([d for d in runs.differences(whole, less) if "config.yaml" not in d], [])

    def test_paged_models_give_the_weights_of_resident_ones(self):
        resident, paged, only = self.folder / "resident", self.folder / "paged", ["--until", "step"]
        # A baseline, a judge and a reference, each another model than the policy; two epochs, so that the second asks nobody.
        settings = ["stages.step.updates=4", "stages.step.inner_epochs=2", "stages.step.kl={beta: 0.1, reference: other}",
                    "stages.step.reward={value: {model: judge, weight: 0.3}}", "stages.step.save_rollouts=1", "stages.step.commit={at: 2}",
                    "stages.other={do: sft, like: base, optimizer: {lr: 0.02}}", "stages.judge={do: value, like: td, optimizer: {lr: 0.02}}"]
        runs.finish(resident, config=self.config, settings=settings, more=only)
        settings.append("stages.step.frozen=paged")
        runs.finish(paged, config=self.config, settings=settings, more=["--until", "td"])
        begun = runs.tdrm(*runs.run_arguments(paged, self.config, settings, [*only, "--max-time", "0.01s"]), ranks=2)
        self.assertEqual(begun.returncode, 75, begun.stdout)
        runs.finish(paged, config=self.config, settings=settings, more=only)
        self.assertEqual([d for d in runs.differences(resident, paged) if "config.yaml" not in d], [])

    def test_paged_models_need_no_room_beside_the_policys_units(self):
        model = "stages.base.model={layers: 24, width: 1024, heads: 16}"
        settings = [model, "stages.step.kl={beta: 0.1}", "stages.step.unit_tokens=4096"]
        def need(*more):
            plan = runs.tdrm(*runs.run_arguments(self.folder / "run", self.config, [*settings, *more], ["--dry-run"])).stdout
            return float(re.search(r"^step +rl .*\n +([\d.]+) GB a rank", plan, re.MULTILINE)[1])
        paged, small = "stages.step.frozen=paged", "stages.step.unit_tokens=64"
        weights = 2 * 24 * (4 * 1024**2 + 3 * 1024 * 2816) / 1e9  # of each of the two
        self.assertGreater(need() - need(paged), 1.9 * weights)
        # Units that are smaller than a model have room for neither: one of the two counts.
        saved = need(small) - need(small, paged)
        self.assertGreater(saved, 0.9 * weights)
        self.assertLess(saved, 1.5 * weights)

    def test_processors_refuse_to_page(self):
        for more in (["--dry-run"], []):
            settings = ["run.device=cpu", "stages.step.frozen=paged"]
            done = runs.tdrm(*runs.run_arguments(self.folder / "run", self.config, settings, more))
            self.assertEqual(done.returncode, 64, done.stdout)
            self.assertIn("frozen: paged is for devices (on processors models lie in the host's memory anyway). Leave it out.", done.stdout)

    def test_processors_refuse_what_only_devices_compute_again(self):
        settings = ["run.device=cpu", "stages.base.precision={recompute: ffn}"]
        done = runs.tdrm(*runs.run_arguments(self.folder / "run", self.config, settings, ["--only", "base"]))
        self.assertEqual(done.returncode, 64, done.stdout)
        self.assertIn("precision.recompute is for devices", done.stdout)

    def test_another_device_makes_another_stage(self):
        folder, only = self.folder / "run", ["--only", "base"]
        runs.finish(folder, config=self.config, more=only)
        done = runs.tdrm(*runs.run_arguments(folder, self.config, ["run.device=cpu"], only))
        self.assertEqual(done.returncode, 64, done.stdout)
        self.assertIn("inputs.device", done.stdout)

    def test_products_in_bf16_are_another_stage_with_the_same_promises_or_are_refused(self):
        one, two = self.folder / "one", self.folder / "two"
        settings = ["run.device=cpu", "run.products=bf16"]
        flags = pathlib.Path("/proc/cpuinfo").read_text()
        done = runs.tdrm(*runs.run_arguments(one, self.config, settings))
        if "avx512_bf16" not in flags:
            self.assertEqual(done.returncode, 64, done.stdout)
            self.assertIn("neither AMX nor AVX512-BF16", done.stdout)
            return
        self.assertEqual(done.returncode, 0, done.stdout)
        runs.finish(two, config=self.config, settings=settings, ranks=2)
        self.assertEqual(runs.differences(one, two), [])
        self.assertIn("bf16 products by", json.loads((one / "base/stage.json").read_text())["identity_text"])
        again = runs.tdrm(*runs.run_arguments(one, self.config, ["run.device=cpu"]))
        self.assertEqual(again.returncode, 64, again.stdout)
        self.assertIn("inputs.device", again.stdout)
        mixed = runs.tdrm(*runs.run_arguments(self.folder / "mixed", self.config, ["run.products=bf16"]))
        self.assertIn("run.products says how processors multiply", mixed.stdout)

    @unittest.skipIf(pathlib.Path("/dev/nvidia0").exists(), "there is a GPU")
    def test_doctor_tries_a_device(self):
        done = runs.tdrm("doctor", "--gpu=emulated")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("rows of products", done.stdout)
        self.assertIn("\naccepted", done.stdout)
        self.assertIn("no device", runs.tdrm("doctor", "--gpu=tpu").stdout)
        if not pathlib.Path("/dev/nvidia0").exists():
            done = runs.tdrm("doctor", "--gpu")
            self.assertEqual(done.returncode, 64, done.stdout)
            self.assertIn("there is no GPU to try", done.stdout)

    @unittest.skipIf(pathlib.Path("/dev/nvidia0").exists(), "there is a GPU")
    def test_a_device_that_isnt_there_is_refused(self):
        done = runs.tdrm(*runs.run_arguments(self.folder / "run", self.config, ["run.device=cuda"]))
        self.assertEqual(done.returncode, 64, done.stdout)
        self.assertIn("run.device: cuda isn't possible here", done.stdout)


if __name__ == "__main__":
    unittest.main(argv=sys.argv)
