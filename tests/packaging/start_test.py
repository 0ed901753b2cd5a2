"""Verbs that compute nothing don't load libtorch: they start at once, in little memory, and work where it is missing."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "app"))
import runs  # noqa: E402

TRAINING = """
run: {dir: DIR}
task: {kind: chain, min_steps: 2, max_steps: 3, splits: {sft: 64}}
stages:
  base: {do: sft, model: {layers: 1, width: 64, heads: 2}, problems: sft, batch: 32}
"""


def say(*words, **options):
    return subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300,
                          check=False, **options)


class Start(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="tdrm-start-"))
        # A module that is none comes before the right one.
        (cls.folder / "broken").mkdir()
        (cls.folder / "broken/libtdrm_gemm.so").write_text("nothing")
        cls.without = {**os.environ, "LD_LIBRARY_PATH": str(cls.folder / "broken")}
        (cls.folder / "pairs.jsonl").write_text(json.dumps({"gold": "1/2", "answer": "0.5"}) + "\n")
        (cls.folder / "run.yaml").write_text(TRAINING.replace("DIR", str(cls.folder / "run")))
        tokenizer = runs.SOURCE / "tests/text/data/qwen/tokenizer.json"
        cls.verbs = [(("explain", "rl.advantage"), 0, "lambda"), (("verify", "--file", cls.folder / "pairs.jsonl"), 0, '"equal":true'),
                     (("inspect", cls.folder), 64, "is no run folder"), (("--version",), 0, "libtorch    "),
                     (("show", cls.folder / "run/base"), 64, "is no run folder"),
                     (("tokenize", "--tokenizer", tokenizer), 0, "")]

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def test_the_program_itself_links_no_libtorch(self):
        needed = [line for line in say("readelf", "-d", runs.TDRM).stdout.splitlines() if "(NEEDED)" in line]
        self.assertTrue(needed)
        self.assertEqual([line for line in needed if "torch" in line or "c10" in line], [])

    def test_the_small_verbs_work_without_it(self):
        for words, code, message in self.verbs:
            with self.subTest(words[0]):
                done = say(runs.TDRM, *words, env=self.without, stdin=subprocess.DEVNULL)
                self.assertEqual(done.returncode, code, done.stdout)
                self.assertIn(message, done.stdout)

    def test_they_start_in_less_than_30_MB(self):
        done = say(sys.executable, runs.SOURCE / "tests/bench/start.py", runs.TDRM)  # in a process of its own, whose children are small
        self.assertEqual(done.returncode, 0, done.stdout)
        rows = [line.split() for line in done.stdout.splitlines()[1:]]
        self.assertEqual(len(rows), 5, done.stdout)
        for row in rows:
            self.assertLess(float(row[3]), 30, done.stdout)

    def test_training_without_it_ends_at_once_with_a_message(self):
        for words in (("run", self.folder / "run.yaml"), ("doctor", self.folder)):
            done = say(*runs.command(*words), env=self.without)
            self.assertEqual(done.returncode, 69, done.stdout)
            self.assertIn("can't load libtdrm_gemm.so (training multiplies with it)", done.stdout)
            self.assertIn("Install tdrm again with libtorch", done.stdout)
        done = say(*runs.command("run", self.folder / "run.yaml"))
        self.assertEqual(done.returncode, 0, done.stdout)


if __name__ == "__main__":
    unittest.main()
