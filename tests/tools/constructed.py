"""Run folders made of a few lines, for tests of tools/report."""

import itertools
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import h5py  # noqa: E402
import numpy as np  # noqa: E402

from tdrm_report.manifests import hash_hex  # noqa: E402  (behind the path)

KINDS = {"base": "sft", "td": "value", "orm": "value", "rule": "rl", "sum": "rl", "bon": "best_of_n", "score": "evaluate", "cands": "rollout",
         "rolls": "rollout", "greedy": "search", "dev": "best_of_n", "floor": "evaluate"}


def make_run(path, stages, seed=1, more=""):
    """A run with stages {name: {"record", "options", "results", "metrics", "config"}}; {} is a stage that hasn't begun. `config`: further
    lines of the run file."""
    path.mkdir(parents=True)
    lines = [f"run:\n  dir: {path}\n  seed: {seed}\ntask:\n  kind: chain\nstages:"]
    for name, content in stages.items():
        lines.append(f"  {name}:\n    do: {KINDS[name.partition('[')[0]]}\n    seed: {seed}{more}{content.get('config', '')}")
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


def make_answers(directory, outcomes, *, steps=2, cut=0, ids=None, **attributes):
    """trajectories.h5 with its manifest: `outcomes` by problem, answers of 3 tokens a step; the first `cut` answers were cut for length."""
    directory.mkdir(parents=True, exist_ok=True)
    count = sum(len(row) for row in outcomes)
    attributes = {"policy": "base", "policy_hash": "1", "split": "test", "temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0} | attributes
    with h5py.File(directory / "trajectories.h5", "w") as file:
        file.attrs["schema"] = "tdrm-trajectories-1"
        for name, value in attributes.items():
            file.attrs[name] = value
        file["problem/id"] = np.array(ids if ids is not None else np.arange(len(outcomes)), np.int64)
        file["trajectory/problem"] = np.array([p for p, row in enumerate(outcomes) for _ in row], np.int32)
        file["trajectory/outcome"] = np.array(list(itertools.chain(*outcomes)), np.float32)
        file["trajectory/finish"] = np.array([row < cut for row in range(count)], np.uint8)
        file["trajectory/step_offset"] = np.arange(count + 1) * steps
        file["trajectory/token_offset"] = np.arange(count + 1) * steps * 3
    write_manifest(directory)


def write_manifest(directory):
    files = [{"name": path.name, "bytes": path.stat().st_size, "hash": hash_hex(path.read_bytes())} for path in sorted(directory.glob("*.h5"))]
    text = json.dumps({"files": files}, separators=(",", ":"), sort_keys=True)
    (directory / "manifest.json").write_text(json.dumps({"files": files, "hash": hash_hex(text.encode())}))


def selection(*curves, data="cands", problems=4, values=()):
    """results.json of a best_of_n stage."""
    return {"kind": "best_of_n", "data": data, "problems": problems, "curves": list(curves), "values": {model: {} for model in values}}


def curve(means, model=None, at="last", vote=None, method=None, cost=2.0, problems=4, half=0.02, **more):
    """A curve over N = 1, 2, 4, ...: an answer takes 10 tokens, a token of the policy 1 FLOP, one of the value model, if any, `cost` - 1."""
    points = []
    for i, mean in enumerate(means):
        drawn = 10 * 2**i * problems
        value = (cost - 1) * drawn if model else 0
        points.append({"n": 2**i, "mean": mean, "low": mean - half, "high": mean + half, "count": problems, "generated_tokens": drawn,
                       "prompt_tokens": 0, "scored_tokens": drawn if model else 0,
                       "flops": {"policy": drawn, "value": value, "total": drawn + value}})
    found = {"method": method or f"{model} {at}" + (f" vote {vote}" if vote else ""), "points": points, "per_problem": [means[-1]] * problems}
    found |= {"model": model, "at": at} if model else {}
    return found | ({"vote": vote} if vote else {}) | more


def search(mean, width=8, critical=20.0, drawn=80, problems=4, kind="greedy", **more):
    """results.json of a search."""
    tokens = drawn * problems
    return {"kind": "search", "search": kind, "answer": "best", "policy": "base", "value": "td", "branch": width, "width": width,
            "problems": problems, "accuracy": {"mean": mean, "low": mean - 0.02, "high": mean + 0.02}, "generated_tokens": tokens,
            "scored_tokens": tokens, "flops": {"policy": tokens, "value": tokens, "total": 2 * tokens}, "gap": 1.0, "noise": 0.5,
            "critical_width": critical} | more
