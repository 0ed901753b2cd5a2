"""The manual page and the completion that the program writes about itself."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

TDRM = os.environ["TDRM"]
VERBS = ["run", "inspect", "show", "replay", "doctor", "export", "check-model", "explain", "tokenize", "verify"]


def tdrm(*words):
    return subprocess.run([TDRM, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=60)


class Manual(unittest.TestCase):
    def test_it_renders_without_warnings_and_holds_verbs_options_keys_and_exit_codes(self):
        if shutil.which("groff") is None:
            self.skipTest("no groff")
        page = tdrm("man")
        self.assertEqual(page.returncode, 0)
        done = subprocess.run(["groff", "-ww", "-man", "-Tascii", "-P-cbou", "-rLL=160n"], input=page.stdout, text=True,
                              capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for part in (*(f"tdrm {verb}" for verb in VERBS), "--max-time" if "--max-time" in tdrm("run", "--help").stdout else "--redo",
                     "leave_one_out", "EXAMPLES", "EXIT STATUS", "75 stopped on request"):
            self.assertIn(part, done.stdout)

    def test_the_hidden_verbs_stay_hidden(self):
        self.assertNotIn("completion", tdrm("--help").stdout)
        self.assertEqual(tdrm("completion", "fish").returncode, 64)


class Completion(unittest.TestCase):
    def complete(self, line):
        """What bash offers at the end of a line."""
        words = line.split(" ")
        script = (f'source <("{TDRM}" completion bash) || exit 1\nCOMP_WORDS=({" ".join(repr(word) for word in words)})\n'
                  f'COMP_CWORD={len(words) - 1}\n_tdrm || exit 1\nprintf "%s\\n" "${{COMPREPLY[@]}}"')
        done = subprocess.run(["bash", "-eu", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True,
                              cwd=tempfile.gettempdir())
        self.assertEqual(done.stderr, "")
        return sorted(done.stdout.split())

    def test_verbs(self):
        self.assertEqual(self.complete("tdrm ex"), ["explain", "export"])
        self.assertEqual(self.complete("tdrm "), sorted([*VERBS, "--help", "--version"]))

    def test_options_of_a_verb(self):
        self.assertEqual(self.complete("tdrm export run/x --d"), ["--dtype"])
        offered = self.complete("tdrm run --")
        for option in offered:
            self.assertIn(option, tdrm("run", "--help").stdout)
        self.assertIn("--dry-run", offered)

    def test_keys_level_by_level(self):
        self.assertEqual(self.complete("tdrm explain rl.adv"), ["rl.advantage"])
        self.assertEqual(self.complete("tdrm explain rl.advantage.la"), ["rl.advantage.lambda"])
        self.assertIn("rl.advantage.gamma", self.complete("tdrm explain rl.advantage"))
        self.assertNotIn("rl.policy", self.complete("tdrm explain r"))

    def test_what_is_offered_is_explained(self):
        parts = self.complete("tdrm explain ")
        self.assertIn("processbench", parts)
        for part in parts:
            keys = self.complete(f"tdrm explain {part}.")
            self.assertGreater(len(keys), 1, part)
            self.assertEqual(tdrm("explain", keys[-1]).returncode, 0, keys[-1])

    def test_settings(self):
        self.assertEqual(self.complete("tdrm run x.yaml --set run.s"), ["run.seed", "run.silence", "run.sum"])
        self.assertIn("task.max_steps", self.complete("tdrm run x.yaml --set task.max_s"))

    def test_files_are_left_to_the_shell(self):
        self.assertEqual(self.complete("tdrm run conf"), [])
        self.assertIn("complete -o default", tdrm("completion", "bash").stdout)


if __name__ == "__main__":
    unittest.main()
