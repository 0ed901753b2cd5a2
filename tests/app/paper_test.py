"""configs/paper: plans of every row of the paper from config.json alone, and the README's figures."""

import json
import pathlib
import re
import shutil
import tempfile
import unittest

import runs

PAPER = runs.SOURCE / "configs/paper"
FILES = sorted(path.name for path in PAPER.glob("*.yaml") if path.name != "problems.yaml")
MODELS = runs.SOURCE / "tests/model/data"
STAGE = re.compile(r"^(\S+) +(\w+) +seed +(\d+) .*\n +(.+)$", re.MULTILINE)
NEED = re.compile(r"([\d.]+) (GB|MB) a rank(?:, most of it for (.+) \(([\d.]+) GB\))?: (fits into|doesn't fit into) 64 GB")


def dry_run(config, *more, cwd=runs.SOURCE):
    return runs.tdrm("run", config, "--dry-run", "--ranks", "8", "--memory", "64", *more, cwd=cwd)


def stages(text):
    """{stage: (GB, largest term, its GB, whether it fits)}; every stage has to say so."""
    found = {}
    for name, _, _, sentence in STAGE.findall(text):
        need = NEED.fullmatch(sentence)
        assert need, (name, sentence)
        found[name] = (float(need[1]) / (1 if need[2] == "GB" else 1000), need[3], need[4] and float(need[4]), need[5] == "fits into")
    return found


class Paper(unittest.TestCase):
    plans = {}

    def plan(self, file, device="cpu"):
        if (file, device) not in self.plans:
            done = dry_run(f"configs/paper/{file}", "--set", f"run.device={device}")
            self.assertEqual(done.returncode, 64, done.stdout)
            self.plans[file, device] = done.stdout
        return self.plans[file, device]

    def test_every_stage_says_whether_it_fits_and_what_takes_most(self):
        counts = {}
        for file in FILES:
            found = stages(self.plan(file))
            counts[file] = len(found)
            for stage, (gb, term, size, fits) in found.items():
                self.assertEqual(fits, gb <= 64, (file, stage))
                if stage != "steps":  # an import needs no model
                    self.assertTrue(term and size < gb, (file, stage))
        self.assertEqual(counts, {"value.yaml": 7, "best_of_n.yaml": 4, "search.yaml": 48, **{file: 9 for file in FILES if file.startswith("rl-")}})
        self.assertEqual(sum(file.startswith("rl-") for file in FILES), 8)

    def test_what_a_run_still_needs_is_listed_behind_the_plan(self):
        for file in FILES:
            text = self.plan(file)
            needed = text[text.index("a run can't start yet, since this isn't there:"):]
            self.assertIn("task.tokenizer: configs/paper/models/", needed)
            for model in set(re.findall(r"hf:(configs/paper/models/[\w.-]+)", (PAPER / file).read_text())):
                self.assertIn(f"hf:{model}: {model}/model.safetensors", needed, file)
        self.assertIn("stages.steps.file: data/paper/mistral_prm.jsonl isn't there", self.plan("value.yaml"))
        self.assertIn("task.files.math500: data/paper/math500/test.jsonl isn't there", self.plan("search.yaml"))

    def test_the_readme_has_every_stage_with_the_figures_that_are_said(self):
        told = set()
        for line in (PAPER / "README.md").read_text().splitlines():
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if len(cells) != 5 or not cells[1].endswith(".yaml"):
                continue
            fp32 = re.fullmatch(r"(\**)([\d.]+)\**, (.+) ([\d.]+)", cells[3])
            bf16 = re.fullmatch(r"(\**)([\d.]+)\**", cells[4])
            plan, device = stages(self.plan(cells[1])), stages(self.plan(cells[1], "emulated"))
            for stage in self.named(cells[2], plan):
                told.add((cells[1], stage))
                gb, term, size, fits = plan[stage]
                self.assertEqual((term, fits), (fp32[3], fp32[1] == "**"), (line, stage))
                self.assertAlmostEqual(gb, float(fp32[2]), delta=0.11, msg=line)
                self.assertAlmostEqual(size, float(fp32[4]), delta=0.11, msg=line)
                self.assertAlmostEqual(device[stage][0], float(bf16[2]), delta=0.11, msg=line)
                self.assertEqual(device[stage][3], bf16[1] == "**", line)
        everything = {(file, stage) for file in FILES for stage in stages(self.plan(file)) if stage != "steps"}
        self.assertEqual(told, everything)

    def named(self, cell, plan):
        """The stages that a cell of the README means."""
        if cell == "as above":
            return ["scalar_prm", "scalar_orm", "tdrm"]
        words = re.findall(r"`([^`]+)`", cell)
        found = []
        for word in words:
            part = re.search(r"(branch=\d+),|(problems=)", word)
            found += [name for name in plan if (part[0] in name if part else name == word)]
        self.assertTrue(found, cell)
        return found

    def test_a_run_itself_is_refused_with_what_is_missing(self):
        for file in FILES:
            done = runs.tdrm("run", f"configs/paper/{file}", cwd=runs.SOURCE)
            self.assertEqual(done.returncode, 74, done.stdout)
            self.assertIn("No such file", done.stdout)


class WithoutWeights(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tdrm-paper-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def plan(self, text):
        path = runs.write_config(self.folder, "run: {dir: unset}\n" + text)
        return runs.tdrm("run", path, "--dry-run", "--memory", "64", cwd=runs.SOURCE).stdout

    def test_sizes_of_config_json_are_those_of_the_weights(self):
        for name in ("llama", "glm4", "sequence_classifier", "gemma3"):  # of all families: model_test
            model = self.folder / name
            model.mkdir()
            task = "task: {kind: chain, min_steps: 2, max_steps: 3, splits: {a: 64}}\nstages:\n"
            stage = "  r: {{do: rollout, policy: 'hf:{0}', problems: a}}\n  v: {{do: value, init: 'hf:{0}', data: r}}\n"
            for file in ("config.json", "model.safetensors"):
                shutil.copy(MODELS / name / file, model)
            whole = self.plan(task + stage.format(model))
            (model / "model.safetensors").unlink()
            planned = self.plan(task + stage.format(model))
            needed = planned.index("a run can't start yet")
            self.assertIn(f"{model}/model.safetensors", planned[needed:])
            self.assertNotIn("can't start", whole)
            said = lambda plan: re.findall(r"most of it for .* \(.*\): fits", plan)  # the program itself takes some MB more or less
            self.assertEqual((len(said(whole)), said(whole)), (2, said(planned)), name)

    def test_models_and_vocabularies_that_nothing_tells_are_unknown(self):
        text = self.plan("""task: {kind: text, tokenizer: nowhere, files: {f: {path: none.jsonl}}, splits: {a: {file: f, problems: 5}, b: {file: f}}}
stages:
  base: {do: sft, problems: a, batch: 1}
  rolls: {do: rollout, policy: "hf:nowhere", problems: a}
""")
        self.assertEqual(text.count("memory unknown until its model is read"), 2, text)
        for missing in ("hf:nowhere: nowhere/config.json", "nowhere/tokenizer.json isn't there", "none.jsonl isn't there"):
            self.assertIn(missing, text)
        text = self.plan("""task: {kind: text, tokenizer: nowhere, files: {f: {path: none.jsonl}}, splits: {b: {file: f}}}
stages: {rolls: {do: rollout, policy: "hf:nowhere", problems: b}}
""")
        self.assertIn('the split "b" takes all problems of a file that can\'t be read yet', text)

    def test_what_is_there_but_damaged_is_still_refused(self):
        model = self.folder / "m"
        shutil.copytree(MODELS / "llama", model)
        (model / "model.safetensors").write_text("nothing")
        task = "task: {kind: chain, min_steps: 2, max_steps: 3, splits: {a: 64}}\n"
        self.assertNotIn("a rank", self.plan(task + f"stages: {{r: {{do: rollout, policy: 'hf:{model}', problems: a}}}}\n"))
        (model / "model.safetensors").unlink()
        (model / "config.json").write_text(json.dumps({"model_type": "bert"}))
        self.assertIn("bert", self.plan(task + f"stages: {{r: {{do: rollout, policy: 'hf:{model}', problems: a}}}}\n"))


class Gpus(unittest.TestCase):
    """configs/gpu: what its README says of each model is what a dry run says, without a GPU."""

    def test_the_readme_says_what_a_dry_run_says(self):
        folder = runs.SOURCE / "configs/gpu"
        rows = re.findall(r"^\| \S+ \| (\S+\.yaml) \| ([^|]+) \| ([^|]+) \|$", (folder / "README.md").read_text(), re.MULTILINE)
        self.assertEqual({row[0] for row in rows}, {path.name for path in folder.glob("*.yaml")} - {"grpo-gsm8k.yaml"})
        for file, *columns in rows:
            for ranks, column in zip((1, 8), columns):
                done = runs.tdrm("run", folder / file, "--dry-run", "--ranks", ranks, "--memory", "64", cwd=runs.SOURCE)
                self.assertEqual(done.returncode, 64, "its models aren't there")
                gb, term, size, _ = stages(done.stdout)["rule"]
                self.assertEqual(column.strip(), f"{gb} , {term} {size}".replace(" ,", ","), (file, ranks))


if __name__ == "__main__":
    unittest.main(verbosity=2)
