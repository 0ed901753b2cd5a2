"""Damaged files are seen, named, and never used: the run goes on from what is whole, or says what to do."""

import pathlib
import random
import shutil
import subprocess
import tempfile
import unittest

import runs

SETTINGS = ["task.splits.sft=1000", "stages.base.commit.at=10", "stages.rolls.samples=32", "stages.rule.save_rollouts=5"]


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def flip_first(path):
    data = bytearray(path.read_bytes())
    data[12] ^= 0x01
    path.write_bytes(data)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def empty(path):
    path.write_bytes(b"")


def garbage(path):
    path.write_text("{\"kind\": 3, ")


def damaged_somewhere(data, chance):
    """One byte changed to any other, or, once in four times, the end cut off."""
    at = chance.randrange(len(data))
    return data[:at] if chance.random() < 0.25 else data[:at] + bytes([data[at] ^ chance.randrange(1, 256)]) + data[at + 1:]


def remove(path):
    path.unlink()


class Corruption(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="tdrm-corruption-"))
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        cls.whole = runs.reference(settings=SETTINGS)

    def copy(self, source, drop=()):
        folder = self.root / self.id().rsplit(".", 1)[-1]
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        for name in drop:
            shutil.rmtree(folder / name)
        return folder

    def begun(self, folder, stage):
        """Turns a stage's stage.json back into what it is while the stage runs."""
        scratch = self.root / f"begun-{stage}"
        if not (scratch / stage / "stage.json").exists():
            for other in self.whole.iterdir():  # what it depends on is there
                if other.is_dir() and other.name not in (stage, ".ranks"):
                    shutil.copytree(other, scratch / other.name, dirs_exist_ok=True)
            runs.begin(scratch, settings=SETTINGS, more=["--only", stage])
        record = (scratch / stage / "stage.json").read_text()
        self.assertFalse(runs.json.loads(record)["done"])
        (folder / stage / "stage.json").write_text(record)

    def start(self, folder, *more, ranks=1):
        return runs.tdrm(*runs.run_arguments(folder, settings=SETTINGS, more=more), ranks=ranks)

    def test_training_goes_on_from_the_commit_before_a_damaged_one(self):
        # Commits are 10, 20, 30 and the last, 32. What is said when this is done to a file of 30, and from where it goes on.
        table = [
            ("update-000030/part-0000.h5", flip, "part-0000.h5 is damaged (its content doesn't match the manifest)", 20),
            ("update-000030/part-0000.h5", truncate, "part-0000.h5 is truncated", 20),
            ("update-000030/part-0000.h5", remove, "part-0000.h5 is missing", 20),
            ("update-000030/checkpoint.h5", flip, "checkpoint.h5 is damaged", 20),
            ("update-000030/checkpoint.h5", empty, "checkpoint.h5 is truncated (0 of", 20),
            ("update-000030/manifest.json", flip, "manifest.json is damaged", 20),
            ("update-000030/manifest.json", truncate, "manifest.json is damaged", 20),
            ("update-000030/manifest.json", remove, "manifest.json is missing", 20),
            ("metrics.jsonl", truncate, "metrics.jsonl is truncated", 20),
            ("metrics.jsonl", flip_first, "metrics.jsonl is damaged", 0),
        ]
        for name, damage, message, goes_on in table:
            with self.subTest(f"{damage.__name__} {name}"):
                folder = self.copy(self.whole)
                shutil.rmtree(folder / "base/update-000032")
                self.begun(folder, "base")
                damage(folder / "base" / name)
                done = self.start(folder)
                self.assertEqual(done.returncode, 0, done.stdout)
                self.assertIn("update-000030 is damaged", done.stdout)
                self.assertIn(message, done.stdout)
                self.assertEqual(f"going on after update {goes_on}" in done.stdout, goes_on > 0, done.stdout)
                self.assertEqual(runs.differences(self.whole, folder), [])

    def test_parts_of_a_map_stage_are_computed_again(self):
        stopped = self.root / "stopped"
        with runs.Start(stopped, settings=SETTINGS, more=["--until", "rolls"]) as start:
            self.assertTrue(start.wait_for(lambda: len(list((stopped / "rolls/parts").glob("part-*.*.h5"))) >= 2
                                           if (stopped / "rolls/parts").exists() else False), start.output())
            start.process.terminate()
            self.assertEqual(start.wait(), 75, start.output())
        parts = sorted((stopped / "rolls/parts").iterdir())
        self.assertLess(len(parts), 8, "it was stopped in time")
        for damage in (flip, truncate, empty, remove):
            for ranks in (1, 2) if damage is flip else (1,):
                with self.subTest(damage.__name__, ranks=ranks):
                    folder = self.copy(stopped)
                    damage(folder / "rolls/parts" / parts[0].name)
                    done = self.start(folder, "--until", "rolls", ranks=ranks)
                    self.assertEqual(done.returncode, 0, done.stdout)
                    if damage is not remove:
                        self.assertIn(f"{parts[0].name} is damaged", done.stdout)
                    self.assertEqual(runs.differences(self.whole / "rolls", folder / "rolls"), [])

    def test_tables_within_an_unfinished_stage_are_computed_again(self):
        for stage, name in (("bon", "orm/values.h5"), ("score", "base/trajectories.h5"), ("greedy", "trajectories.h5"), ("greedy", "manifest.json")):
            with self.subTest(name):
                folder = self.copy(self.whole)
                self.begun(folder, stage)
                flip(folder / stage / name)
                done = self.start(folder)
                self.assertEqual(done.returncode, 0, done.stdout)
                self.assertIn(f"{pathlib.Path(name).name} is damaged", done.stdout)
                self.assertEqual(runs.differences(self.whole, folder), [])

    def test_damaged_data_of_a_finished_stage_ends_with_65_and_offers_redo(self):
        table = [  # a file of a stage, what is done to it, a stage that reads it, how the damage is told
            ("rolls", "trajectories.h5", flip, "orm", "trajectories.h5 is damaged"),
            ("rolls", "trajectories.h5", truncate, "orm", "trajectories.h5 is truncated"),
            ("rolls", "labels.h5", flip, "orm", "labels.h5 is damaged"),
            ("rolls", "manifest.json", flip, "orm", "manifest.json is damaged"),
            ("base", "update-000032/part-0000.h5", flip, "cands", "part-0000.h5 is damaged"),
            ("base", "update-000032/checkpoint.h5", truncate, "cands", "checkpoint.h5 is truncated"),
            ("base", "stage.json", garbage, "cands", "stage.json is damaged"),
            ("base", "stage.json", flip, "cands", "stage.json is damaged"),
            ("base", "stage.json", remove, "cands", "stage.json is missing"),
        ]
        for stage, name, damage, reader, message in table:
            for ranks in (1, 2) if damage is flip and name != "manifest.json" else (1,):
                with self.subTest(f"{damage.__name__} {stage}/{name}", ranks=ranks):
                    folder = self.copy(self.whole, drop=[reader])
                    damage(folder / stage / name)
                    before = {path: path.read_bytes() for path in runs.files(folder / stage).values()}
                    done = self.start(folder, ranks=ranks)
                    self.assertEqual(done.returncode, 65, done.stdout)
                    self.assertIn(message, done.stdout)
                    self.assertIn(f"--redo {stage}", done.stdout)
                    self.assertEqual(done.stdout.count("tdrm: "), 1, done.stdout)
                    self.assertEqual({path: path.read_bytes() for path in before}, before, "nothing was touched")
                    inspected = runs.tdrm("inspect", folder)
                    self.assertEqual(inspected.returncode, 65, inspected.stdout)
                    self.assertIn(message, inspected.stdout)

    def test_redoing_a_damaged_stage_gives_the_same_run(self):
        folder = self.copy(self.whole, drop=["orm"])
        flip(folder / "rolls/trajectories.h5")
        garbage(folder / "greedy/stage.json")
        self.assertEqual(self.start(folder).returncode, 65)
        done = self.start(folder, "--redo", "rolls", "--redo", "greedy", ranks=2)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(runs.differences(self.whole, folder), [])

    def test_inspect_finds_a_whole_run_whole(self):
        done = runs.tdrm("inspect", self.whole)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("every manifest verifies", done.stdout)
        for stage in self.whole.glob("*/stage.json"):
            self.assertIn(stage.parent.name, done.stdout)

    def test_inspect_finds_every_changed_byte_and_every_cut(self):
        folder = self.copy(self.whole)
        # Said in docs/formats/run.md: nothing relies on the history, and the rest isn't part of the run.
        targets = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size > 0
                   and path.name not in ("history.jsonl", ".lock") and ".ranks" not in path.parts]
        names = {path.name for path in targets}
        self.assertLessEqual({"config.yaml", "stage.json", "results.json", "metrics.jsonl", "timing.jsonl", "performance.json", "manifest.json",
                              "checkpoint.h5", "trajectories.h5", "values.h5", "labels.h5", "update-000000.h5"}, names)
        chance = random.Random(11)
        # Every kind of file is met, then files at random.
        waiting = [chance.choice([path for path in targets if path.name == name]) for name in sorted(names)] * 2
        waiting += [chance.choice(targets) for _ in range(200 - len(waiting))]
        while waiting:
            # Many at once, but one a stage, since a damaged record or manifest hides what it would tell of others.
            taken, whole = set(), {}
            for path in list(waiting):
                keys = {path.relative_to(folder).parts[0]} | ({"time"} if path.name in ("performance.json", "timing.jsonl") else set())
                if taken & keys:
                    continue
                taken |= keys
                waiting.remove(path)
                whole[path] = path.read_bytes()
                path.write_bytes(damaged_somewhere(whole[path], chance))
            done = runs.tdrm("inspect", folder)
            self.assertEqual(done.returncode, 65, done.stdout)
            problems = done.stdout.partition("DAMAGED:")[2].partition("Performance:")[0].splitlines()
            for path, content in whole.items():
                found = any(str(folder / path.relative_to(folder).parts[0]) in line and path.name in line for line in problems)
                self.assertTrue(found, f"{path}\n{path.read_bytes()[:3000]}\n{done.stdout}")
                path.write_bytes(content)
        self.assertEqual(runs.tdrm("inspect", folder).returncode, 0, "it was whole before and after")

    def test_the_report_refuses_what_does_not_verify(self):
        def digit(path):
            data = bytearray(path.read_bytes())
            at = next(i for i in range(len(data) - 1, 0, -1) if data[i:i + 1].isdigit())
            data[at] = ord("1") if data[at] != ord("1") else ord("2")
            path.write_bytes(data)

        for name, words in (("score/results.json", "Make the stage again with --redo"), ("base/metrics.jsonl", "Make the stage again with --redo"),
                            ("score/stage.json", "Make the stage again with --redo score"), ("config.yaml", "Start the run again")):
            with self.subTest(name):
                folder = self.copy(self.whole)
                digit(folder / name)
                made = subprocess.run([runs.SOURCE / "tools/report", folder, "--out", folder / "page"], capture_output=True, text=True, check=False)
                self.assertEqual(made.returncode, 65, made.stderr)
                self.assertIn(f"{folder / name} is damaged", made.stderr)
                self.assertIn(words, made.stderr)

    def test_inspect_sees_damaged_metrics(self):
        folder = self.copy(self.whole)
        flip_first(folder / "rule/metrics.jsonl")
        done = runs.tdrm("inspect", folder)
        self.assertEqual(done.returncode, 65, done.stdout)
        self.assertIn("metrics.jsonl is damaged", done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
