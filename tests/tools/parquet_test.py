"""Parquet and Arrow files become JSON lines with the same rows; what JSON doesn't have is named."""

import gzip
import json
import math
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOL = Path(__file__).resolve().parents[2] / "tools" / "parquet_to_jsonl.py"

try:
    import pyarrow
    import pyarrow.parquet
except ImportError:
    pyarrow = None

ROWS = [
    {"prompt": "Was ist 1 + 1? 二", "completions": ["a", "b"], "labels": [True, False], "n": 1, "x": 0.5, "turn": {"role": "user"}},
    {"prompt": "", "completions": [], "labels": None, "n": None, "x": 1e300, "turn": {"role": None}},
]


class Parquet(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def run_tool(self, *arguments, code=0):
        done = subprocess.run([sys.executable, TOOL, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.assertEqual(done.returncode, code, done.stdout)
        return done.stdout

    def refused(self, words, *arguments):
        self.assertIn(words, self.run_tool(*arguments, code=1))
        self.assertEqual(list(self.folder.glob("out*")), [])

    @unittest.skipIf(pyarrow is None, "needs pyarrow")
    def test_rows_stay_as_they_are(self):
        table, out = pyarrow.Table.from_pylist(ROWS), self.folder / "out.jsonl"
        pyarrow.parquet.write_table(table, self.folder / "rows-0.parquet")
        pyarrow.parquet.write_table(table.slice(0, 1), self.folder / "rows-1.parquet")
        with pyarrow.ipc.new_stream(self.folder / "rows.stream", table.schema) as writer:
            writer.write_table(table)
        with pyarrow.ipc.new_file(self.folder / "rows-file", table.schema) as writer:
            writer.write_table(table)
        for source, rows in (("rows-0.parquet", ROWS), (".", ROWS + ROWS[:1]), ("rows.stream", ROWS), ("rows-file", ROWS)):
            self.assertIn(f"{len(rows)} rows", self.run_tool(self.folder / source, out))
            self.assertEqual([json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()], rows, source)
        self.run_tool(self.folder / "rows-0.parquet", self.folder / "rows-1.parquet", self.folder / "out.jsonl.gz", "--columns", "n,prompt")
        with gzip.open(self.folder / "out.jsonl.gz", "rt", encoding="utf-8") as file:
            self.assertEqual([json.loads(line) for line in file], [{"n": r["n"], "prompt": r["prompt"]} for r in ROWS + ROWS[:1]])

    @unittest.skipIf(pyarrow is None, "needs pyarrow")
    def test_numbers_that_json_lacks_are_null_and_bytes_are_named(self):
        path = self.folder / "rows.parquet"
        pyarrow.parquet.write_table(pyarrow.table({"x": [math.nan, math.inf, 1.5]}), path)
        self.run_tool(path, self.folder / "out.jsonl")
        self.assertEqual((self.folder / "out.jsonl").read_text().split("\n"), ['{"x": null}', '{"x": null}', '{"x": 1.5}', ""])
        (self.folder / "out.jsonl").unlink()
        pyarrow.parquet.write_table(pyarrow.table({"image": [{"bytes": b"\xff"}], "q": ["?"]}), path)
        self.refused("column image.bytes holds bytes", path, self.folder / "out.jsonl")
        self.refused("no column p", path, self.folder / "out.jsonl", "--columns", "p")
        self.run_tool(path, self.folder / "out.jsonl", "--columns", "q")

    @unittest.skipIf(pyarrow is None, "needs pyarrow")
    def test_files_of_another_kind_are_named(self):
        path, out = self.folder / "rows.parquet", self.folder / "out.jsonl"
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
        self.refused("is a Git LFS pointer", path, out)
        path.write_bytes(b"PAR1 and then nothing")
        self.refused("damaged", path, out)
        path.write_text('{"a": 1}\n')
        self.refused("neither Parquet nor Arrow", path, out)
        self.refused("can't read", self.folder / "missing.parquet", out)
        (self.folder / "empty").mkdir()
        self.refused("holds no .parquet", self.folder / "empty", out)

    def test_the_file_to_write_comes_last(self):
        self.refused("ends in neither", self.folder / "a.parquet", self.folder / "b.parquet")
        self.refused("is missing", self.folder / "out.jsonl")

    @unittest.skipIf(pyarrow is not None, "pyarrow is there")
    def test_it_says_how_pyarrow_comes(self):
        self.refused("-m pip install pyarrow", self.folder / "a.parquet", self.folder / "out.jsonl")


if __name__ == "__main__":
    unittest.main()
