"""What --dry-run says a rank needs, against what it took, for every kind of stage with a model: at most 10 % less, or 20 % more.

memory_test.py           a small model
memory_test.py long      a model of 135M parameters
"""

import json
import pathlib
import re
import shutil
import sys
import tempfile
import unittest

import runs

MODELS = {"small": "layers: 4, width: 128, heads: 4", "135M": "layers: 38, width: 576, heads: 9, kv_heads: 3, ffn: 1536"}
STAGES = ("base", "cands", "td", "feats", "head", "bon", "greedy", "grpo", "score")


def config(model):
    return f"""
run: {{dir: unset, seed: 1}}
task: {{kind: countdown, numbers: 3, splits: {{sft: 256, value: 8, rl: 16, test: 32}}}}
stages:
  base: {{do: sft, model: {{{MODELS[model]}}}, problems: sft, updates: 2, batch: 64}}
  cands: {{do: rollout, policy: base, problems: value, samples: 200, slots: 64}}
  td: {{do: value, init: base, data: cands, updates: 2, batch: 32}}
  feats: {{do: features, model: base, data: cands}}
  head: {{do: value, like: td, train: head, features: feats, keep_body: false}}
  bon: {{do: best_of_n, data: cands, values: [td]}}
  greedy: {{do: search, policy: base, value: td, problems: test, branch: 4, slots: 32}}
  grpo: {{do: rl, policy: base, problems: rl, batch: {{problems: 8, samples: 8}}, updates: 2, slots: 64,
         reward: {{rule: 0.8, value: {{model: td, weight: 0.2}}}}, kl: {{beta: 0.1}}, eval: {{problems: rl}}}}
  score: {{do: evaluate, policies: [base], problems: test, samples: 2, slots: 64}}
"""


# Of a tiny model most of the peak is the program itself: data of libraries, open files, JSON, what the
# allocator keeps. And of a search's caches, which have room for answers of full length, 20 MB stay untouched.
SLACK = 28e6


def estimates(path, folder):
    """Bytes a rank by stage, as --dry-run prints them."""
    text = runs.tdrm(*runs.run_arguments(folder, config=path, more=["--dry-run"])).stdout
    found = re.findall(r"^(\w+) +\w+ +seed.*\n +([\d.]+) (MB|GB) a rank", text, re.MULTILINE)
    return {stage: float(number) * {"MB": 1e6, "GB": 1e9}[unit] for stage, number, unit in found}


class Memory(unittest.TestCase):
    model = "small"

    def test_estimates_of_all_stages_are_near_the_measured_peak(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="tdrm-memory-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        path = runs.write_config(folder, config(self.model))
        expected = estimates(path, folder / "run")
        self.assertEqual(set(expected), set(STAGES))
        wrong = []
        for stage in STAGES:  # a process each, since a process has one peak
            done = runs.tdrm(*runs.run_arguments(folder / "run", config=path, more=["--only", stage]), timeout=1200)
            self.assertEqual(done.returncode, 0, done.stdout)
            peak = json.loads((folder / "run/performance.json").read_text())["stages"][stage]["peak_bytes"]
            line = f"{stage}: {expected[stage] / 1e6:.0f} MB estimated, {peak / 1e6:.0f} MB measured"
            print(line)
            # Room for the longest passes is counted, which short data doesn't need.
            if not peak - max(0.1 * peak, SLACK) <= expected[stage] <= peak + max(0.2 * peak, SLACK):
                wrong.append(line)
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    if sys.argv[1:] == ["long"]:
        Memory.model = "135M"
        del sys.argv[1:]
    unittest.main(verbosity=2)
