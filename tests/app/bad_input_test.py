"""What users get wrong: each ends by itself, with the right exit code and a message that says what, why and what to do."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

import runs

TINY = """
run: {dir: DIR}
task: {kind: chain, min_steps: 2, max_steps: 3, splits: {sft: 640, value: 20, rl: 20, test: 8}}
stages:
  base:  {do: sft, model: {layers: 1, width: 64, heads: 2}, problems: sft, batch: 32}
  rolls: {do: rollout, policy: base, problems: value, samples: 4}
  td:    {do: value, init: base, data: rolls, epochs: 1}
"""

WRONG = """
run: {dir: DIR, sede: 3, silence: soon}
task: {kind: chain, min_steps: 2, max_steps: 3, splits: {sft: 640, value: 9, rl: 20}}
stages:
  base:  {do: sft, modle: {layers: 1}, problems: sft, batch: many}
  rolls: {do: rolout, policy: base, problems: value}
  lost:  {do: rollout, policy: bsae, problems: rl}
  a:     {do: rollout, policy: b, problems: rl}
  b:     {do: sft, init: a, problems: sft}
  one:   {do: rl, policy: base, problems: rl, batch: {samples: 1}}
  odd:   {do: rl, policy: base, problems: rl, inner_epochs: 2, updates: 5}
  all:   {do: rl, policy: base, problems: rl, reward: {value: {at: mean}}}
"""


class BadInput(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tdrm-bad-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.config = runs.write_config(self.folder, TINY)

    def refuse(self, code, *messages, arguments=None, ranks=(1, 2), **options):
        """Starts on each number of ranks; each time it has to end with the code and say, once, all of the messages."""
        for number in ranks:
            with self.subTest(ranks=number):
                done = runs.tdrm(*(arguments or runs.run_arguments(self.folder / "run", config=self.config, **options)), ranks=number)
                self.assertEqual(done.returncode, code, done.stdout)
                for message in messages:
                    self.assertIn(message, done.stdout)
                self.assertEqual(done.stdout.count("tdrm: "), 1, done.stdout)
                self.assertNotIn("MPI_ABORT", done.stdout)
                said = done.stdout.split("tdrm: ", 1)[1]
                self.assertRegex(said, r"[.\n]", "a sentence")
        return done.stdout

    def test_all_problems_of_a_file_are_told_at_once(self):
        self.config = runs.write_config(self.folder, WRONG)
        text = self.refuse(64, "run.sede", "seed", "run.silence", "stages.base.modle", "model",
                           "stages.base.batch", "no stage kind \"rolout\"", "rollout", "no stage \"bsae\"", "base",
                           "wait for each other (none can be first)", "a group of 1 has no advantage",
                           "5 isn't a multiple of inner_epochs x minibatches, 2", "a reward takes the value of one state")
        self.assertRegex(text, r"has \d+ problems:")
        self.assertFalse((self.folder / "run").exists(), "nothing was made")

    def test_options_of_rl_that_would_mean_nothing_or_mislead_are_refused(self):
        for settings, says in ((["rule.advantage.lambda=0.9"], "which only the kinds gae and gated read"),
                               (["step.advantage.divide_by_std=false"], "which only the kind group reads"),
                               (["sum.reward.value.form=tie_break"], "could outweigh the rule"),
                               (["sum.reward.value={model: 'td[lambda=0.8]', form: tie_break, scale: probability, weight: 0.5}"], "could outweigh the rule"),
                               (["rule.guard=warn", "rule.reward.rule={normalise: group}"], "normalised parts")):
            settings = [f"stages.{setting}" for setting in settings]
            done = runs.tdrm(*runs.run_arguments(self.folder / "run", settings=settings, more=["--dry-run"]))
            self.assertEqual(done.returncode, 64, done.stdout)
            self.assertIn(says, done.stdout)
        done = runs.tdrm(*runs.run_arguments(self.folder / "run", settings=["stages.sum.reward.value={model: 'td[lambda=0.8]', form: tie_break, scale: probability}"],
                                             more=["--dry-run"]))
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_a_split_without_problems_is_refused(self):
        self.refuse(64, "'value' has 0 problems; it needs at least 1", settings=["task.splits.value=0"])
        self.refuse(64, "stages.rolls.problems", "valu", "value", settings=["stages.rolls.problems=valu"], ranks=(1,))

    def test_a_file_that_is_no_yaml_is_named_with_its_line(self):
        self.config.write_text("run: {dir: x\nstages: [")
        self.refuse(64, "run.yaml")

    def test_a_missing_file_is_named(self):
        self.config.unlink()
        self.refuse(64, "run.yaml")

    def test_unknown_stages_on_the_command_line_get_the_nearest_spelling(self):
        for flag in ("--only", "--until", "--redo"):
            self.refuse(64, "there is no stage \"rols\"", "rolls", more=[flag, "rols"], ranks=(1,))

    def test_a_stage_whose_input_was_never_run_says_so(self):
        self.refuse(64, "base isn't there", "Run that stage first.", more=["--only", "rolls"])

    def test_a_changed_finished_stage_lists_the_keys_and_offers_redo(self):
        runs.finish(self.folder / "run", config=self.config)
        before = {name: path.read_bytes() for name, path in runs.files(self.folder / "run").items() if name != "config.yaml"}
        self.refuse(64, "stage rolls is finished with other options", "options.samples: 4 -> 5", "--redo rolls", settings=["stages.rolls.samples=5"])
        after = {name: path.read_bytes() for name, path in runs.files(self.folder / "run").items() if name != "config.yaml"}
        self.assertEqual(after, before)
        runs.finish(self.folder / "run", config=self.config, settings=["stages.rolls.samples=5"], more=["--redo", "rolls"])
        runs.finish(self.folder / "fresh", config=self.config, settings=["stages.rolls.samples=5"])
        self.assertEqual(runs.differences(self.folder / "fresh", self.folder / "run"), [])

    def test_stages_that_leave_something_else_are_refused_before_anything_starts(self):
        self.config.write_text(TINY + "  bon: {do: best_of_n, data: base, values: [base]}\n"
                                    + "  find: {do: search, policy: td, value: td, problems: test}\n"
                                    + "  old: {do: rollout, policy: 'run:/nosuch/base', problems: test}\n"
                                    + "  raw: {do: rollout, policy: 'hf:/nosuch', problems: test}\n")
        wrong = ("stages.bon.values[0]: base is a stage of kind sft, which leaves a policy, but this takes a value model",
                 "stages.bon.data: base is a stage of kind sft, which leaves a policy, but this takes answers",
                 "stages.find.policy: td is a stage of kind value, which leaves a value model, but this takes a policy")
        self.refuse(64, *wrong, "run:/nosuch/base: there is no folder /nosuch/base", "hf:/nosuch: there is no folder /nosuch")
        self.refuse(64, *wrong, more=["--dry-run"], ranks=(1,))
        self.assertFalse((self.folder / "run").exists(), "nothing was made")

    def test_a_policy_with_a_critic_is_a_value_model_and_one_without_is_none(self):
        self.config.write_text(TINY + "  rl: {do: rl, policy: base, problems: rl, updates: 1, batch: {problems: 4, samples: 2}}\n"
                                    + "  bon: {do: best_of_n, data: rolls, values: [rl]}\n")
        self.refuse(64, "rl: the model has no value head", "Name a value model", ranks=(1,))

    def test_options_that_nothing_would_read_are_refused(self):
        self.config.write_text(TINY + "  rl: {do: rl, policy: base, problems: rl, updates: 1}\n")
        for setting, message in (("stages.rl.reward.value=0.3", "names no model (nothing would be added)"),
                                 ("stages.rl.reward.command=0.5", "names no program (nothing would be added)"),
                                 ("stages.rl.critic.optimizer.lr=0.1", "is described, but not there"),
                                 ("stages.rl.critic.target.kind=outcome", "is described, but not there"),
                                 ("stages.rl.lora.targets=[]", "targets is empty"),
                                 ("stages.rl.lora.keep_body=true", "keep_body is about adapters"),
                                 ("stages.base.init=hf:x", "has sizes of a fresh model")):
            with self.subTest(setting):
                settings = [setting] + (["stages.rl.lora.rank=2"] if "targets" in setting else [])
                self.refuse(64, message, settings=settings, more=["--dry-run"], ranks=(1,))

    def test_a_refused_start_leaves_the_run_file_as_it_was(self):
        runs.finish(self.folder / "run", config=self.config, more=["--until", "rolls"])
        before = (self.folder / "run/config.yaml").read_bytes()
        self.refuse(64, "stage rolls is finished with other options", settings=["stages.rolls.samples=5"])
        self.assertEqual((self.folder / "run/config.yaml").read_bytes(), before)
        planned = runs.tdrm(*runs.run_arguments(self.folder / "run", config=self.config, more=["--dry-run", "--redo", "rolls"]))
        self.assertRegex(planned.stdout, r"base .*\(is finished\)")
        self.assertRegex(planned.stdout, r"rolls .*\(is there, will be made again\)")

    def test_a_stage_that_failed_before_any_work_takes_corrected_options(self):
        runs.begin(self.folder / "run", config=self.config, more=["--until", "base"])
        for path in (self.folder / "run/base").iterdir():
            if path.name != "stage.json":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        runs.finish(self.folder / "run", config=self.config, settings=["stages.base.batch=64"], more=["--until", "base"])

    def test_numbers_that_mean_nothing_are_refused_on_the_command_line(self):
        for more in (["--ranks", "0"], ["--memory", "0"], ["--memory", "-1"], ["--memory", "nan"]):
            with self.subTest(more):
                self.refuse(64, more[0], arguments=runs.run_arguments(self.folder / "run", config=self.config, more=["--dry-run", *more]), ranks=(1,))

    def test_a_folder_that_cant_be_written_ends_with_74(self):
        (self.folder / "file").write_text("")
        for place in ("file/run", "/proc/tdrm"):
            self.refuse(74, "can't write", "Check that the folder may be written",
                        arguments=runs.run_arguments(self.folder / place, config=self.config))

    def test_a_run_in_use_by_another_start_is_refused_after_waiting(self):
        settings = ["stages.base.epochs=10000", "run.wait=1s"]
        with runs.Start(self.folder / "run", config=self.config, settings=settings, ranks=2) as start:
            self.assertTrue(start.wait_for(lambda: (self.folder / "run/base/stage.json").exists()), start.output())
            self.refuse(64, "is in use by host", "choose another run.dir", settings=settings)
            for pid in runs.children(start.process.pid)[:1]:  # rank 0 alone is gone; the other holds the lock until it dies, too
                os.kill(pid, signal.SIGKILL)
            self.assertEqual(start.wait(), 137, start.output())

    def test_a_rank_that_hangs_is_named_and_ends_the_job_with_71(self):
        settings = ["stages.base.epochs=10000", "run.silence=2s"]
        for rank in (0, 1):
            folder = self.folder / f"hang{rank}"
            with runs.Start(folder, config=self.config, settings=settings, ranks=2) as start:
                record = folder / f".ranks/rank-{rank:04}.record"
                self.assertTrue(start.wait_for(lambda record=record: record.exists() and "phase base" in record.read_text()), start.output())
                pids = runs.children(start.process.pid)
                victim = next(pid for pid in pids if f"OMPI_COMM_WORLD_RANK={rank}\0" in pathlib.Path(f"/proc/{pid}/environ").read_text())
                os.kill(victim, signal.SIGSTOP)
                self.assertEqual(start.wait(60), 71, start.output())
                self.assertIn(f"rank {rank} gives no sign of life: phase base", start.output())
                self.assertIn("it resumes", start.output())
                self.assertTrue(runs.wait_until(lambda pids=pids: not any(map(runs.alive, pids)), 20), "orphans")

    def test_a_rank_that_dies_ends_the_job(self):
        settings = ["stages.base.epochs=10000"]
        with runs.Start(self.folder / "run", config=self.config, settings=settings, ranks=2) as start:
            self.assertTrue(start.wait_for(lambda: (self.folder / "run/base/stage.json").exists()), start.output())
            pids = runs.children(start.process.pid)
            os.kill(pids[1], signal.SIGKILL)
            self.assertEqual(start.wait(60), 137, start.output())
            self.assertIn("exited on signal 9", start.output())
            self.assertTrue(runs.wait_until(lambda: not any(map(runs.alive, pids)), 20), "orphans")

    def test_a_full_disk_ends_with_74_wherever_it_strikes_and_the_run_goes_on(self):
        if os.getuid() != 0:
            self.skipTest("only root may mount a small disk")
        disk = self.folder / "disk"
        disk.mkdir()
        runs.finish(self.folder / "whole", config=self.config, settings=["stages.base.commit.at=8"])
        size = sum(path.stat().st_size for path in runs.files(self.folder / "whole").values())

        def mount(*options):
            return subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(disk)], check=False, capture_output=True)

        if mount("size=1m").returncode != 0:
            self.skipTest("mounting isn't allowed here")
        self.addCleanup(subprocess.run, ["umount", "-l", str(disk)], check=False)
        struck = set()
        steps = [max(48, size * part // 16 // 1024) for part in range(17)] + [4 * size // 1024]
        done = None
        for kilobytes in steps:  # the disk grows a little whenever it was full
            mount("remount", f"size={kilobytes}k")
            done = runs.tdrm(*runs.run_arguments(disk / "run", config=self.config, settings=["stages.base.commit.at=8"]), ranks=2 if len(struck) % 2 else 1)
            if done.returncode == 0:
                break
            self.assertEqual(done.returncode, 74, done.stdout)
            self.assertIn("Free some space", done.stdout)
            struck.add(done.stdout.rsplit("tdrm: ", 1)[1].split("(")[0])
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertGreaterEqual(len(struck), 3, struck)
        self.assertEqual(runs.differences(self.folder / "whole", disk / "run"), [])

    def test_the_plan_tells_sizes_and_memory_and_judges_them(self):
        arguments = runs.run_arguments(self.folder / "run", config=self.config, more=["--dry-run", "--ranks", "16"])
        plan = runs.tdrm(*arguments)
        self.assertEqual(plan.returncode, 0, plan.stdout)
        for part in ("ranks        16", "20 updates of 32 demonstrations", "20 problems of split value x 4 answers, at most", "tokens",
                     "a rank, most of it for", "estimate"):
            self.assertIn(part, plan.stdout)
        self.assertFalse((self.folder / "run").exists())
        big = ["--set", "stages.base.model.width=4096", "--set", "stages.base.model.layers=32", "--set", "stages.base.model.heads=32"]
        for ranks in (1, 2):
            refused = runs.tdrm(*arguments, *big, "--memory", "80", ranks=ranks)
            self.assertEqual(refused.returncode, 64, refused.stdout)
            self.assertIn("more than 80 GB a rank is needed (the job would be killed). base: ", refused.stdout)
            self.assertIn("most of it for exact sum", refused.stdout)
        self.assertEqual(runs.tdrm(*arguments, "--memory", "80").returncode, 0)

    def test_the_planned_memory_is_what_a_rank_uses_at_most(self):
        settings = ["stages.base.model.width=512", "stages.base.model.layers=4", "stages.base.model.heads=8", "stages.base.updates=2",
                    "stages.base.unit_tokens=4096", "stages.base.batch=400"]
        arguments = runs.run_arguments(self.folder / "run", config=self.config, settings=settings, more=["--until", "base"])
        plan = runs.tdrm(*arguments, "--dry-run").stdout
        planned = plan[plan.index("\nbase") :].split(" a rank")[0].split()[-2:]
        planned = float(planned[0]) * {"MB": 1e6, "GB": 1e9}[planned[1]]
        done = runs.tdrm(*arguments)
        self.assertEqual(done.returncode, 0, done.stdout)
        peak = json.loads((self.folder / "run/performance.json").read_text())["stages"]["base"]["peak_bytes"]
        self.assertLess(peak, 1.1 * planned)
        self.assertGreater(peak, 0.5 * planned)

    def test_explain_and_inspect_answer_good_and_bad_questions(self):
        table = [
            (0, ("explain", ""), "A run file has three parts"),
            (0, ("explain", "run.silence"), "end the job when a rank says nothing"),
            (0, ("explain", "rl.save_rollouts"), "rollouts/"),
            (0, ("explain", "task"), "one of countdown, chain, walk, text"),
            (0, ("explain", "task.splits"), "In countdown, chain, walk:"),
            (64, ("explain", "task.nosuch"), "no task has a key"),
            (64, ("explain", "rl.advantag"), "advantage"),
            (64, ("explain", "rolout"), "rollout"),
            (64, ("explain", "stages.base.batch"), "kind of the stage"),
            (64, ("inspect", str(self.folder)), "is no run folder"),
            (64, ("inspect", str(self.folder / "nothing")), "is no run folder"),
            (64, ("run",), "file"),
            (64, ("run", str(self.config), "--unknown"), "--unknown"),
            (64, ("walk",), ""),
        ]
        for code, arguments, message in table:
            with self.subTest(" ".join(arguments)):
                done = runs.tdrm(*arguments)
                self.assertEqual(done.returncode, code, done.stdout)
                self.assertIn(message, done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
