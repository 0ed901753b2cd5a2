#!/usr/bin/env python3
"""Turns Parquet or Arrow files, as data sets are published, into JSON lines that tdrm reads.

    .deps/venv/bin/pip install pyarrow                                     # once
    .deps/venv/bin/python tools/parquet_to_jsonl.py FILE.parquet [MORE ...] OUT.jsonl [--columns a,b]

Files are read one after another, so the parts of a split go in their order; a folder stands for its files in the order of
their names. OUT may end in .gz. Columns of bytes, of images say, have no JSON: leave them out with --columns. NaN and
infinite numbers become null, since JSON has neither; dates and decimals become texts.
"""
import argparse
import datetime
import decimal
import gzip
import json
import math
import os
import pathlib
import sys


def fail(message):
    sys.exit(f"parquet_to_jsonl: {message}")


def files_of(path):
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.iterdir() if p.suffix in (".parquet", ".arrow"))
    return found or fail(f"{path} holds no .parquet or .arrow file (there is nothing to read). Check the path.")


def batches_of(path, columns):
    """Lists of rows as Python values."""
    import pyarrow
    import pyarrow.parquet
    try:
        with open(path, "rb") as file:
            begin = file.read(40)
            if begin.startswith(b"version https://git-lfs"):
                fail(f"{path} is a Git LFS pointer (the file itself wasn't fetched when the repository was cloned). Run git lfs pull there.")
            if begin.startswith(b"PAR1"):
                source = pyarrow.parquet.ParquetFile(file)
                names, batches = source.schema_arrow.names, source.iter_batches(columns=columns)
            else:
                file.seek(0)
                source = (pyarrow.ipc.open_file if begin.startswith(b"ARROW1") else pyarrow.ipc.open_stream)(file)
                names, batches = source.schema.names, (source.get_batch(i) for i in range(source.num_record_batches)) \
                    if begin.startswith(b"ARROW1") else iter(source)
            missing = [c for c in columns or [] if c not in names]
            if missing:
                fail(f"{path} has no column {missing[0]} (it has {', '.join(names)}). Correct --columns.")
            for batch in batches:
                yield (batch.select(columns) if columns else batch).to_pylist()
    except OSError as error:
        fail(f"can't read {path} ({error.strerror or error}). Check the path.")
    except pyarrow.ArrowException as error:
        fail(f"{path} is neither Parquet nor Arrow, or damaged ({error}). Fetch it again.")


def plain(value, column):
    """The same in values that JSON has."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): plain(v, f"{column}.{k}") for k, v in value.items()}
    if isinstance(value, list):
        if value and all(isinstance(v, tuple) and len(v) == 2 for v in value):  # a map
            return {str(k): plain(v, f"{column}.{k}") for k, v in value}
        return [plain(v, column) for v in value]
    if isinstance(value, (datetime.date, datetime.time, decimal.Decimal)):
        return str(value)
    fail(f"column {column} holds {type(value).__name__} (JSON has no such value). Leave it out with --columns.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE", help="files or folders, and last the file to write")
    parser.add_argument("--columns", type=lambda text: text.split(","), help="columns to keep, with commas between them")
    arguments = parser.parse_args()
    *sources, out = arguments.files
    if not sources:
        fail("the file to write is missing (rows need a place). Name it last.")
    if out.suffix not in (".jsonl", ".gz"):
        fail(f"{out} ends in neither .jsonl nor .gz (the last file is written). Name the file to write last.")
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        fail(f"pyarrow is missing (it reads Parquet). Install it: {sys.executable} -m pip install pyarrow")
    part, rows = out.with_name(out.name + ".tmp"), 0
    # The same rows give the same bytes: a gzip header has a time.
    raw = open(part, "wb")
    packed = gzip.GzipFile("", "wb", fileobj=raw, mtime=0) if out.suffix == ".gz" else raw
    try:
        for source in sources:
            for path in files_of(source):
                for batch in batches_of(path, arguments.columns):
                    for row in batch:
                        line = json.dumps({k: plain(v, k) for k, v in row.items()}, ensure_ascii=False, allow_nan=False)
                        packed.write(line.encode("utf-8") + b"\n")
                        rows += 1
        if packed is not raw:
            packed.close()
        raw.close()
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)
    print(f"{out}: {rows} rows")


if __name__ == "__main__":
    main()
