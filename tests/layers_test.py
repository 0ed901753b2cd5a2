"""Includes go down the house only: a room may use itself and the rooms below it. docs: ARCHITECTURE.md.

layers_test.py [SOURCE_FOLDER]
"""

import pathlib
import re
import sys
import tempfile

# From the ground up. A sub-room stands on its own floor; what lies in the room's own folder is the room's last floor.
ROOMS = ["base", "gpu", "comm", "store", "math", "text", "task", "task/process", "task/text", "plan", "reward", "eval", "model", "engine",
         "rollout", "train", "stage/process", "stage", "app"]
# Headers of third-party libraries that only some rooms include.
OWNERS = {
    r"yaml-cpp/": {"base"},
    r"spdlog/|fmt/": {"base"},
    r"CLI/": {"app"},
    r"xxhash": {"base"},
    r"zlib": {"base"},
    r"nlohmann/": {"base", "store", "text", "task/process", "task/text", "model", "rollout", "train", "stage/process", "stage", "app"},
    r"mpi\.h": {"comm", "app"},
    r"nccl\.h|cuda": {"comm", "gpu"},
    r"hdf5|H5": {"store", "app"},
    r"pcre2": {"text"},
    r"utf8proc": {"text"},
    r"gmp|quadmath": {"math"},
    r"torch/|ATen/|c10/": {"model"},
}

# Where an engine's numbers lie is nobody's business above it.
ENGINES_OWN = re.compile(r"tdrm/model/(buffer|kv_cache|ops|transformer)\.hpp")

# Whatever is read from outside goes through base/json and base/files, which bound it; a few read what the kernel or this program wrote.
UNBOUNDED = re.compile(r"(?:json|Json|Value)::(?:parse|accept|sax_parse)\(|std::ifstream|\bfopen\(|\bgzopen\(")
MAY_READ = {"src/base/json.cpp", "src/app/doctor.cpp", "src/app/machine.cpp", "src/app/build_info.cpp", "src/comm/watchdog.cpp",
            "src/gpu/cuda/cuda_device.cpp"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def room_of(path, root):
    parts = path.relative_to(root).parts
    parts = parts[2:-1] if parts[0] == "include" else parts[1:-1]
    return room_of_folders(parts)


def room_of_folders(parts):
    """The sub-room, if it is one that stands on a floor of its own."""
    sub = "/".join(parts[:2])
    return sub if sub in ROOMS else parts[0]


def faults(root):
    """Every include that goes up, or takes a library that belongs to another room."""
    found = []
    sources = [p for folder in ("include/tdrm", "src") for p in sorted((root / folder).rglob("*")) if p.suffix in (".hpp", ".cpp", ".cu")]
    for path in sources:
        room = room_of(path, root)
        if room not in ROOMS:
            found.append(f"{path}: the room {room} has no floor (add it to ROOMS of this test and to ARCHITECTURE.md)")
            continue
        if (call := UNBOUNDED.search(path.read_text())) and path.relative_to(root).as_posix() not in MAY_READ:
            found.append(f"{path.relative_to(root)} calls {call[0]}, which bounds nothing (use base/json.hpp, base/files.hpp)")
        for _, header in INCLUDE.findall(path.read_text()):
            own = header.startswith("tdrm/")
            if own and room_of_folders(header.split("/")[1:-1]) not in ROOMS[: ROOMS.index(room) + 1]:
                found.append(f"{path.relative_to(root)} ({room}) includes {header}, which lies above it")
            if ENGINES_OWN.match(header) and room not in ("model", "engine"):
                found.append(f"{path.relative_to(root)} ({room}) includes {header}, which only engines see")
            for library, owners in OWNERS.items():
                if not own and re.match(library, header) and room not in owners:
                    found.append(f"{path.relative_to(root)} ({room}) includes {header}, which belongs to {', '.join(sorted(owners))}")
    return found, len(sources)


def the_test_can_fail():
    with tempfile.TemporaryDirectory() as name:
        source = pathlib.Path(name) / "src/store/x.cpp"
        source.parent.mkdir(parents=True)
        source.write_text('#include "tdrm/train/rl.hpp"\n#include <ATen/ATen.h>\n#include "tdrm/base/errors.hpp"\n#include <vector>\n')
        (pathlib.Path(name) / "include/tdrm").mkdir(parents=True)
        below = pathlib.Path(name) / "src/task/process/y.cpp"
        below.parent.mkdir(parents=True)
        below.write_text('#include "tdrm/task/text/text_task.hpp"\n#include "tdrm/task/task.hpp"\n')
        above = pathlib.Path(name) / "src/train/z.cpp"
        above.parent.mkdir(parents=True)
        above.write_text('#include "tdrm/model/ops.hpp"\n#include "tdrm/engine/engine.hpp"\n')
        reader = pathlib.Path(name) / "src/store/r.cpp"
        reader.write_text("auto j = json::parse(text);\n")
        return len(faults(pathlib.Path(name))[0]) == 5


def main():
    assert the_test_can_fail()
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[1])
    found, number = faults(root)
    print("\n".join(found) or f"ok: {number} files")
    return 1 if found or number < 100 else 0


if __name__ == "__main__":
    sys.exit(main())
