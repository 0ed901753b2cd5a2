"""A whole experiment on problems from files, and what is said if they can't be used."""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import h5py
import numpy as np

import runs

CHAT = pathlib.Path(__file__).with_name("text.yaml")
PLAIN = runs.SOURCE / "configs/gsm8k-sample.yaml"
PROMPT = "Question: {question}\nAnswer:"


def byte_of_letter():
    """The bytes that the letters of byte-level tokens stand for: printable ones for themselves, the others from U+0100 on."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in shown]
    return {**{chr(b): b for b in shown}, **{chr(256 + i): b for i, b in enumerate(hidden)}}


def bytes_of_tokens(folder):
    """What each id of a byte-level tokenizer adds to a text; nothing for special tokens."""
    tokenizer, letters = json.loads((folder / "tokenizer.json").read_text()), byte_of_letter()
    found = {id_: bytes(letters[letter] for letter in token) for token, id_ in tokenizer["model"]["vocab"].items()}
    return found | {token["id"]: b"" if token["special"] else token["content"].encode() for token in tokenizer["added_tokens"]}


def written(run, tokens):
    """(question, texts of the steps, first state) of every answer of a trajectories file."""
    with h5py.File(run / "cands/trajectories.h5") as file:
        prompt_at, prompts = file["problem/prompt_offset"][()], file["problem/prompt_token"][()]
        token_at, ids = file["trajectory/token_offset"][()], file["token/id"][()]
        step_at, ends = file["trajectory/step_offset"][()], file["step/end"][()]
        for row, problem in enumerate(file["trajectory/problem"][()]):
            prompt = b"".join(tokens[i] for i in prompts[prompt_at[problem]:prompt_at[problem + 1]]).decode()
            question = prompt.split("user\n", 1)[1].removesuffix("\nassistant\n")
            mine = [0, *ends[step_at[row]:step_at[row + 1]]]
            steps = [b"".join(tokens.get(i, b"") for i in ids[token_at[row] + a:token_at[row] + b]).decode(errors="replace")
                     for a, b in zip(mine, mine[1:])]
            yield question, steps, step_at[row] + row


class TextTasks(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tdrm-text-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def run_in_source(self, folder, ranks=1, **options):
        done = runs.tdrm(*runs.run_arguments(folder, **options), ranks=ranks, cwd=runs.SOURCE)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done

    def test_every_stage_runs_and_gives_the_same_on_1_and_2_ranks(self):
        one, two = self.folder / "one", self.folder / "two"
        self.run_in_source(one, config=CHAT)
        self.run_in_source(two, config=CHAT, ranks=2)
        self.assertEqual(runs.differences(one, two), [])
        with h5py.File(one / "cands/trajectories.h5") as file:
            self.assertRegex(file.attrs["template"], "^chat:[0-9a-f]{32}$")
        page = runs.tdrm("show", one / "cands", "0", "--count", "1").stdout  # in the words of the tokenizer
        self.assertIn("<|im_start|>user\n", page)
        self.assertIn("\nanswer 0  ", page)
        loss = [line["loss"] for line in runs.lines(one / "base/metrics.jsonl")]
        self.assertLess(loss[-1], 0.9 * loss[0])

    def test_plain_prompts_do_without_a_chat_template(self):
        self.run_in_source(self.folder / "run", config=PLAIN, more=["--until", "rolls"])

    def test_values_are_read_without_the_system_turn(self):
        """With the system turn hidden or shown, answers are the same and values aren't."""
        found = {}
        for sees in ("false", "true"):
            self.run_in_source(self.folder / sees, config=CHAT, more=["--until", "bon"], settings=[f"task.value_sees_system={sees}"])
            with h5py.File(self.folder / sees / "cands/trajectories.h5") as file:
                answers = file["token/id"][()].tolist()
            with h5py.File(self.folder / sees / "bon/td/values.h5") as file:
                found[sees] = (answers, file["state/value"][()].tolist())
        self.assertEqual(found["false"][0], found["true"][0])
        self.assertNotEqual(found["false"][1], found["true"][1])

    def test_conversations_are_learnt(self):
        chats = [{"messages": [{"role": "user", "content": f"{i} + 1?"}, {"role": "assistant", "content": f"It is {i + 1}."},
                               {"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes."}]} for i in range(40)]
        (self.folder / "chats.jsonl").write_text("\n".join(json.dumps(chat) for chat in chats))
        settings = [f"task.files.chats={{path: {self.folder}/chats.jsonl, chat: messages}}", "task.splits.chats={file: chats}",
                    "stages.base.problems=chats", "stages.base.epochs=4"]
        self.run_in_source(self.folder / "run", config=CHAT, settings=settings, more=["--only", "base"])
        loss = [line["loss"] for line in runs.lines(self.folder / "run/base/metrics.jsonl")]
        self.assertLess(loss[-1], 0.8 * loss[0])

    def test_variables_of_the_template_reach_it_and_are_part_of_identity(self):
        shutil.copytree(runs.SOURCE / "tests/task_text/data/chatml", self.folder / "model")
        (self.folder / "model/chat_template.jinja").write_text(
            "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% if enable_thinking is false %}{{ 'Be ' ~ mood[1].name }}{% endif %}{% endif %}")
        tokenizer = f"task.tokenizer={self.folder}/model"
        off = [tokenizer, "task.template={enable_thinking: false, mood: [1, {name: 'quick'}]}", "task.thinking=drop"]
        self.run_in_source(self.folder / "run", config=CHAT, settings=off, more=["--until", "cands"])
        tokens = bytes_of_tokens(self.folder / "model")
        with h5py.File(self.folder / "run/cands/trajectories.h5") as file:
            at, ids = file["problem/prompt_offset"][()], file["problem/prompt_token"][()]
        self.assertTrue(b"".join(tokens[i] for i in ids[at[0]:at[1]]).endswith(b"assistant\nBe quick"))
        for settings, says in [([tokenizer], "identity"), ([*off, "task.template=[1]"], "map from names to values"),
                               ([*off, "task.template={messages: 1}"], "is set by tdrm"), ([*off, "task.thinking=keeep"], "task.thinking")]:
            with self.subTest(says):
                done = runs.tdrm(*runs.run_arguments(self.folder / "run", config=CHAT, settings=settings, more=["--until", "cands"]), cwd=runs.SOURCE)
                self.assertNotEqual(done.returncode, 0, done.stdout)
                if says != "identity":
                    self.assertIn(says, done.stdout)

    def value_model_with_another_tokenizer(self):
        """A folder with a value model whose tokenizer isn't that of CHAT, and the run it comes from."""
        run, folder = self.folder / "other", self.folder / "prm"
        self.run_in_source(run, config=PLAIN, more=["--until", "td"])
        done = runs.tdrm("export", run / "td", folder, cwd=runs.SOURCE)
        self.assertEqual(done.returncode, 0, done.stdout)
        return run, folder

    def test_a_value_model_with_another_tokenizer_reads_the_text(self):
        other, prm = self.value_model_with_another_tokenizer()
        read_out = f'{{reads: text, prompt: {json.dumps(PROMPT)}, tag: "<|endoftext|>"}}'
        settings = ["task.max_answer_tokens=128", "stages.base.epochs=10", "stages.base.optimizer.lr=5e-3", "stages.cands.sampler.temperature=0.5",
                    f"stages.bon.values=[hf:{prm}]", f"stages.greedy.value=hf:{prm}", f"stages.grpo.reward.value.model=hf:{prm}",
                    *(f"stages.{stage}.read_out={read_out}" for stage in ("bon", "greedy", "grpo"))]
        one, two = self.folder / "one", self.folder / "two"
        self.run_in_source(one, config=CHAT, settings=settings)
        self.run_in_source(two, config=CHAT, settings=settings, ranks=2)
        self.assertEqual(runs.differences(one, two), [])
        # The same texts, imported into a task with the value model's own tokenizer and prompt. The importer trims steps.
        answers = [answer for answer in written(one, bytes_of_tokens(runs.SOURCE / "tests/task_text/data/chatml"))
                   if answer[1] and all(step == step.strip() + "\n" for step in answer[1][:-1]) and answer[1][-1].strip()]
        self.assertGreater(sum(len(steps) for _, steps, _ in answers), 200)
        (self.folder / "steps.jsonl").write_text("".join(
            json.dumps({"prompt": question, "completions": steps, "labels": [True] * len(steps)}) + "\n" for question, steps, _ in answers))
        stages = self.folder / "import.yaml"
        task = PLAIN.read_text().split("stages:")[0]
        stages.write_text(f"{task}stages:\n  cands: {{do: import, format: trl, file: [{self.folder}/steps.jsonl], separator: \"\\n\"}}\n"
                          f"  bon: {{do: best_of_n, data: cands, values: ['run:{other}/td']}}\n")
        self.run_in_source(self.folder / "own", config=stages, more=["--until", "bon"])
        with h5py.File(one / "bon" / f"hf:{prm}" / "values.h5") as file:
            values = file["state/value"][()]
        with h5py.File(next((self.folder / "own/bon").rglob("values.h5"))) as file:
            own, at = file["state/value"][()], file["state/offset"][()]
        self.assertEqual(len(at) - 1, len(answers))
        for row, (_, steps, first) in enumerate(answers):
            alike = len(steps) + (steps[-1] == steps[-1].strip())
            np.testing.assert_array_equal(values[first:first + alike], own[at[row]:at[row] + alike], err_msg=str(steps))
        self.assertGreater(len(np.unique(own)), len(own) // 3)

    def test_models_with_other_tokens_are_refused(self):
        _, prm = self.value_model_with_another_tokenizer()
        for code, says, settings in [
            (65, "the model would read other words", [f"stages.bon.values=[hf:{prm}]"]),
            (65, "the model would read other words", [f"stages.td.init=hf:{prm}"]),
            (64, "is only used with reads: text", ["stages.bon.read_out={prompt: '{question}'}"]),
            (64, "doesn't hold {question}", ["stages.bon.read_out={reads: text, prompt: no place}"]),
            (64, "read_out.tag is missing", [f"stages.bon.values=[hf:{prm}]", "stages.bon.read_out={reads: text, prompt: '{question}'}"]),
            (74, "no chat template", [f"stages.bon.values=[hf:{prm}]", "stages.bon.read_out={reads: text}"]),
        ]:
            with self.subTest(says):
                done = runs.tdrm(*runs.run_arguments(self.folder / "run", config=CHAT, settings=settings, more=["--until", "bon", "--redo", "bon"]), cwd=runs.SOURCE)
                self.assertEqual(done.returncode, code, done.stdout)
                self.assertIn(says, done.stdout)
        done = runs.tdrm(*runs.run_arguments(self.folder / "smoke", settings=["stages.bon.read_out.reads=text"], more=["--dry-run"]))
        self.assertEqual(done.returncode, 64, done.stdout)
        self.assertIn("the task chain has no text", done.stdout)

    @unittest.skipUnless((runs.SOURCE / "../shared/data/gsm8k").exists(), "no data beside the project")
    def test_every_recipe_makes_its_splits(self):
        splits = {"gsm8k": {"train": 7173, "dev": 300, "gsm8k": 1319}, "math": {"dev": 300, "rest": 4500, "math500": 500},
                  "math500": {"math500": 500}, "aime": {"aime_train": 975, "aime24": 30}, "amc": {"amc23": 40},
                  "olympiadbench": {"olympiadbench": 675}, "minerva": {"minerva": 272}, "gaokao2023en": {"gaokao2023en": 383},
                  "college_math": {"college_math": 2818}, "gsm_symbolic": {"gsm_symbolic": 99}}
        self.assertEqual(sorted(splits), sorted(path.stem for path in (runs.SOURCE / "configs/tasks").iterdir()))
        shared = runs.SOURCE / "../shared/data"
        (self.folder / "gsm_symbolic").mkdir()  # the only one that is made, not downloaded
        subprocess.run([sys.executable, runs.SOURCE / "tools/gsm_symbolic.py", shared / "gsm_symbolic/templates.tar.gz",
                        self.folder / "gsm_symbolic/symbolic.jsonl", "--instances", "1"], check=True)
        for recipe, sizes in splits.items():
            data = self.folder if recipe == "gsm_symbolic" else shared
            stages = "".join(f"  {name}: {{do: rollout, policy: base, problems: {name}}}\n" for name in sizes)
            config = self.folder / f"{recipe}.yaml"
            config.write_text(f"include: {runs.SOURCE}/configs/tasks/{recipe}.yaml\n"
                              f"run: {{dir: {self.folder}/run}}\n"
                              f"task: {{tokenizer: {runs.SOURCE}/tests/task_text/data/chatml, data: {data}, "
                              "max_prompt_tokens: 20000}\n"
                              "stages:\n  base: {do: sft, model: {layers: 1, width: 64, heads: 1}, problems: "
                              f"{next(iter(sizes))}}}\n{stages}")
            done = runs.tdrm("run", config, "--dry-run")
            self.assertEqual(done.returncode, 0, done.stdout)
            for name, size in sizes.items():
                self.assertIn(f"{size} problems of split {name} ", done.stdout)

    def test_bad_input_ends_with_its_code_and_says_where(self):
        (self.folder / "broken.jsonl").write_text('{"question": "Q", "answer": "#### 1"}\n{"question": \n')
        broken = f"{{path: {self.folder}/broken.jsonl, gold: hashes}}"
        for code, part, settings in [
            (65, "broken.jsonl line 2: this isn't JSON", [f"task.files.sample_test={broken}"]),
            (65, 'the field "problem" is missing (the row has', ["task.files.sample_test.question=problem"]),
            (65, "more than max_prompt_tokens = 40", ["task.max_prompt_tokens=40"]),
            (74, "nowhere.jsonl", ["task.files.sample_test.path=nowhere.jsonl"]),
            (64, "the tokenizer folder nowhere doesn't exist", ["task.tokenizer=nowhere"]),
            (64, "has 0 left", ["task.splits.more={file: sample_test}"]),
            (64, "task.files.sample_test.gold", ["task.files.sample_test.gold=box"]),
        ]:
            with self.subTest(part):
                done = runs.tdrm(*runs.run_arguments(self.folder / "run", config=PLAIN, settings=settings), cwd=runs.SOURCE)
                self.assertEqual(done.returncode, code, done.stdout)
                self.assertIn(part, done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
