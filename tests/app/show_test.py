"""tdrm show: stored answers of all kinds of stages, with the values and the truth that lie beside them, and what it says when it can't."""

import os
import pathlib
import pty
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import h5py
import numpy as np

import runs

sys.path.insert(0, str(runs.SOURCE / "tools"))
from tdrm_report.manifests import hash_file, hash_hex  # noqa: E402

SETTINGS = ["task.splits.sft=1000", "stages.base.commit.at=10", "stages.rolls.samples=32", "stages.rule.save_rollouts=5"]
ROW = re.compile(r" *(\d+) +(\d+) +(\d+) % +(\S+) +(right|wrong|-)?")


def show(*words, **options):
    return runs.tdrm("show", *words, **options)


def sigmoid(logit):
    return 1 / (1 + np.exp(-np.asarray(logit, float)))


def vouch(folder):
    """Writes a folder's manifest anew, so that the files in it count as whole."""
    path = folder / "manifest.json"
    manifest = runs.json.loads(path.read_text())
    del manifest["hash"]
    for entry in manifest["files"]:
        file = folder / entry["name"]
        entry["bytes"], entry["hash"] = file.stat().st_size, hash_file(file)
    manifest["hash"] = hash_hex(runs.json.dumps(manifest, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode())
    path.write_text(runs.json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


class Show(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.run_folder = runs.reference(settings=SETTINGS)
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="tdrm-show-"))
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)

    def copy(self):
        folder = self.root / self.id().rsplit(".", 1)[-1]
        shutil.rmtree(folder, ignore_errors=True)
        return pathlib.Path(shutil.copytree(self.run_folder, folder, ignore=shutil.ignore_patterns("update-??????")))

    def shown(self, stage, *words, folder=None):
        done = show(f"{folder or self.run_folder}/{stage}", *words)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    def refused(self, code, message, stage, *words, folder=None):
        done = show(f"{folder or self.run_folder}/{stage}", *words)
        self.assertEqual(done.returncode, code, done.stdout)
        self.assertIn(message, done.stdout)

    def table(self, stage="bon", model="td[lambda=0]"):
        """By problem: outcomes of the candidates and the values of their last states."""
        with h5py.File(self.run_folder / "cands/trajectories.h5") as file, h5py.File(self.run_folder / stage / model / "values.h5") as values:
            problem, outcome = file["trajectory/problem"][...], file["trajectory/outcome"][...]
            last = sigmoid(values["state/value"][...][values["state/offset"][...][1:] - 1])
        return [(outcome[problem == p], last[problem == p]) for p in range(50)]

    def listed(self, stage, *words):
        """(number, answers, right %, value, verdict) of each line."""
        rows = [ROW.match(line) for line in self.shown(stage, *words).splitlines()]
        return [(int(m[1]), int(m[2]), int(m[3]), m[4], m[5]) for m in rows if m]

    # What is shown.

    def test_the_list_has_every_problem_with_its_right_share_and_its_best_answer_by_value(self):
        rows = self.listed("bon", "--count", "1000")
        self.assertEqual([row[0] for row in rows], list(range(50)))
        for (number, answers, right, value, verdict), (outcome, last) in zip(rows, self.table()):
            best = int(np.argmax(last))
            self.assertEqual((answers, value, verdict), (16, f"{last[best]:.3f}", "right" if outcome[best] else "wrong"), number)
            self.assertLess(abs(right - 100 * outcome.mean()), 0.51)

    def test_pages_follow_each_other(self):
        self.assertIn("problems 0 to 19 of 50; --from 20 goes on", self.shown("cands"))
        page = self.shown("cands", "--from", "45")
        self.assertIn("problems 45 to 49 of 50\n", page)
        self.assertEqual([row[0] for row in self.listed("cands", "--from", "45")], [45, 46, 47, 48, 49])

    def test_problems_are_sorted_by_what_is_asked_for(self):
        table = self.table()
        best = [int(np.argmax(last)) for _, last in table]
        value = [last[b] for (_, last), b in zip(table, best)]
        wrong = [not outcome[b] for (outcome, _), b in zip(table, best)]
        self.assertTrue(any(wrong) and not all(wrong), "the test needs both")
        orders = {"value": sorted(range(50), key=lambda p: -value[p]),
                  "hardest": sorted(range(50), key=lambda p: table[p][0].mean()),
                  "wrongest": sorted(range(50), key=lambda p: (not wrong[p], -value[p]))}
        for sort, order in orders.items():
            self.assertEqual([row[0] for row in self.listed("bon", "--sort", sort, "--count", "50")], order, sort)

    def test_an_answer_is_shown_step_by_step_with_values_and_truth(self):
        page = self.shown("bon", "7", "--answer", "3")
        row = 7 * 16 + 3
        with h5py.File(self.run_folder / "bon/td[lambda=0]/values.h5") as values, h5py.File(self.run_folder / "cands/labels.h5") as labels:
            begin, end = values["state/offset"][row:row + 2]
            value, truth = sigmoid(values["state/value"][begin:end]), labels["state/truth"][begin:end]
        lines = re.findall(r"^ +(\d+)  (0\.\d{3}) \[(#*) *\] +([01])  (.+)$", page, re.MULTILINE)
        self.assertEqual([(int(t), v, int(y)) for t, v, _, y, _ in lines], [(t, f"{v:.3f}", int(y)) for t, (v, y) in enumerate(zip(value, truth))])
        for (_, _, bar, _, _), v in zip(lines, value):
            self.assertLess(abs(len(bar) - 10 * v), 0.51)
        self.assertEqual(lines[0][4], "(nothing written yet)")
        self.assertIn("truth: every step so far is right, says chain", page)
        with h5py.File(self.run_folder / "cands/trajectories.h5") as file:
            words, at = bytes(file["vocabulary/text"][...]), file["vocabulary/text_offset"][...]
            word = dict(zip(file["vocabulary/id"][...], (words[a:b].decode() for a, b in zip(at, at[1:]))))
            ids = file["token/id"][slice(*file["trajectory/token_offset"][row:row + 2])]
            self.assertEqual(" ".join(line[4] for line in lines[1:]), "".join(word[i] for i in ids).strip())

    def test_answers_are_chosen_by_verdict_and_sorted_by_value(self):
        table = self.table()
        p = next(p for p, (outcome, _) in enumerate(table) if 1 < outcome.sum() < 15)
        outcome, last = table[p]
        numbers = lambda *words: [int(n) for n in re.findall(r"^answer (\d+) ", self.shown("bon", p, *words), re.MULTILINE)]
        self.assertEqual(numbers("--right"), list(np.flatnonzero(outcome)))
        self.assertEqual(numbers("--wrong"), list(np.flatnonzero(outcome == 0)))
        self.assertEqual(numbers("--sort", "value"), sorted(range(16), key=lambda k: -last[k]))
        self.assertEqual(numbers("--from", "3", "--count", "2"), [3, 4])
        self.assertIn("wrong answer; gave", self.shown("bon", p, "--wrong"))

    def test_values_are_picked_by_model_or_by_place(self):
        page = self.shown("cands")
        self.assertIn("values of td[lambda=0] in bon/td[lambda=0]; by --model: bon/td[lambda=0.8], bon/orm, scores\n", page)
        for word, place in (("mc", "scores"), ("scores", "scores"), ("orm", "bon/orm"), ("bon/td[lambda=0.8]", "bon/td[lambda=0.8]")):
            self.assertIn(f"in {place};", self.shown("cands", "--model", word))
        self.assertEqual(self.shown("scores", "3").split("\n", 2)[2], self.shown("cands", "3", "--model", "mc").split("\n", 2)[2])

    def test_a_search_shows_its_path_and_what_lay_beside_each_step(self):
        with h5py.File(self.run_folder / "greedy/search.h5") as file:
            begin, end = file["node/tree_offset"][4:6]
            parent, value, chosen = (file[f"node/{name}"][begin:end] for name in ("parent", "value", "on_path"))
        path = np.flatnonzero(chosen)
        page = self.shown("greedy", "4")
        self.assertIn(f"chosen path ({len(path)} of {end - begin} nodes)", page)
        found = re.findall(r"^ +(\d+|\|)  (0\.\d{3}) ", page, re.MULTILINE)
        expected = []
        for t, node in enumerate(path):
            expected.append((str(t + 1), f"{sigmoid(value[node]):.3f}"))
            beside = [n for n in np.flatnonzero(parent == parent[node]) if n != node]
            expected += [("|", f"{v:.3f}") for v in sorted(sigmoid(value[beside]), reverse=True)]
        self.assertEqual(found, expected)
        self.assertRegex(page, r"\(ends (right|wrong)\)")

    def test_kept_batches_show_rewards_values_and_advantages(self):
        self.assertIn("rule@update-000005: 8 problems", self.shown("rule"))
        page = self.shown("rule@update-0", "2", "--answer", "1")
        with h5py.File(self.run_folder / "rule/rollouts/update-000000.h5") as file:
            row = 2 * 4 + 1
            reward, advantage = file["trajectory/reward"][row], file["token/advantage"][file["trajectory/token_offset"][row]]
        self.assertIn(f"; reward {reward:.3g} (rule {reward:.3g})", page)
        self.assertIn(f"{advantage:+.3f}", page)

    def test_stages_of_every_kind_are_shown_or_say_that_they_keep_nothing(self):
        for stage in ("rolls", "cands", "bon", "greedy", "search[kind=beam]", "search[kind=dvts]", "search[kind=smc]", "search[kind=mcts]",
                      "tries", "scores", "rule", "score"):
            with self.subTest(stage):
                self.assertTrue(self.shown(stage))
                self.assertIn("answer 0  ", self.shown(stage, "0"))
        for stage, kind in (("base", "sft"), ("td[lambda=0]", "value"), ("mc", "value")):
            self.refused(64, f"is of kind {kind}, which keeps no answers. Answers are kept by rolls, cands, bon", stage)
        self.assertIn("tried", self.shown("tries", "0"))
        self.assertIn("score/rule@best:", self.shown("score", "--model", "rule@best"))

    def test_answers_of_other_runs_and_of_files_are_found(self):
        folder, data = self.root / "elsewhere", self.root / "cands.h5"
        shutil.copy(self.run_folder / "cands/trajectories.h5", data)
        config = runs.write_config(self.root, f"""
run: {{dir: unset}}
task: {{kind: chain, min_steps: 2, max_steps: 3, splits: {{sft: 1000, value: 100, rl: 100, dev: 50, test: 50}}}}
stages:
  bon: {{do: best_of_n, data: "file:{data}", values: ["run:{self.run_folder}/orm"]}}
  scores: {{do: score, data: "run:{self.run_folder}/cands", value: "run:{self.run_folder}/orm"}}
""")
        runs.finish(folder, config=config)
        here = self.shown("bon", "3", "--model", "orm").split("\n\n", 1)[1]
        self.assertEqual(self.shown("scores", "3", folder=folder).split("\n\n", 1)[1], here)
        self.assertIn("values of run:", self.shown("bon", "3", folder=folder))
        data.write_bytes(data.read_bytes()[:-1])
        self.refused(65, "were changed since", "bon", "3", folder=folder)
        data.unlink()
        self.refused(65, "aren't there", "bon", "3", folder=folder)

    def test_it_is_there_at_once(self):
        least = min(self.seconds("cands", "3") for _ in range(5))
        self.assertLess(least, 0.2)

    def seconds(self, stage, *words):
        before = time.monotonic()
        self.shown(stage, *words)
        return time.monotonic() - before

    # Terminals.

    def on_terminal(self, *words, **environment):
        master, slave = pty.openpty()
        process = subprocess.Popen(runs.command("show", *words), stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm", **environment})
        os.close(slave)
        text = b""
        try:
            while chunk := os.read(master, 1 << 16):
                text += chunk
        except OSError:  # the other end is gone
            pass
        os.close(master)
        self.assertEqual(process.wait(60), 0)
        return text.decode()

    def test_colours_are_for_terminals_that_want_them(self):
        words = (f"{self.run_folder}/bon", "3")
        self.assertIn("\x1b[", self.on_terminal(*words, NO_COLOR=""))
        self.assertNotIn("\x1b", self.on_terminal(*words, NO_COLOR="1"))
        self.assertNotIn("\x1b", self.on_terminal(*words, NO_COLOR="", TERM="dumb"))
        self.assertNotIn("\x1b", show(*words).stdout)

    def test_what_texts_hold_never_acts_on_a_terminal(self):
        folder = self.copy()
        with h5py.File(folder / "cands/trajectories.h5", "r+") as file:
            text, at = file["vocabulary/text"][...], file["vocabulary/text_offset"][...]
            attacks = [b"\x1b", b"\x07", b"\x9b", b"\r", b"\xe6", b"\x00", b"\x7f"]
            for word in range(len(at) - 1):
                text[at[word + 1] - 1] = attacks[word % len(attacks)][0]  # of words of one letter the letter
            file["vocabulary/text"][...] = text
            file["trajectory/answer"][5] = "\x1b]0;title\x07\u202e"
            file["problem/answer"][0] = "\u009b2J"
        vouch(folder / "cands")
        for words in (("cands",), ("cands", "0"), ("bon", "0", "--count", "50")):
            done = subprocess.run(runs.command("show", f"{folder}/{words[0]}", *words[1:]), stdout=subprocess.PIPE, check=True)
            said = done.stdout.decode()  # half a character would fail here
            self.assertIsNone(re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", said))
            self.assertIn("\\x1b", said)
        self.assertIn("\\u009b2J", self.shown("cands", "0", folder=folder))
        self.assertIn("\\x1b]0;title\\x07\\u202e", self.shown("cands", "0", folder=folder))

    # What can't be shown.

    def test_what_is_not_there_is_named_with_what_is_near(self):
        run = self.run_folder
        done = show(f"{run}x/cands")
        self.assertEqual(done.returncode, 64)
        self.assertIn(f'is no run folder (it has no config.yaml). Did you mean "{run}"?', done.stdout)
        self.refused(64, 'has no stage "cand". Did you mean "cands"?', "cand")
        self.refused(64, 'has no stage "nothing". Answers are kept by rolls, cands', "nothing")
        self.refused(64, "is a run, not one of its stages", "")
        self.refused(64, "there is no problem 50 (", "cands", "50")
        self.refused(64, "Name one from 0 to 49.", "cands", "-1")
        self.refused(64, "there is no answer 16 (problem 3 has 16)", "cands", "3", "--answer", "16")
        self.refused(64, 'there are no values of "orn" for these answers. Did you mean "orm"?', "cands", "--model", "orn")
        self.refused(64, 'no policy "bas" was evaluated. Did you mean "base"?', "score", "--model", "bas")
        self.refused(64, "kept no answers of update-000003. Kept are update-000000, update-000005.", "rule@update-3")
        self.refused(64, "whose answers have no versions", "cands@best")
        self.refused(64, "--from 50 is beyond the last of 50 problems", "cands", "--from", "50")
        self.refused(64, "--sort value needs values", "rolls", "--sort", "value")
        self.refused(64, "sorts problems (this is one)", "cands", "1", "--sort", "hardest")
        for words in (("cands", "1", "--count", "0"), ("cands", "--answer", "1"), ("cands", "1", "--right", "--wrong"), ("cands", "x"),
                      ("cands", "--from", "-1"), ("cands", "--sort", "sideways")):
            self.assertEqual(show(f"{run}/{words[0]}", *words[1:]).returncode, 64, words)

    def test_stages_that_are_not_finished_say_so(self):
        folder = self.copy()
        shutil.copytree(self.run_folder / "base", folder / "base", dirs_exist_ok=True)
        shutil.rmtree(folder / "cands")
        self.refused(64, "hasn't begun", "cands", folder=folder)
        runs.begin(folder, settings=SETTINGS, more=["--only", "cands"])
        self.refused(64, "isn't finished", "cands", folder=folder)

    def test_values_of_answers_that_were_made_again_are_refused(self):
        folder = self.copy()
        shutil.copytree(self.run_folder / "base", folder / "base", dirs_exist_ok=True)
        runs.finish(folder, settings=[*SETTINGS, "stages.cands.seed=2"], more=["--only", "cands", "--redo", "cands"])
        self.refused(65, "was made again since", "bon", folder=folder)
        self.assertIn("no values of these answers are stored", self.shown("cands", folder=folder))
        shutil.rmtree(folder / "cands")
        self.refused(65, "isn't there", "scores", folder=folder)

    def test_reinforcement_learning_that_kept_nothing_says_so(self):
        folder = self.copy()
        for model in ("base", "td[lambda=0.8]"):
            shutil.rmtree(folder / model)
            shutil.copytree(self.run_folder / model, folder / model)
        runs.finish(folder, settings=[*SETTINGS, "stages.sum.save_rollouts=0"], more=["--only", "sum", "--redo", "sum"])
        self.refused(64, "kept no answers (save_rollouts says which batches stay)", "sum", folder=folder)

    def test_damaged_files_are_named(self):
        cases = {"bon": ["cands/trajectories.h5", "cands/labels.h5", "cands/manifest.json", "bon/orm/values.h5", "bon/stage.json", "cands/stage.json"],
                 "greedy": ["greedy/trajectories.h5", "greedy/search.h5", "config.yaml"], "rule": ["rule/rollouts/update-000005.h5"],
                 "scores": ["scores/values.h5"], "tries": ["tries/labels.h5"]}
        folder = self.copy()
        for stage, name in ((stage, name) for stage, names in cases.items() for name in names):
            path = folder / name
            whole = path.read_bytes()
            flipped = bytearray(whole)
            flipped[len(whole) // 2] ^= 0x10
            for harm, data in (("flip", flipped), ("cut", whole[: len(whole) // 2]), ("garbage", b'{"kind": 3, '), ("gone", None)):
                with self.subTest(f"{name} {harm}"):
                    path.unlink()
                    if data is not None:
                        path.write_bytes(data)
                    # A run without config.yaml is none.
                    self.refused(64 if (name, harm) == ("config.yaml", "gone") else 65, "tdrm: ", stage, folder=folder)
            path.write_bytes(whole)
            self.shown(stage, folder=folder)

    def test_files_whose_arrays_make_no_sense_never_end_it_by_a_signal(self):
        """Other programs may write such files, with manifests that fit."""
        def limits():
            resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
            resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))

        chance, codes = random.Random(1), set()
        folder = self.copy()
        files = {name: (folder / name).read_bytes() for name in ("cands/trajectories.h5", "cands/labels.h5", "bon/td[lambda=0]/values.h5", "greedy/search.h5")}
        for number in range(60):
            name = chance.choice(list(files))
            with h5py.File(folder / name, "r+") as file:
                datasets = []
                file.visititems(lambda key, item: datasets.append(key) if isinstance(item, h5py.Dataset) and item.size and item.dtype.kind in "iuf" else None)
                for key in chance.choices(datasets, k=2):
                    data = file[key][...].reshape(-1)
                    info = np.iinfo(data.dtype) if data.dtype.kind in "iu" else np.finfo(data.dtype)
                    data[chance.randrange(len(data))] = chance.choice([info.min, info.max, -1 if info.min else 1, 0, 7])
                    if chance.random() < 0.3:
                        np.random.default_rng(number).shuffle(data)
                    file[key][...] = data
            vouch((folder / name).parent)
            for words in (("bon",), ("bon", "1", "--count", "99"), ("greedy",), ("greedy", "2")):
                done = subprocess.run(runs.command("show", f"{folder}/{words[0]}", *words[1:]), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      preexec_fn=limits, timeout=60, check=False)
                self.assertIn(done.returncode, (0, 65), (number, name, words, done.stdout[:500]))
                codes.add(done.returncode)
                done.stdout.decode()
            (folder / name).write_bytes(files[name])
            vouch((folder / name).parent)
        self.assertEqual(codes, {0, 65})


if __name__ == "__main__":
    unittest.main(verbosity=2)
