"""Processor time and peak memory of the verbs that compute nothing, best of ten starts: what a user waits for.

start.py TDRM [OTHER_TDRM ...]        a column for each program
"""

import os
import pathlib
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]


def measure(words, starts=10):
    """Least processor seconds and MB. A child's peak counts this process's memory at its birth, some 10 MB."""
    seconds, megabytes = float("inf"), float("inf")
    for _ in range(starts):
        null = os.open(os.devnull, os.O_RDWR)
        process = os.posix_spawn(words[0], words, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, n) for n in (0, 1, 2)])
        os.close(null)
        _, status, used = os.wait4(process, 0)
        if os.waitstatus_to_exitcode(status) != 0:
            raise SystemExit(f"start: {' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}")
        seconds, megabytes = min(seconds, used.ru_utime + used.ru_stime), min(megabytes, used.ru_maxrss / 1024)
    return seconds, megabytes


def verbs(folder):
    """Each with the least work."""
    (folder / "run").mkdir()
    (folder / "run/config.yaml").write_text("# hash: 99aa06d3014798d86001c324468d497f\n")  # of no bytes
    (folder / "pairs.jsonl").write_text('{"gold": "1/2", "answer": "0.5"}\n')
    tokenizer = SOURCE / "tests/text/data/qwen/tokenizer.json"
    return {"explain": ["explain", "run.dir"], "verify": ["verify", "--file", str(folder / "pairs.jsonl")],
            "inspect": ["inspect", str(folder / "run")], "tokenize": ["tokenize", "--tokenizer", str(tokenizer)], "--version": ["--version"]}


def main():
    print("verb       " + "".join(f"{pathlib.Path(program).name:>24}" for program in sys.argv[1:]))
    with tempfile.TemporaryDirectory() as folder:
        for verb, words in verbs(pathlib.Path(folder)).items():
            figures = [measure([program, *words]) for program in sys.argv[1:]]
            print(f"{verb:<11}" + "".join(f"{1e3 * seconds:12.1f} ms {megabytes:6.1f} MB" for seconds, megabytes in figures))


if __name__ == "__main__":
    main()
