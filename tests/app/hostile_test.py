"""A hundred files that are wrong in ways that nobody meant, or somebody did. Each ends in one message, the right exit code, a moment
and little memory: no signal, no exit code 70, no waiting for a pipe."""

import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import unittest

import runs

MODEL = runs.SOURCE / "tests/model/data/llama"
DEEP = '{"a":[' * 200_000
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
SECONDS = 5  # of the processor; most take 0.02
TASK = "task: {kind: chain, min_steps: 2, max_steps: 3, splits: {a: 64, b: 20}}\n"
SFT = "do: sft, model: {layers: 1, width: 64, heads: 2}, problems: a, batch: 32"


class Hostile(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tdrm-hostile-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def attack(self, *words, codes=(64, 65, 74), says=()):
        def limits():
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))

        environment = {**os.environ, "OMPI_MCA_ess_singleton_isolated": "1"}
        try:
            done = subprocess.run([runs.TDRM, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                                  stdin=subprocess.DEVNULL, preexec_fn=limits, env=environment, check=False)
        except subprocess.TimeoutExpired:
            return self.fail("it waits")
        said = done.stdout.decode()  # half a character would fail here
        self.assertIn(done.returncode, codes, said[:2000])
        self.assertLess(len(said), 5000, said[:2000])
        if done.returncode:
            self.assertRegex(said, r"(?s)(^|\n)tdrm: .*[.:]|DAMAGED|DIFFERS", said[:500])
        for word in (says,) if isinstance(says, str) else says:
            self.assertIn(word, said)
        return said

    def put(self, path, what):
        """Something in the place of a file: a text, bytes, or one of the words below."""
        path = self.folder / path
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or path.is_file() or path.is_fifo():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
        if what == "FOLDER":
            path.mkdir()
        elif what == "PIPE":
            os.mkfifo(path)
        elif what == "LOOP":
            path.symlink_to(path.name)
        elif what == "DEVICE":
            path.symlink_to("/dev/zero")
        elif what == "HUGE":
            with path.open("wb") as file:
                file.truncate(1 << 38)
        else:
            path.write_bytes(what if isinstance(what, bytes) else what.encode())
        return path

    NO_FILES = [("FOLDER", "folder"), ("PIPE", "named pipe"), ("LOOP", "symbolic links"), ("DEVICE", "device"), (LFS, "Git LFS pointer")]

    # Folders of models.

    def model(self):
        for name in ("config.json", "model.safetensors"):
            self.put(f"m/{name}", (MODEL / name).read_bytes())
        self.put("reference.json", (MODEL / "reference.json").read_bytes())
        return ("check-model", self.folder / "m", "--reference", self.folder / "reference.json")

    def test_what_stands_in_the_place_of_a_models_files(self):
        words = self.model()
        self.attack(*words, codes=(0,))
        for name in ("config.json", "model.safetensors", "../reference.json"):
            for what, message in [*self.NO_FILES, ("HUGE", ""), (DEEP, ""), ("", ""), (b"\x80\x81\xff" * 1000, "")]:
                with self.subTest(f"{name}: {what[:20]!r}"):
                    self.model()
                    self.put(f"m/{name}", what)
                    self.attack(*words, says=(message, pathlib.Path(name).name))

    def test_values_of_other_types_in_a_config(self):
        words = self.model()
        good = json.loads((MODEL / "config.json").read_text())
        values = [None, True, -1, 2**31 - 1, 2**63, 1e300, "x", [], {}, [[]], {"type": []}]
        for number, key in enumerate(sorted(good)):
            for value in (values[number % len(values)], values[(number + 4) % len(values)], values[(number + 7) % len(values)]):
                with self.subTest(f"{key}: {value!r}"):
                    self.put("m/config.json", json.dumps({**good, key: value}))
                    self.attack(*words, codes=(0, 64, 65))

    def test_headers_of_weights(self):
        words = self.model()
        whole = (MODEL / "model.safetensors").read_bytes()
        length = int.from_bytes(whole[:8], "little")
        header = json.loads(whole[8 : 8 + length])
        name = next(key for key in header if key != "__metadata__")

        def with_header(text, told=None):
            text = text if isinstance(text, bytes) else json.dumps(text).encode()
            return (len(text) if told is None else told).to_bytes(8, "little") + text + whole[8 + length :]

        cases = [with_header(header, 2**63), with_header(header, 0), with_header(b"[" * 1_000_000), with_header(b'{"a":' * 500_000),
                 with_header({**header, name: {**header[name], "shape": [2**62, 4]}}), with_header({**header, name: None}),
                 with_header({**header, name: {**header[name], "data_offsets": [0, 2**64 - 1]}}), with_header({}),
                 with_header({**header, name: {**header[name], "dtype": "F" * 100_000}}), with_header({**header, "x" * 1_000_000: []}),
                 with_header({**header, name: {**header[name], "shape": [1] * 100_000}}), whole[:-1], whole + b"x", whole[:7],
                 with_header({f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(20_000)})]
        for number, case in enumerate(cases):
            with self.subTest(number):
                self.put("m/model.safetensors", case)
                self.attack(*words, codes=(65,))

    def test_indexes_of_weights(self):
        words = self.model()
        (self.folder / "m/model.safetensors").unlink()  # beside which an index isn't read
        for text in ("[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": "../../etc/passwd"}}', '{"weight_map": {"a": 1}}',
                     '{"weight_map": {"a": "none"}}', json.dumps({"weight_map": {"a": "x" * 5000}}), DEEP, LFS, "FOLDER", "PIPE", "LOOP",
                     json.dumps({"weight_map": {f"t{i}": "model.safetensors" for i in range(100_000)}}) + "]"):
            with self.subTest(text[:50]):
                self.put("m/model.safetensors.index.json", text)
                self.attack(*words)

    # Small verbs.

    def test_pairs_and_texts(self):
        pairs = self.put("pairs.jsonl", "")
        words = ("verify", "--file", pairs)
        for what, message in self.NO_FILES:
            with self.subTest(what[:10]):
                self.put("pairs.jsonl", what)
                self.attack(*words, says=message)
        for text in (DEEP, "[" + DEEP, "[1, 2", "\x00" * 1000, "1\n2\n", '{"gold": []}', '{"gold": 1e999, "answer": 1}', '{"gold": "1", "answer": "1", "precision": 1e300}',
                     '{"gold": "1", "answer": "1", "precision": [1]}', '{"gold": "1", "answer": "1", "abs_tolerance": "x"}'):
            with self.subTest(text[:30]):
                self.put("pairs.jsonl", text)
                self.attack(*words, codes=(0, 65))
        self.put("pairs.jsonl", b"\xef\xbb\xbf" + b'{"gold": "1", "answer": "1"}')
        self.attack(*words, codes=(0,), says='"equal":true')
        self.attack("verify", "--file", "x" * 5000, codes=(74,), says="too long")

    def test_tokenizers_that_are_no_files(self):
        for what, message in [*self.NO_FILES, ("HUGE", ""), (DEEP, "levels")]:
            with self.subTest(what[:10]):
                self.put("t/tokenizer.json", what)
                self.attack("tokenize", "--tokenizer", self.folder / "t", says=(message, "tokenizer.json"))
        self.attack("tokenize", "--tokenizer", "x" * 5000, codes=(74,))

    # Run folders.

    def test_folders_of_runs(self):
        run = self.folder / "run"
        runs.finish(run, config=self.put("run.yaml", f"run: {{dir: x}}\n{TASK}stages: {{base: {{{SFT}, updates: 1}}}}\n"))
        self.attack("inspect", run, codes=(0,), says="every manifest verifies")
        commit = next(run.glob("base/update-*"))
        for path in ("config.yaml", "history.jsonl", "performance.json", "base/stage.json", "base/timing.jsonl", "base/metrics.jsonl",
                     f"base/{commit.name}/manifest.json", f"base/{commit.name}/checkpoint.h5"):
            whole = (run / path).read_bytes()
            for what in ("FOLDER", "PIPE", "LOOP", "DEVICE", "HUGE", LFS, DEEP, "", "7", '{"event": 7}\n[]\n', b"\xff\xfe" * 100):
                if path == "history.jsonl" and what == "":
                    continue
                with self.subTest(f"{path}: {what[:12]!r}"):
                    self.put(f"run/{path}", what)
                    unfinished = path == "history.jsonl" and what in ("7", DEEP, b"\xff\xfe" * 100)  # a line without end
                    self.attack("inspect", run, codes=(0,) if unfinished else (64, 65, 74))
                    self.attack("export", f"{run}/base", self.folder / "out", codes=(0, 64, 65, 74))
                    shutil.rmtree(self.folder / "out", ignore_errors=True)
                    self.put(f"run/{path}", whole)
        self.attack("inspect", run, codes=(0,))
        for text in ('{"event": 7}\n', '{"event": null}\n', '{"event": ["resumed"]}\n', "{}\n", '{"event": "resumed", "seconds": "x"}\n'):
            with self.subTest(text):
                self.put("run/history.jsonl", text)
                self.attack("inspect", run, codes=(0,))
        for name in ("x" * 255, "update-99999999999999999999999", "update-"):
            self.put(f"run/base/{name}", "FOLDER")
        self.attack("inspect", run, codes=(0, 65))
        self.attack("export", f"{run}/base@update-99999999999999999999999", self.folder / "out", codes=(64, 65))
        self.attack("inspect", "x" * 5000)
        self.attack("inspect", self.put("loop", "LOOP"))

    # Run files.

    def refuse_run(self, text, *says, codes=(64,)):
        config = self.put("run.yaml", text)
        return self.attack("run", config, "--dry-run", codes=codes, says=says)

    def test_what_is_included(self):
        for what, message in self.NO_FILES:
            with self.subTest(what[:10]):
                self.put("other.yaml", what)
                self.refuse_run("include: other.yaml\n", message, "other.yaml")
                self.attack("run", self.folder / "other.yaml", "--dry-run", says=message)
        self.refuse_run(f"include: {'x' * 300}\n", "too long")
        for i in range(20):
            self.put(f"f{i}", f"include: [f{i + 1}, f{i + 1}]\n")
        self.put("f20", TASK)
        self.refuse_run("include: f0\n", "more than 100 files")

    def test_names_of_stages(self):
        for name in ("config.yaml", "history.jsonl", "performance.json", "report", "a.tmp", "..", ".", "a/b", ".ranks", "\\x00a", "\\e[31m"):
            with self.subTest(name):
                self.refuse_run(f'run: {{dir: {self.folder}/run}}\n{TASK}stages: {{"{name}": {{{SFT}}}}}\n', "Take another")

    def test_numbers_and_durations(self):
        good = f"run: {{dir: {self.folder}/run}}\n{TASK}stages: {{base: {{{SFT}}}}}\n"
        for key, values, message in (
            ("run.silence", ("1e300d", "300000000000000d", "0.001s", "-5m", "1e999d"), "run.silence"),
            ("run.wait", ("1e300d", "10001d", "-1s"), "run.wait"),
            ("stages.base.commit.every", ("1e300d", "1e30s", "0s"), "stages.base.commit.every"),
            ("stages.base.epochs", ("1e300", "1e999", "-1", "0", "nan", "inf"), "stages.base.epochs"),
            ("stages.base.updates", ("1e300", "9223372036854775807", "-1"), "stages.base.updates"),
            ("stages.base.batch", ("2147483647", "1e18", "0"), "stages.base.batch"),
            ("stages.base.unit_tokens", ("2147483647", "1e300", "0"), "stages.base.unit_tokens"),
            ("stages.base.model.width", ("2147483647", "1e300"), "stages.base.model.width"),
            ("stages.base.model.layers", ("2147483647", "100000"), "stages.base.model.layers"),
            ("stages.base.model.head_dim", ("2147483644",), "stages.base.model.head_dim"),
            ("stages.base.model.ffn", ("2147483647",), "stages.base.model.ffn"),
            ("stages.base.optimizer.lr", ("1e999", "nan", "-1"), "stages.base.optimizer.lr"),
            ("stages.base.optimizer.horizon", ("9223372036854775807", "1e300"), "stages.base.optimizer.horizon"),
            ("task.splits.a", ("9223372036854775807", "1e300", "-1"), "task"),
            ("run.seed", ("9223372036854775808", "-1", "1e300"), "run.seed"),
        ):
            for value in values:
                with self.subTest(f"{key}={value}"):
                    config = self.put("run.yaml", good)
                    self.attack("run", config, "--dry-run", "--set", f"{key}={value}", codes=(64,), says=message)
        said = self.attack("run", self.put("run.yaml", good), "--dry-run", "--set", "run.silence=1e300d", codes=(64,))
        self.assertIn("[1, 864000000]", said, "the range is told")

    SEARCH = """task: {kind: walk, modulus: 6, steps: 3, splits: {a: 64}}
stages:
  base: {do: sft, model: {layers: 1, width: 32, heads: 2}, problems: a, batch: 32}
  rolls: {do: rollout, policy: base, problems: a}
  td: {do: value, init: base, data: rolls}
  tree: {do: search, policy: base, value: td, problems: a}
  notes: {do: annotate, data: rolls, policy: base}
"""

    def test_counts_of_search_and_annotations(self):
        config = self.put("run.yaml", f"run: {{dir: {self.folder}/run}}\n{self.SEARCH}")
        most = {"tree.paths": 10**6, "tree.simulations": 10**6, "tree.branch": 10**6, "tree.depth": 10**6, "tree.budget": 10**12,
                "tree.step.tokens": 10**8, "notes.tries": 10**6, "notes.budget": 10**12, "notes.slots": 10**6}
        for key, bound in most.items():
            for value in (2**31 - 2, 2**31 - 1, 2**31, 2**63 - 1, 2**63, "1e300", -1, bound + 1):
                if isinstance(value, int) and 0 <= value <= bound:
                    continue
                with self.subTest(f"{key}={value}"):
                    said = self.attack("run", config, "--dry-run", "--set", f"stages.{key}={value}", codes=(64,), says=f"stages.{key}")
                    self.assertNotIn("memory", said)
            with self.subTest(f"{key} at its bound"):
                kind = {"tree.paths": "smc", "tree.simulations": "mcts"}.get(key, "greedy")
                said = self.attack("run", config, "--dry-run", "--set", f"stages.{key}={bound}", "--set", f"stages.tree.kind={kind}", codes=(0,))
                for number in re.findall(r"(\S+) [MG]B a rank", said):
                    self.assertGreater(float(number), 0, "an overflow")
        for value in (2**31 - 1, 2**31, 2**63 - 1, "1e300", -1, 10**9 + 1):
            self.attack("run", config, "--dry-run", "--set", f"task.splits.a={value}", codes=(64,), says="task.splits")

    def test_trees_that_have_more_nodes_than_they_can_number(self):
        config = self.put("run.yaml", f"run: {{dir: {self.folder}/run}}\n{self.SEARCH}")
        for key, settings in (("simulations", ("kind=mcts", "simulations=1000000", "branch=1001")),
                              ("depth", ("kind=smc", "paths=1000000", "depth=1001", "sampler.max_tokens=1001"))):
            words = [word for setting in settings for word in ("--set", f"stages.tree.{setting}")]
            self.attack("run", config, "--dry-run", *words, codes=(64,), says=(f"stages.tree.{key}", "room for 1000000000 nodes"))


if __name__ == "__main__":
    assert signal.getsignal(signal.SIGPIPE) is not None
    unittest.main()
