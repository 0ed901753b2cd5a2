"""Run folders made of a few lines, for tests of tools/report."""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from tdrm_report.manifests import hash_hex  # noqa: E402  (behind the path)

KINDS = {"base": "sft", "td": "value", "orm": "value", "rule": "rl", "sum": "rl", "bon": "best_of_n", "score": "evaluate"}


def make_run(path, stages, seed=1, more=""):
    """A run with stages {name: {"record", "options", "results", "metrics"}}; {} is a stage that hasn't begun."""
    path.mkdir(parents=True)
    lines = [f"run:\n  dir: {path}\n  seed: {seed}\ntask:\n  kind: chain\nstages:"]
    for name, content in stages.items():
        lines.append(f"  {name}:\n    do: {KINDS[name.partition('[')[0]]}\n    seed: {seed}{more}")
        if content:
            make_stage(path / name, KINDS[name.partition("[")[0]], content)
    text = "\n".join(lines) + "\n"
    (path / "config.yaml").write_text(f"# hash: {hash_hex(text.encode())}\n{text}")
    return path


def make_stage(directory, kind, content):
    directory.mkdir()
    options = "".join(f"  {key}: {value}\n" for key, value in content.get("options", {}).items())
    text = f"kind: {kind}\nseed: 1\noptions:\n{options}inputs: {{}}\n"
    record = {"schema": 1, "kind": kind, "identity_text": text, "done": True, "updates": 0, "best": -1, "results": {}}
    record |= content.get("record", {})
    seal = hash_hex(json.dumps(record, separators=(",", ":"), sort_keys=True).encode())
    (directory / "stage.json").write_text(json.dumps(record | {"hash": seal}, indent=1, sort_keys=True))
    if "results" in content:
        (directory / "results.json").write_text(json.dumps(content["results"]))
    if "metrics" in content:
        columns = content["metrics"]
        rows = max(len(values) for values in columns.values())
        lines = [{"update": i + 1} | {name: values[i] for name, values in columns.items() if i < len(values)} for i in range(rows)]
        (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def evaluation(**policies):
    """results.json of an evaluate stage: policies by name with their accuracy on each problem."""
    entries = []
    for name, row in policies.items():
        mean = sum(row) / len(row)
        entries.append({"policy": name, "per_problem": list(row), "reasons": {"correct": 1}, "mean_length": 5.0,
                        "pass_at_k": [{"k": 1, "mean": mean, "low": mean - 0.1, "high": mean + 0.1}]})
    return {"kind": "evaluate", "problems": 200, "split": "test", "samples": 4, "policies": entries}
