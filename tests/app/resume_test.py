"""A run that is killed at any instant and started again is the same run. `resume_test.py long` kills more often."""

import os
import pathlib
import shutil
import signal
import sys
import tempfile
import unittest

import runs

# A commit after nearly every update: most kills meet one.
TRAINED = ("base", "td", "orm", "rule")
OFTEN = [f"stages.{stage}.commit.every=0.01s" for stage in TRAINED]
RANDOM_KILLS = [(1, 5)]  # (seed, kills)
# Stages of the smoke run that kills are spread over: one of each kind, in the order of the run.
KILLED = ("base", "rolls", "cands", "td[lambda=0]", "orm", "bon", "greedy", "search[kind=mcts]", "tries", "mc", "rule", "step", "critic", "tree")


class Resume(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tdrm-resume-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def assert_same(self, one, other):
        self.assertEqual(runs.differences(one, other), [])

    def test_kills_of_ranks_and_launchers_leave_no_trace(self):
        for seed, kills in RANDOM_KILLS:
            with self.subTest(seed=seed):
                folder = self.folder / str(seed)
                hit, within = runs.run_with_kills(folder, kills, seed, KILLED, settings=OFTEN)
                print(f"seed {seed}: kills in {[sorted(stages) for stages in hit]}, {within} of them left a half-written file", flush=True)
                self.assertEqual(len(hit), kills)
                self.assertGreater(len(set().union(*hit)), kills // 2)
                self.assert_same(runs.reference(settings=OFTEN), folder)

    def test_a_kill_after_the_last_commit_leaves_what_an_undisturbed_end_leaves(self):
        more = ["--only", "base"]
        settings = ["stages.base.commit.every=0.001s", "stages.base.commit.keep=3"]
        runs.finish(self.folder / "one", more=more, settings=settings)
        shutil.copytree(self.folder / "one", self.folder / "other")
        stage = self.folder / "other/base"
        # As if it had been killed before the old commits were removed and the stage was noted as done.
        shutil.copytree(stage / "update-000125", stage / "update-000124")
        record = runs.json.loads((stage / "stage.json").read_text())
        self.assertTrue(record["done"])
        runs.begin(self.folder / "unfinished", more=more, settings=settings)
        shutil.copy(self.folder / "unfinished/base/stage.json", stage / "stage.json")
        runs.finish(self.folder / "other", more=more, settings=settings)
        self.assert_same(self.folder / "one", self.folder / "other")

    def test_a_kill_between_a_table_and_the_removal_of_its_parts_leaves_no_parts(self):
        shutil.copytree(runs.reference(), self.folder / "run")
        for table in ("rolls", "bon/orm", "score/base", "greedy"):
            (self.folder / "run" / table / "parts").mkdir()
            (self.folder / "run" / table / "manifest.json.tmp").write_text("{")
        for stage in ("rolls", "bon", "score", "greedy"):
            begun = self.folder / "begun"
            shutil.copytree(runs.reference(), begun, ignore=lambda folder, names, without=stage: [name for name in names if name == without])
            runs.begin(begun, more=["--only", stage])
            record = (begun / stage / "stage.json").read_text()
            shutil.rmtree(begun)
            self.assertFalse(runs.json.loads(record)["done"])
            (self.folder / "run" / stage / "stage.json").write_text(record)
        runs.finish(self.folder / "run")
        self.assert_same(runs.reference(), self.folder / "run")

    def test_a_stop_request_commits_ends_with_75_and_goes_on(self):
        """To the launcher as Slurm's script does it, and to one rank as srun does it."""
        settings = ["stages.rolls.samples=64"]
        for ranks, number, victim, stage in ((2, signal.SIGUSR1, "launcher", "base"), (2, signal.SIGTERM, "rank", "rolls"),
                                             (1, signal.SIGTERM, "rank", "base")):
            with self.subTest(ranks=ranks, stage=stage):
                folder = self.folder / f"{ranks}{stage}"
                with runs.Start(folder, ranks=ranks, settings=settings) as start:
                    begun = folder / ("base/stage.json" if stage == "base" else "rolls/parts")
                    self.assertTrue(start.wait_for(begun.exists), start.output())
                    os.kill(start.process.pid if victim == "launcher" else runs.children(start.process.pid)[-1], number)
                    self.assertEqual(start.wait(), 75, start.output())
                    self.assertEqual(start.output().count("tdrm: stopped on request"), 1, start.output())
                    self.assertNotIn("MPI_ABORT", start.output())
                self.assertEqual(runs.half_done(folder), [])
                runs.finish(folder, settings=settings, more=["--until", "rolls"])
                self.assert_same(self.undisturbed(settings), folder)

    def undisturbed(self, settings):
        folder = self.folder / "undisturbed"
        if not folder.exists():
            runs.finish(folder, settings=settings, more=["--until", "rolls"])
        return folder

    def test_what_reinforcement_learning_carries_along_comes_back(self):
        """The critic, what values explained, the problems that refills drew, what the guard saw: stopped after each batch of answers."""
        only = ["--only", "critic"]
        for number, settings in enumerate(([], ["stages.critic.advantage.kind=shrinkage", "stages.critic.lora={rank: 2}"])):
            with self.subTest(settings=settings):
                whole, stopped = self.folder / f"{number}whole", self.folder / f"{number}stopped"
                for folder in (whole, stopped):
                    shutil.copytree(runs.reference(), folder)
                    shutil.rmtree(folder / "critic")
                runs.finish(whole, settings=settings, more=only)
                codes = []
                while not codes or codes[-1] == 75:
                    arguments = runs.run_arguments(stopped, settings=settings, more=[*only, "--max-time", "0s"])
                    codes.append(runs.tdrm(*arguments, ranks=1 + len(codes) % 2).returncode)
                self.assertEqual(codes, [75] * 5 + [0], "10 updates, two of each batch")
                self.assert_same(whole, stopped)

    def test_an_interrupt_from_the_keyboard_stops_as_a_request_does(self):
        settings = ["stages.rolls.samples=64"]
        with runs.Start(self.folder / "run", ranks=1, settings=settings) as start:
            self.assertTrue(start.wait_for((self.folder / "run/rolls/parts").exists), start.output())
            os.kill(runs.children(start.process.pid)[-1], signal.SIGINT)
            self.assertEqual(start.wait(), 75, start.output())
        runs.finish(self.folder / "run", settings=settings, more=["--until", "rolls"])
        self.assert_same(self.undisturbed(settings), self.folder / "run")

    def test_more_updates_go_on_and_give_what_they_give_from_the_start(self):
        def settings(updates):
            return [f"stages.rule.updates={updates}", "stages.rule.optimizer.warmup=0", "stages.critic.updates=10"]

        more = ["--until", "rule"]
        runs.finish(self.folder / "grown", settings=settings(5), more=more)
        runs.finish(self.folder / "grown", settings=settings(10), more=more, ranks=2)
        runs.finish(self.folder / "whole", settings=settings(10), more=more)
        self.assert_same(self.folder / "whole", self.folder / "grown")

    def test_more_updates_under_another_schedule_are_refused(self):
        more = ["--until", "base"]
        runs.finish(self.folder / "run", settings=["stages.base.updates=20"], more=more)
        refused = runs.tdrm(*runs.run_arguments(self.folder / "run", settings=["stages.base.updates=40"], more=more))
        self.assertEqual(refused.returncode, 64, refused.stdout)
        self.assertIn("options.optimizer.horizon: 20 -> 40", refused.stdout)
        runs.finish(self.folder / "run", settings=["stages.base.updates=40", "stages.base.optimizer.horizon=20"], more=more)
        self.assertEqual(len(runs.lines(self.folder / "run/base/metrics.jsonl")), 40)

    def test_appended_stages_go_on(self):
        runs.finish(self.folder / "run", more=["--until", "cands"])
        before = (self.folder / "run/cands/trajectories.h5").stat().st_mtime_ns
        runs.finish(self.folder / "run", ranks=2)
        self.assertEqual((self.folder / "run/cands/trajectories.h5").stat().st_mtime_ns, before)
        self.assert_same(runs.reference(), self.folder / "run")

    def test_redoing_a_stage_in_the_middle_remakes_what_depends_on_it(self):
        shutil.copytree(runs.reference(), self.folder / "run")
        before = {path.parent.name: path.stat().st_mtime_ns for path in (self.folder / "run").glob("*/stage.json")}
        runs.finish(self.folder / "run", more=["--redo", "td[lambda=0.8]"])
        made = {name for name, time in before.items() if (self.folder / "run" / name / "stage.json").stat().st_mtime_ns != time}
        searches = {f"search[kind={kind}]" for kind in ("beam", "dvts", "smc", "mcts")}
        self.assertEqual(made, {"td[lambda=0.8]", "bon", "greedy", "sum", "step", "critic", "score"} | searches)
        self.assert_same(runs.reference(), self.folder / "run")


if __name__ == "__main__":
    if "long" in sys.argv[1:]:
        RANDOM_KILLS = [(seed, 21) for seed in (11, 12, 13)]
        unittest.main(argv=[sys.argv[0], "Resume.test_kills_of_ranks_and_launchers_leave_no_trace"], verbosity=2)
    unittest.main(argv=sys.argv, verbosity=2)
