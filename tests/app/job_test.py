"""What a job tells about itself: the header of its log, the figures at its end, and an end by --max-time."""

import json
import pathlib
import shutil
import tempfile
import unittest

import h5py
import runs


def tokens_of(*tables):
    """Number of answer tokens in trajectories.h5 of these folders."""
    total = 0
    for table in tables:
        with h5py.File(table / "trajectories.h5") as file:
            total += len(file["token/id"])
    return total


class Job(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="tdrm-job-"))
        cls.addClassCleanup(shutil.rmtree, cls.root, ignore_errors=True)
        cls.run_folder = cls.root / "run"
        cls.first = runs.finish(cls.run_folder, ranks=2).stdout
        cls.figures = json.loads((cls.run_folder / "performance.json").read_text())

    def test_the_log_begins_with_all_that_a_report_of_a_fault_needs(self):
        version = runs.tdrm("--version").stdout
        for line in ("tdrm 0.", "compiler    g++ ", "-march=", "processor   ", "MPI         Open MPI v", "HDF5        ", "libtorch    ", "GPUs        "):
            self.assertIn(line, version)
            self.assertIn(line, self.first)
        for line in ("launcher    mpirun", ", 2 ranks on one node", "host        ", "folder      ", f"run.dir={self.run_folder}"):
            self.assertIn(line, self.first)

    def test_sections_share_the_time_of_their_stage(self):
        self.assertEqual(set(self.figures["newest"]), {path.parent.name for path in self.run_folder.glob("*/stage.json")})
        for name, stage in self.figures["stages"].items():
            with self.subTest(name):
                self.assertEqual(stage["ranks"], 2)
                self.assertAlmostEqual(sum(section["avg"] for section in stage["sections"].values()), stage["seconds"], delta=1e-6)
                for section in stage["sections"].values():
                    self.assertGreaterEqual(section["min"], 0)
                    self.assertLessEqual(section["min"], section["avg"] * (1 + 1e-12))
                    self.assertLessEqual(section["avg"], section["max"] * (1 + 1e-12))
                self.assertGreater(stage["peak_bytes"], 1e6)
                self.assertGreater(stage["gemm_flop_per_s"], 0)

    def test_counted_tokens_are_those_of_the_tables(self):
        work = {name: stage["work"] for name, stage in self.figures["stages"].items()}
        for stage in ("rolls", "cands"):
            self.assertEqual(work[stage]["generated_tokens"], tokens_of(self.run_folder / stage))
            self.assertEqual(work[stage]["trained_tokens"], 0)
        tables = [path.parent for path in self.run_folder.glob("score/*/trajectories.h5")]
        self.assertEqual(work["score"]["generated_tokens"], tokens_of(*tables))
        self.assertGreater(work["bon"]["scored_tokens"], tokens_of(self.run_folder / "cands"))
        self.assertGreater(work["greedy"]["scored_tokens"], 0)
        for path in self.run_folder.glob("*/metrics.jsonl"):
            with self.subTest(path.parent.name):
                lines, done = runs.lines(path), work[path.parent.name]
                self.assertEqual(done["updates"], len(lines))
                self.assertEqual(done["trained_tokens"], sum(line["num_tokens"] + line.get("critic/num_tokens", 0) for line in lines))
                batches = lines[:: 2 if path.parent.name == "critic" else 1]  # its batches make two updates each
                drawn = sum(line.get("completions/tokens", 0) for line in batches)
                self.assertGreaterEqual(done["generated_tokens"], drawn)
                # At least forward and backward of two layers of 64 x (4 x 64 + 3 x 192).
                self.assertGreaterEqual(done["flop"], 6 * done["trained_tokens"] * 2 * 64 * (4 * 64 + 3 * 192))

    def test_the_figures_are_shown_at_the_end_and_by_inspect(self):
        shown = runs.tdrm("inspect", self.run_folder).stdout
        for text in (self.first, shown):
            block = text[text.index("Performance: "):]
            for words in ("updates/s", "trained tok/s", "generated tok/s", "scored tok/s", "h per 10k updates", "% of the measured GEMM rate",
                          "2 ranks x 1 thread", "% CPU use", "MB/rank", "1 start,", "% of the time in commits", "imbalance"):
                self.assertIn(words, block)
            for name in self.figures["newest"]:
                self.assertIn(f"\n{name}: ", block)

    def test_damaged_figures_are_begun_anew(self):
        folder = self.root / "damaged"
        runs.finish(folder, more=["--until", "base"])
        (folder / "performance.json").write_text("{}")
        done = runs.finish(folder, more=["--until", "rolls"])
        self.assertIn("performance.json is damaged", done.stdout)
        self.assertEqual(json.loads((folder / "performance.json").read_text())["newest"], ["rolls"])

    def test_a_start_without_work_has_no_figures(self):
        before = (self.run_folder / "performance.json").read_bytes()
        again = runs.finish(self.run_folder)
        self.assertNotIn("Performance:", again.stdout)
        self.assertEqual((self.run_folder / "performance.json").read_bytes(), before)


class MaxTime(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="tdrm-time-"))
        self.addCleanup(shutil.rmtree, self.root, ignore_errors=True)

    def start(self, folder, *more, ranks):
        return runs.tdrm(*runs.run_arguments(folder, more=more), ranks=ranks)

    def test_a_start_whose_time_is_up_does_one_update_commits_and_ends_with_75(self):
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                folder = self.root / f"training{ranks}"
                for update in (1, 2):
                    done = self.start(folder, "--max-time", "0s", ranks=ranks)
                    self.assertEqual(done.returncode, 75, done.stdout)
                    self.assertIn(f"stopped because its time was up after update {update} of base (it is committed)", done.stdout)
                    self.assertTrue((folder / f"base/update-00000{update}").is_dir())
                    self.assertIn(f"{update} start", done.stdout[done.stdout.index("Performance: "):])
                runs.finish(folder, ranks=3 - ranks)
                self.assertEqual(runs.differences(runs.reference(), folder), [])

    def test_a_map_stage_stops_and_goes_on(self):
        folder = self.root / "map"
        runs.finish(folder, more=["--until", "base"])
        done = self.start(folder, "--max-time", "0:00", ranks=2)
        self.assertEqual(done.returncode, 75, done.stdout)
        self.assertIn("stopped because its time was up during rolls", done.stdout)
        runs.finish(folder, ranks=2)
        self.assertEqual(runs.differences(runs.reference(), folder), [])

    def test_a_start_stops_between_stages(self):
        folder, settings = self.root / "between", ["stages.base.updates=1"]
        for where in ("after update 1 of base", "before stage rolls"):
            done = runs.tdrm(*runs.run_arguments(folder, settings=settings, more=["--max-time", "0"]))
            self.assertEqual(done.returncode, 75, done.stdout)
            self.assertIn(f"stopped because its time was up {where}", done.stdout)
            self.assertEqual(done.stdout.count("Performance:"), 1)

    def test_time_that_is_long_enough_changes_nothing(self):
        folder = self.root / "long"
        done = self.start(folder, "--max-time", "1-12:00:00", "--until", "base", ranks=1)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_what_is_no_duration_ends_with_64(self):
        for text in ("soon", "3x", "-5", ""):
            done = self.start(self.root / "none", f"--max-time={text}", ranks=1)
            self.assertEqual(done.returncode, 64, done.stdout)
            self.assertIn("--max-time", done.stdout)
        self.assertIn('"soon" is no duration', self.start(self.root / "none", "--max-time", "soon", ranks=1).stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
