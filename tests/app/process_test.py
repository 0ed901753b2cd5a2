"""Importing labelled solutions, training on them, and the process benchmarks, as users start them."""

import gzip
import json
import pathlib
import random
import re
import shutil
import tempfile
import unittest

import h5py
import numpy as np

import runs

SAMPLES = runs.SOURCE / "tests/task_process"


def chain_rows(count, seed):
    """Chains modulo 10 in the words of the built-in task, some with a wrong step: (problem, steps, first wrong step or -1)."""
    rng, rows = random.Random(seed), []
    for _ in range(count):
        numbers, operations = [rng.randrange(10) for _ in range(4)], [rng.choice("+-*") for _ in range(3)]
        wrong = rng.choice([-1, rng.randrange(3)])
        at, steps = numbers[0], []
        for t, (operation, number) in enumerate(zip(operations, numbers[1:])):
            result = {"+": at + number, "-": at - number, "*": at * number}[operation] % 10
            if t == wrong:
                result = (result + 1) % 10
            steps.append(f"{at} {operation} {number} = {result} ;")
            at = result
        question = " ".join(str(w) for pair in zip(numbers, operations + ["?"]) for w in pair)
        rows.append((question, steps, wrong))
    return rows


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


CONFIG = """
run: {{dir: RUN, seed: 1}}
task: {{kind: chain, min_steps: 3, max_steps: 3, splits: {{sft: 200, dev: 10}}}}
stages:
  base:  {{do: sft, model: {{layers: 1, width: 32, heads: 2}}, problems: sft, updates: 4, batch: 8}}
  steps: {{do: import, format: trl, file: {data}/trl.jsonl.gz, separator: ""}}
  soft:  {{do: import, format: trl, file: {data}/soft.jsonl, separator: ""}}
  first: {{do: import, format: processbench, file: {data}/train.jsonl, separator: ""}}
  prm:   {{do: value, init: base, data: steps, target: {{kind: step_label}}, updates: 6, batch: 8}}
  smooth: {{do: value, init: base, data: soft, target: {{kind: step_label}}, updates: 6, batch: 8}}
  tdsoft: {{do: value, init: base, data: soft, target: {{kind: td_lambda}}, updates: 6, batch: 8}}
  td:    {{do: value, init: base, data: first, target: {{kind: td_lambda, truncated: bootstrap}}, updates: 6, batch: 8}}
  picks: {{do: best_of_n, data: steps, values: [prm]}}
  firsts: {{do: best_of_n, data: first, values: [td]}}
  bench: {{do: processbench, value: prm, processbench: {data}/processbench, prmbench: {data}/prmbench,
          bigbench_mistake: {data}/bigbench_mistake, separator: ""}}
"""


class Process(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tdrm-process-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        data = self.data = self.folder / "data"
        self.rows = chain_rows(60, 1)
        write_lines(data / "trl.jsonl.gz", [{"prompt": q, "completions": s, "labels": [t != w for t in range(len(s))]} for q, s, w in self.rows])
        write_lines(data / "train.jsonl", [{"id": str(i), "problem": q, "steps": s, "label": w, **({"final_answer_correct": w < 0} if i % 10 else {})}
                                           for i, (q, s, w) in enumerate(self.rows)])
        write_lines(data / "soft.jsonl", [{"prompt": q, "completions": s, "labels": [0.125 if t == w else 0.75 for t in range(len(s))],
                                           **({"outcome": 0.5} if i % 2 else {})} for i, (q, s, w) in enumerate(self.rows)])
        tests = chain_rows(24, 2)
        for subset, part in (("gsm8k", tests[:16]), ("math", tests[16:])):
            write_lines(data / f"processbench/{subset}.jsonl",
                        [{"id": f"{subset}-{i}", "problem": q, "steps": s, "label": w} for i, (q, s, w) in enumerate(part)])
        write_lines(data / "prmbench/redundency.jsonl",
                    [{"original_question": q, "original_process": s, "modified_question": q, "modified_process": s, "error_steps": [] if w < 0 else [w + 1],
                      "idx": str(i), "classification": "redundency"} for i, (q, s, w) in enumerate(tests)])
        write_lines(data / "bigbench_mistake/word_sorting.jsonl",
                    [{"input": q, "steps": s, "mistake_index": None if w < 0 else w} for q, s, w in tests])
        self.config = runs.write_config(self.folder, CONFIG.format(data=data))

    def test_what_is_imported_trains_and_scores_alike_on_1_and_2_ranks(self):
        one, two = self.folder / "1", self.folder / "2"
        done = runs.finish(one, config=self.config)
        self.assertIn("kept solutions 60", done.stdout)
        self.check_import(one / "steps")
        self.check_soft(one)
        self.check_shown(one)
        self.check_figures(one / "bench")
        self.check_calibration(one, "steps", "picks", "prm")
        self.check_calibration(one, "first", "firsts", "td")
        runs.finish(two, ranks=2, config=self.config)
        self.assertEqual(runs.differences(one, two), [])
        self.check_again_from_predictions(one / "bench")

    def check_import(self, folder):
        problems = list(dict.fromkeys(q for q, _, _ in self.rows))
        by_problem = [row for p in problems for row in self.rows if row[0] == p]
        with h5py.File(folder / "trajectories.h5") as file, h5py.File(folder / "labels.h5") as labels:
            at, text = file["vocabulary/text_offset"][...], file["vocabulary/text"][...].tobytes()
            words = {w: text[at[i]:at[i + 1]].decode().strip() for i, w in enumerate(file["vocabulary/id"][...])}
            tokens, steps = file["trajectory/token_offset"][...], file["trajectory/step_offset"][...]
            states, truth, right = (labels[k][...] for k in ("state/offset", "state/truth", "step/right"))
            self.assertEqual(len(tokens) - 1, len(by_problem))
            for row, (question, solution, wrong) in enumerate(by_problem):
                ids = [words[i] for i in file["token/id"][tokens[row]:tokens[row + 1]]]
                ends = file["step/end"][steps[row]:steps[row + 1]]
                self.assertEqual([" ".join(ids[b:e]) for b, e in zip([0, *ends[:-1]], ends)], solution)
                self.assertEqual(ids[ends[-1]:], ["END"])
                expected = [t != wrong for t in range(len(solution))]
                self.assertEqual(list(right[steps[row]:steps[row + 1]]), expected)
                mine = truth[states[row]:states[row + 1]]
                self.assertTrue(np.isnan(mine[0]))
                self.assertEqual(list(mine[1:]), expected)
                self.assertEqual(file["trajectory/outcome"][row], expected[-1])
        self.assertEqual(json.loads((folder / "results.json").read_text())["counts"]["rows"], 60)

    def check_shown(self, run):
        """tdrm show: nobody labels a question, outcomes may be chances or not known, benchmarks keep no answers."""
        page = runs.tdrm("show", run / "picks", "0").stdout
        question, solution, _ = self.rows[0]
        self.assertIn(f"prompt  {question}\n", page)
        for t, step in enumerate(solution, 1):
            self.assertRegex(page, rf"(?m)^ +{t}  0\.\d+ .*  {re.escape(step)}$")
        self.assertRegex(page, r"(?m)^ +0  .* \?  \(nothing written yet\)$")
        self.assertIn("right with chance 0.", runs.tdrm("show", run / "soft", "0").stdout)
        self.assertRegex(runs.tdrm("show", run / "firsts", "0").stdout, r"(?m)^answer 0  \?")
        self.assertEqual(runs.tdrm("show", run / "bench").returncode, 64)

    def check_soft(self, run):
        """Soft labels and outcomes are stored as they are, and are what the model is trained towards."""
        with h5py.File(run / "soft/trajectories.h5") as file, h5py.File(run / "soft/labels.h5") as labels:
            truth, right, outcome = labels["state/truth"][...], labels["step/right"][...], file["trajectory/outcome"][...]
        steps = truth[~np.isnan(truth)]
        self.assertEqual(set(steps), {0.125, 0.75})
        np.testing.assert_array_equal(right, (steps > 0.5).astype(np.uint8))
        self.assertEqual(set(outcome), {0.125, 0.5, 0.75})
        counts = json.loads((run / "soft/results.json").read_text())["counts"]
        self.assertEqual((counts["steps soft"], counts["outcome soft"]), (len(steps), 60))
        # No constant has less than the entropy of its label; nor has any model.
        for stage, least in (("smooth", 0.37), ("tdsoft", 0.37)):
            lines = [json.loads(line) for line in (run / stage / "metrics.jsonl").read_text().splitlines()]
            self.assertGreater(min(line["eval/log_loss"] for line in lines if "eval/log_loss" in line), least)

    def check_calibration(self, run, data, selection, model):
        """Values are judged by what was imported, not by the truth that the task could compute, and only where something is known."""
        found = json.loads((run / selection / "results.json").read_text())["values"][model]
        with h5py.File(run / data / "trajectories.h5") as file, h5py.File(run / data / "labels.h5") as labels, \
                h5py.File(run / selection / model / "values.h5") as values:
            value = 1 / (1 + np.exp(-values["state/value"][...].astype(np.float64)))
            states = np.diff(labels["state/offset"][...])
            outcome = np.repeat(file["trajectory/outcome"][...].astype(np.float64), states)
            outcome[np.repeat(labels["trajectory/outcome_known"][...] == 0, states)] = np.nan
            against = {"truth": labels["state/truth"][...].astype(np.float64), "outcome": outcome}
        self.assertEqual(found["states"], len(value))
        for name, truth in against.items():
            known = ~np.isnan(truth)
            self.assertEqual(sum(b["count"] for b in found[name]["bins"]), known.sum())
            self.assertAlmostEqual(found[name]["brier"], np.mean((value - truth)[known] ** 2), places=12)
        self.assertLess(np.sum(~np.isnan(against["truth"])), len(value))  # nobody labels a question

    def check_figures(self, folder):
        """The figures from the stored logits, by the published formulas."""
        found = json.loads((folder / "results.json").read_text())["benchmarks"]
        with h5py.File(folder / "values.h5") as file:
            subset = [s.decode() for s in file["row/subset"][...]]
            label, offset = file["row/first_error"][...], file["row/step_offset"][...]
            value = 1 / (1 + np.exp(-file["step/value"][...].astype(np.float64)))
        self.assertGreater(np.ptp(value), 0)
        threshold = found["processbench"]["chosen"]["threshold"]
        hits = {"gsm8k": ([], []), "math": ([], [])}
        for row, name in enumerate(subset):
            if name in hits:
                wrong = np.flatnonzero(value[offset[row]:offset[row + 1]] < threshold)
                hits[name][int(label[row] < 0)].append((wrong[0] if len(wrong) else -1) == label[row])
        for name, (error, right) in hits.items():
            a, b = np.mean(error), np.mean(right)
            self.assertAlmostEqual(found["processbench"]["chosen"]["subsets"][name]["f1"], 2 * a * b / (a + b) if a + b else 0, places=9)
        self.assertEqual(found["prmbench"]["fixed"]["subsets"]["redundency"]["rows"], 24)
        self.assertEqual(found["bigbench_mistake"]["rows"], 24)

    def check_again_from_predictions(self, folder):
        """What a stage wrote down gives the same figures without a model."""
        config = runs.write_config(self.folder, f"""
run: {{dir: RUN, seed: 1}}
task: {{kind: chain, splits: {{dev: 10}}}}
stages:
  again: {{do: processbench, predictions: {folder}/predictions.jsonl, processbench: {self.data}/processbench, prmbench: {self.data}/prmbench,
          bigbench_mistake: {self.data}/bigbench_mistake}}
""")
        runs.finish(self.folder / "again", config=config)
        once, again = (json.loads((f / "results.json").read_text())["benchmarks"] for f in (folder, self.folder / "again/again"))
        self.assertEqual(once, again)

    def test_a_changed_file_is_another_stage(self):
        folder = self.folder / "changed"
        runs.finish(folder, config=self.config, more=["--only", "first"])
        rows = (self.data / "train.jsonl").read_text()
        (self.data / "train.jsonl").write_text(rows[:rows.rfind("\n", 0, -1) + 1])
        done = runs.tdrm(*runs.run_arguments(folder, config=self.config, more=["--only", "first"]))
        self.assertEqual(done.returncode, 64, done.stdout)
        self.assertIn("content", done.stdout)

    def test_outcomes_and_labels_that_arent_there_are_refused(self):
        done = runs.tdrm(*runs.run_arguments(self.folder / "o", config=self.config, settings=["stages.td.target.truncated=fail"], more=["--until", "td"]))
        self.assertEqual(done.returncode, 65, done.stdout)
        self.assertIn("the outcome of 6 of 60 solutions in first isn't known", done.stdout)

    def test_bad_input_names_the_line_and_a_model_or_predictions_are_needed(self):
        with open(self.data / "train.jsonl", "a") as file:
            file.write('{"problem": "1 ?", "steps": ["1"], "label": 7}\n')
        done = runs.tdrm(*runs.run_arguments(self.folder / "b", config=self.config, more=["--only", "first"]), )
        self.assertEqual(done.returncode, 65, done.stdout)
        self.assertIn("train.jsonl line 61: the label 7 is outside of the 1 steps", done.stdout)
        runs.finish(self.folder / "s", config=self.config, settings=["stages.first.broken=skip"], more=["--only", "first"])
        counts = json.loads((self.folder / "s/first/results.json").read_text())["counts"]
        self.assertEqual((counts["kept solutions"], counts["dropped: broken row"]), (60, 1))
        done = runs.tdrm(*runs.run_arguments(self.folder / "n", config=self.config, settings=["stages.bench.predictions=nowhere.jsonl"]))
        self.assertEqual(done.returncode, 64, done.stdout)
        self.assertIn("exactly one of value and predictions", done.stdout)
        self.assertIn("nowhere.jsonl isn't there", done.stdout)

    def test_labels_that_are_no_probabilities_and_parquet_files_are_refused(self):
        cases = [('"labels": [0.5, 1.5]', "the label 1.5"), ('"labels": [0.5, NaN]', ""), ('"labels": [0.5, 1], "outcome": -1', "the outcome -1")]
        for i, (line, says) in enumerate(cases):
            (self.data / "soft.jsonl").write_text('{"prompt": "1 ?", "completions": ["1", "2"], ' + line + "}\n")
            done = runs.tdrm(*runs.run_arguments(self.folder / f"b{i}", config=self.config, more=["--only", "soft"]))
            self.assertEqual(done.returncode, 65, done.stdout)
            self.assertIn(f"soft.jsonl line 1: {says}", done.stdout)
        (self.data / "soft.jsonl").write_bytes(b"PAR1\x15\x04\x15")
        done = runs.tdrm(*runs.run_arguments(self.folder / "p", config=self.config, more=["--only", "soft"]))
        self.assertEqual(done.returncode, 65, done.stdout)
        self.assertIn("tools/parquet_to_jsonl.py", done.stdout)


TEXT = """
run: {{dir: RUN, seed: 1}}
task: {{kind: text, tokenizer: {tokenizer}, prompt: "{{question}} = ", end: "{end}", probe: "{end}", data: {data},
       files: {{all: {{path: sft.jsonl, question: q, answer: a, solution: s}}}}, splits: {{sft: {{file: all}}}}}}
stages:
  base:  {{do: sft, model: {{layers: 1, width: 32, heads: 2}}, problems: sft, updates: 2, batch: 4}}
  data:  {{do: import, format: prm800k, file: {samples}/prm800k.jsonl}}
  prm:   {{do: value, init: base, data: data, target: {{kind: step_label}}, updates: 4, batch: 4, select: {{holdout: 0}}}}
  bench: {{do: processbench, value: prm, limit: 6, processbench: {samples}/../benchmarks/processbench}}
"""


class Text(unittest.TestCase):
    """The same with a tokenizer: ids of steps, end positions, equal results."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tdrm-process-text-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def test_steps_of_text_end_at_exact_tokens_and_score_alike_on_1_and_2_ranks(self):
        write_lines(self.folder / "sft.jsonl", [{"q": f"{i} + 1", "a": str(i + 1), "s": f"Add 1.\n\n{i + 1}"} for i in range(8)])
        tokenizer = runs.SOURCE / "tests/text/data/llama3"
        end = json.loads((tokenizer / "tokenizer.json").read_text())["added_tokens"][0]["content"]
        config = runs.write_config(self.folder, TEXT.format(tokenizer=tokenizer, end=end, data=self.folder, samples=SAMPLES / "samples"))
        one, two = self.folder / "1", self.folder / "2"
        runs.finish(one, config=config)
        with h5py.File(one / "data/trajectories.h5") as file, h5py.File(one / "data/labels.h5") as labels:
            at, text = file["vocabulary/text_offset"][...], file["vocabulary/text"][...].tobytes()
            words = {w: text[at[i]:at[i + 1]] for i, w in enumerate(file["vocabulary/id"][...])}
            prompt = b"".join(words[i] for i in file["problem/prompt_token"][:file["problem/prompt_offset"][1]]).decode()
            self.assertTrue(prompt.endswith("What is $2+3\\cdot 4$? = "), prompt)
            begin, stop = file["trajectory/token_offset"][:2]
            ids = file["token/id"][begin:stop]
            first, second = file["step/end"][:2]
            self.assertEqual(b"".join(words[i] for i in ids[:first]), b"I multiply first.\n\n")
            self.assertEqual(b"".join(words[i] for i in ids[first:second]), b"$3\\cdot 4=7$.\n\n")
            self.assertEqual(second, len(ids), "the solution goes on, so there is no end token")
            self.assertEqual(file.attrs["template"], "plain")
            self.assertEqual([str(x) for x in labels["state/truth"][:3]], ["nan", "1.0", "0.0"])
            self.assertEqual(list(labels["trajectory/outcome_known"][:2]), [1, 0])
        runs.finish(two, ranks=2, config=config)
        self.assertEqual(runs.differences(one, two), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
