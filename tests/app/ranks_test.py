"""The same answer on any number of ranks."""

import pathlib
import shutil
import tempfile
import unittest

import h5py
import numpy as np

import runs


class AnyNumberOfRanks(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tdrm-ranks-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def test_every_stage_gives_the_same_run_on_1_2_and_4_ranks(self):
        one = runs.reference()
        kinds = {runs.json.loads(path.read_text())["kind"] for path in one.glob("*/stage.json")}
        self.assertEqual(kinds, {"sft", "rollout", "value", "best_of_n", "search", "annotate", "score", "rl", "evaluate"})
        for ranks in (2, 4):
            runs.finish(self.folder / str(ranks), ranks=ranks)
            self.assertEqual(runs.differences(one, self.folder / str(ranks)), [])

    def test_a_critic_that_finds_its_values_while_it_learns_gives_the_same_run_on_1_and_3_ranks(self):
        for ranks in (1, 3):
            runs.finish(self.folder / str(ranks), ranks=ranks, settings=["stages.critic.minibatches=1"], more=["--until", "critic"])
        self.assertEqual(runs.differences(self.folder / "1", self.folder / "3"), [])

    def test_dealt_state_is_committed_by_its_owners_and_goes_on_with_others(self):
        # Two parts of 2^24 parameters: with fewer everybody keeps everything.
        settings = ["stages.base.model={layers: 1, width: 256, heads: 4, ffn: 22000}", "stages.base.updates=3", "stages.base.batch=4",
                    "stages.base.eval.problems=''"]
        only, whole, dealt = ["--only", "base"], self.folder / "whole", self.folder / "dealt"
        runs.finish(whole, settings=settings, more=only)
        begun = runs.tdrm(*runs.run_arguments(dealt, settings=[*settings, "run.sum=dealt"], more=[*only, "--max-time", "0.01s"]), ranks=2)
        self.assertEqual(begun.returncode, 75, begun.stdout)
        with h5py.File(max(dealt.glob("base/update-*")) / "part-0001.h5") as file:
            self.assertIn("optimizer/exp_avg_sq", file)
        runs.finish(dealt, settings=settings, more=only)
        self.assertEqual([d for d in runs.differences(whole, dealt) if "config.yaml" not in d], [])

    def test_another_seed_gives_another_run_and_the_comparison_sees_it(self):
        runs.finish(self.folder / "seed", settings=["run.seed=2"])
        found = "\n".join(runs.differences(runs.reference(), self.folder / "seed"))
        for name in ("metrics.jsonl", "trajectories.h5 differs: ", "part-0000.h5 differs: model", "stage.json", "values.h5"):
            self.assertIn(name, found)

    def test_more_ranks_than_units_warns_and_changes_nothing(self):
        settings = ["task.splits.value=2", "task.splits.test=3"]
        for ranks in (1, 4):
            done = runs.finish(self.folder / str(ranks), ranks=ranks, settings=settings, more=["--until", "cands"])
            self.assertEqual("some stay idle" in done.stdout, ranks == 4, done.stdout)
        self.assertEqual(runs.differences(self.folder / "1", self.folder / "4"), [])

    def test_fast_sums_agree_to_a_millionth_at_equal_weights(self):
        def gradient(mode, ranks):
            folder = self.folder / f"{mode}{ranks}"
            runs.finish(folder, ranks=ranks, more=["--only", "base"],
                        settings=[f"run.sum={mode}", "stages.base.updates=1", "stages.base.unit_tokens=64", "stages.base.eval.problems=''"])
            with h5py.File(folder / "base/update-000001/checkpoint.h5") as file:  # the first moment is a multiple of it
                tensors = file["optimizer/exp_avg"]
                found = []
                tensors.visititems(lambda _, item: found.append(item[...].ravel()) if isinstance(item, h5py.Dataset) else None)
            return np.concatenate(found).astype(np.float64)

        exact = gradient("exact", 1)
        self.assertGreater(np.linalg.norm(exact), 0)
        for ranks in (1, 2, 4):
            difference = np.linalg.norm(gradient("fast", ranks) - exact) / np.linalg.norm(exact)
            self.assertLess(difference, 1e-6)
        np.testing.assert_array_equal(gradient("exact", 4), exact)


if __name__ == "__main__":
    unittest.main(verbosity=2)
