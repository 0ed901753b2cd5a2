"""Checks files against the manifests that were written with them. Format: docs/formats/checkpoint.md."""

import ctypes
import ctypes.util
import json
import mmap
import re
from functools import cache

from .errors import DamagedRun

HASH_BELOW = 1 << 28  # bytes; of greater files only the size is looked at, so that a report stays a matter of seconds


class _Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


@cache
def _xxhash():
    library = ctypes.CDLL(ctypes.util.find_library("xxhash") or "libxxhash.so.0")  # tdrm itself needs it
    library.XXH3_128bits.restype = _Hash128
    library.XXH3_128bits.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return library


def hash_hex(data):
    """XXH3-128 of bytes, as tdrm writes it."""
    result = _xxhash().XXH3_128bits(data, len(data))
    return f"{result.high:016x}{result.low:016x}"


def hash_file(path):
    if path.stat().st_size == 0:
        return hash_hex(b"")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as content:
        view = (ctypes.c_char * len(content)).from_buffer(content)
        try:
            result = _xxhash().XXH3_128bits(ctypes.addressof(view), len(content))
        finally:
            del view  # else the map can't be closed
    return f"{result.high:016x}{result.low:016x}"


def manifest_problems(directory, hash_below=HASH_BELOW):
    """What is wrong with the files that `directory`/manifest.json names: missing, of another size, of another hash."""
    where = directory / "manifest.json"
    try:
        manifest = json.loads(where.read_text())
        content = {key: value for key, value in manifest.items() if key != "hash"}
        text = json.dumps(content, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
        if hash_hex(text.encode()) != manifest["hash"]:
            return [f"{where} is damaged (its own hash doesn't match)"]
        return [problem for entry in manifest["files"] if (problem := file_problem(directory, entry, hash_below))]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"{where} can't be read ({error})"]


_WORD_OR_SPACE = re.compile(r'"(?:[^"\\]|\\.)*"|\s+')


def sealed_json_problem(path):
    """What is wrong with a JSON object that holds its own hash (of its compact text without that key), such as stage.json;
    None if it is whole or isn't there."""
    try:
        text = path.read_text()
        seal = f'"hash":"{json.loads(text)["hash"]}"'
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{path} can't be read ({error})"
    # Numbers stay as they are written: another program may write the same ones in another way.
    compact = _WORD_OR_SPACE.sub(lambda found: found[0] if found[0][0] == '"' else "", text)
    content = compact.replace(seal + ",", "", 1).replace("," + seal, "", 1)
    return None if f'"hash":"{hash_hex(content.encode())}"' == seal else f"{path} is damaged (its own hash doesn't match)"


def sealed_text(text):
    """The text behind the first line, "# hash: HASH"; None if that isn't its hash."""
    line, _, content = text.partition("\n")
    return content if line == f"# hash: {hash_hex(content.encode())}" else None


def file_problem(directory, entry, hash_below=HASH_BELOW):
    """What is wrong with the file that an entry {name, bytes, hash} describes; None if it is whole."""
    path = directory / entry["name"]
    if not path.exists():
        return f"{path} is missing"
    size = path.stat().st_size
    if size != entry["bytes"]:
        return f"{path} has {size} bytes instead of {entry['bytes']}"
    if size < hash_below and hash_file(path) != entry["hash"]:
        return f"{path} is damaged (its bytes don't have the hash of the manifest)"
    return None


def check(path):
    """@throws DamagedRun if a file that lies beside a manifest isn't what the manifest says."""
    for problem in manifest_problems(path.parent):
        raise DamagedRun(f"{problem}. Make the stage again with --redo.")
