"""Pages made from a run of the real executable: whole, partial, damaged."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np
from constructed import ROOT

from tdrm_report import load_run
from tdrm_report.manifests import HASH_BELOW, hash_hex, manifest_problems
from tdrm_report.methods import comparisons
from tdrm_report.movement import Movement
from tdrm_report.solutions import chosen, figures_of
from tdrm_report.study import study_of
from tdrm_report.tables import Answers, Labels, Values

TDRM = os.environ.get("TDRM", str(ROOT / "build" / "tdrm"))
SMALL = {**os.environ, "OMP_NUM_THREADS": "1"}


def report(*arguments):
    return subprocess.run([ROOT / "tools" / "report", *map(str, arguments)], capture_output=True, text=True, env=SMALL)


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls._folder.cleanup)
        cls.folder = Path(cls._folder.name)
        cls.run_folder = cls.folder / "smoke"
        made = subprocess.run([TDRM, "run", str(ROOT / "configs" / "smoke.yaml"), "--set", f"run.dir={cls.run_folder}"],
                              capture_output=True, text=True, env=SMALL)
        assert made.returncode == 0, made.stderr
        cls.made = report(cls.run_folder)
        cls.cands = cls.run_folder / "cands"

    def test_one_page_with_all_sections_and_plots(self):
        self.assertEqual((self.made.returncode, self.made.stderr), (0, ""))
        page = Path(self.made.stdout.strip())
        self.assertEqual(page, self.run_folder.resolve() / "report" / "index.html")
        text = page.read_text()
        for words in ("What won", "Red flags", "Accuracy at test time", "Where the least value lies", "no_error_so_far", "One seed",
                      "Learning curves", "Are values what they say?", "Single solutions", "Facts of the run",
                      "Evaluated on 50 problems", "greedy search by td[lambda=0.8], 4 branches", "best of 16 by orm, last"):
            self.assertIn(words, text)
        words = re.sub(r'src="data:[^"]*"', "", text)
        self.assertNotRegex(words, r"https?:|<script|<link")  # self-contained
        self.assertNotRegex(words, r"\bnan\b|\binf\b")
        plots = {path.stem for path in (page.parent / "plots").iterdir()}
        self.assertEqual(plots, {"verdict", "scaling-bon", "compute-bon", "pass-at-k-score", "curves-sft", "curves-value", "curves-rl",
                                 "calibration", "values-by-step", "bias-by-step", "time-1"})
        self.assertEqual(text.count("data:image/png;base64,"), len(plots))

    def test_the_verdict_has_the_figures_of_the_results(self):
        run = load_run(self.run_folder)
        text = (self.run_folder / "report" / "index.html").read_text()
        for entry in run.stages["score"].results["policies"]:
            self.assertIn(f'<td>{entry["policy"]}</td><td>pass@1</td><td class="n">1</td><td class="n">{100 * np.mean(entry["per_problem"]):.1f}</td>', text)

    def test_selection_and_searches_are_compared_at_what_they_cost(self):
        run = load_run(self.run_folder)
        (found,) = comparisons(study_of([run])).values()
        searches = [method for method in found.methods.values() if method.is_search]
        self.assertEqual({method.family for method in searches}, {"greedy", "beam", "dvts", "smc", "mcts"})
        drawn = run.stages["greedy"].results["generated_tokens"] / 50
        ((_, point),) = found.methods["greedy search by td[lambda=0.8]"].curve()
        self.assertEqual(point.generated, drawn)
        candidates = Answers(self.cands)
        self.assertAlmostEqual(point.answers, drawn / (len(candidates.file["token/id"]) / len(candidates)))
        best = found.methods["best of N by orm, last"].curve()[-1][1]
        vote = found.methods["majority vote"].curve()[-1][1]
        self.assertEqual(best.policy_flop, vote.flop)
        self.assertGreater(best.flop, 1.5 * vote.flop)  # the value model is as large as the policy
        self.assertEqual(list(found.floor), ["pass@1 of base among the candidates (the run has no greedy decoding)"])

    def test_answers_read_block_by_block_are_those_of_the_file(self):
        answers = Answers(self.cands)
        with h5py.File(self.cands / "trajectories.h5") as file:
            np.testing.assert_array_equal(answers.share_right(), file["trajectory/outcome"][...].reshape(50, 16).mean(axis=1))
        steps, tail = answers.steps(3)
        self.assertEqual(len(steps), answers.step_offset[4] - answers.step_offset[3])
        self.assertNotIn("⟨", answers.prompt(3) + "".join(steps) + tail)
        self.assertIn(answers.reason(3), answers.attribute("verdict_reasons").replace("_", " ").split(","))

    def test_movements_are_sums_over_single_answers(self):
        answers = Answers(self.cands)
        labels, values = Labels(self.cands, answers), Values(self.run_folder / "bon" / "orm", answers)
        found = Movement()
        found.add(answers, values, labels)
        changes, last, losing = [], [], []
        for row in range(len(answers)):
            value, truth = values.row(row), labels.row(row)
            changes += list(np.abs(np.diff(value)))
            last.append(abs(answers.outcome[row] - value[-1]))
            losing += [b - a for a, b, s, t in zip(value, value[1:], truth, truth[1:]) if s > 0.5 > t]
        self.assertAlmostEqual(found.delta.mean, np.mean(changes), places=10)
        self.assertAlmostEqual(found.last.mean, np.mean(last), places=10)
        self.assertAlmostEqual(found.change["first_error"].mean, np.mean(losing), places=10)

    def test_means_by_step_and_least_values_are_those_of_single_answers(self):
        answers = Answers(self.cands)
        labels, values = Labels(self.cands, answers), Values(self.run_folder / "bon" / "orm", answers)
        found = Movement()
        found.add(answers, values, labels)
        self.assertEqual(list(found.known), ["outcome", "no_error_so_far"])
        rows = [row for row in range(len(answers)) if len(values.row(row)) > 2]
        index, truth, _ = found.known["no_error_so_far"][1].curve()
        self.assertAlmostEqual(truth[index == 2][0], np.mean([labels.row(row)[2] for row in rows]))
        at_end = [values.row(row)[-1] < values.row(row)[1:-1].min() for row in rows]
        self.assertEqual((found.least_at_end["all"].answers, found.least_at_end["all"].at_end), (len(rows), sum(at_end)))
        self.assertAlmostEqual(found.least_at_end["all"].chance, np.mean([1 / (len(values.row(row)) - 1) for row in rows]))
        wrong = [end for row, end in zip(rows, at_end) if answers.outcome[row] < 0.5]
        self.assertEqual((found.least_at_end["wrong"].answers, found.least_at_end["wrong"].at_end), (len(wrong), sum(wrong)))

    def test_hazards_are_shown_as_survival(self):
        answers = Answers(self.cands)
        chance, survival = Values(self.run_folder / "bon" / "orm", answers), Values(self.run_folder / "bon" / "orm", answers, hazards=True)
        together = survival.rows(0, len(answers))
        for row in range(0, len(answers), 29):
            expected = np.cumprod(1 - np.concatenate([[0], chance.row(row)[1:]]))
            np.testing.assert_allclose(survival.row(row), expected if len(expected) > 1 else 1 - chance.row(row))
            np.testing.assert_allclose(together[answers.state_offset[row]:answers.state_offset[row + 1]], survival.row(row), rtol=1e-9)
        found = Movement()
        found.add(answers, survival, Labels(self.cands, answers))
        self.assertEqual(list(found.known), ["no_error_so_far"])  # survival is no chance of success
        self.assertEqual(found.least_at_end["all"].answers, 0)

    def test_chosen_solutions_are_extremes(self):
        answers = Answers(self.cands)
        labels, values = Labels(self.cands, answers), Values(self.run_folder / "bon" / "orm", answers)
        figures = figures_of(answers, values.rows(0, len(answers)), labels.rows(0, len(answers)), 0, len(answers))
        for row in range(0, len(answers), 37):
            self.assertAlmostEqual(figures["last"][row], values.row(row)[-1])
            self.assertAlmostEqual(figures["drop"][row], -np.diff(values.row(row)).min())
        solutions = dict(chosen(answers, values, labels))
        (best, *_), (fooled, *_) = solutions["Right, and valued highly"], solutions["Wrong, yet valued highly: the value model was fooled"]
        self.assertEqual(figures["last"][best], figures["last"][figures["right"]].max())
        self.assertEqual(figures["last"][fooled], figures["last"][~figures["right"]].max())

    def test_hashes_are_those_of_the_executable(self):
        self.assertEqual(hash_hex(b""), "99aa06d3014798d86001c324468d497f")  # XXH3-128 of nothing, xxHash's documentation
        folders = [path.parent for path in self.run_folder.rglob("manifest.json")]
        self.assertGreater(len(folders), 15)
        for folder in folders:
            self.assertEqual(manifest_problems(folder, HASH_BELOW), [])

    def copy(self, name):
        return Path(shutil.copytree(self.run_folder, self.folder / name))

    def test_a_partial_run_gives_a_page(self):
        run = self.copy("partial")
        for stage in ("bon", "score", "greedy", "sum", *(f"search[kind={kind}]" for kind in ("beam", "dvts", "smc", "mcts"))):
            shutil.rmtree(run / stage)
        made = report(run)
        self.assertEqual(made.returncode, 0, made.stderr)
        text = (run / "report" / "index.html").read_text()
        self.assertIn("Not finished: bon (missing)", text)
        self.assertIn("No stage of kind evaluate, best_of_n or search is finished yet.", text)

    def test_a_damaged_file_is_named_left_out_and_makes_65(self):
        run = self.copy("damaged")
        path = run / "cands" / "trajectories.h5"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        made = report(run, "--out", self.folder / "page")
        self.assertEqual(made.returncode, 65)
        self.assertIn("cands/trajectories.h5 is damaged", made.stderr)
        text = (self.folder / "page" / "index.html").read_text()
        self.assertIn("cands/trajectories.h5 is damaged", text)
        self.assertIn("No value model has scored candidates yet", text)

    def test_answers_without_labels_are_whole_unless_their_manifest_names_labels(self):
        run = self.copy("unlabelled")
        (run / "cands" / "labels.h5").unlink()
        self.assertEqual(report(run, "--out", self.folder / "page").returncode, 65)
        manifest = run / "cands" / "manifest.json"
        content = json.loads(manifest.read_text())
        del content["hash"]
        content["files"] = [entry for entry in content["files"] if entry["name"] != "labels.h5"]
        text = json.dumps(content, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
        manifest.write_text(json.dumps({**content, "hash": hash_hex(text.encode())}))
        made = report(run, "--out", self.folder / "page")
        self.assertEqual(made.returncode, 0, made.stderr)

    def test_no_run_makes_64_and_no_page(self):
        for arguments in ((self.folder / "none",), (self.folder,), (), (self.run_folder, "--colour")):
            made = report(*arguments)
            self.assertEqual(made.returncode, 64, arguments)
            self.assertTrue(made.stderr.startswith("report: ") or "report: " in made.stderr)
        self.assertFalse((self.folder / "report").exists())

    def test_arguments_that_name_nothing_are_refused(self):
        twin = self.folder / "twin"
        shutil.copytree(self.run_folder, twin, ignore=shutil.ignore_patterns("report"))
        study = self.folder / "no.study.yaml"
        study.write_text("primary: []\n")
        for arguments, words in (([self.run_folder, "--out", self.folder / "p", "--baseline", "nosuch"], 'no arm is called "nosuch"'),
                                 ([self.run_folder, twin, "--out", self.folder / "p"], "are one run made twice"),
                                 ([self.run_folder, "--study", study, "--out", self.folder / "p"], "is no study file")):
            made = report(*arguments)
            self.assertEqual(made.returncode, 64, made.stderr)
            self.assertIn(words, made.stderr)
            self.assertNotIn("Traceback", made.stderr)

    def test_help_teaches(self):
        made = report("--help")
        self.assertEqual(made.returncode, 0)
        self.assertIn("examples:", made.stdout)


if __name__ == "__main__":
    unittest.main()
