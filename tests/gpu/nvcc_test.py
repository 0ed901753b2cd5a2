"""Kernels compile for real devices, without spills and without atomics. docs: docs/gpu.md.

nvcc_test.py [FILE...]      kernel files by name, e.g. rows.cu; default: all
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
KERNELS = ROOT / "src/gpu"
SKIPPED = 77
ARCHITECTURES = ("80", "90", "100")
FLAGS = ["-std=c++20", "--fmad=false", "--expt-relaxed-constexpr", "-Xptxas", "-v", "-I", str(ROOT / "include")]


def atomics():
    """Lines that would make bits depend on an order."""
    pattern = re.compile(r"\batomic[A-Z]\w*|\bred\.|\batom\.")
    found = []
    for path in sorted(KERNELS.glob("*.cu")) + sorted(KERNELS.glob("*.hpp")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if pattern.search(line.split("//")[0]):
                found.append(f"{path.name}:{number}: {line.strip()}")
    assert pattern.search("    atomicAdd(p, 1);")
    return found


def spills(report):
    """Kernels of ptxas' report that spill, with what it says."""
    found, kernel = [], ""
    for line in report.splitlines():
        if match := re.search(r"Function properties for (\S+)", line):
            kernel = match[1]
        if (match := re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", line)) and match.groups() != ("0", "0"):
            found.append(f"{kernel}: {line.strip()}")
    return found


def the_test_can_fail():
    report = "ptxas info : Function properties for f\n    8 bytes stack frame, 8 bytes spill stores, 0 bytes spill loads"
    return spills(report) == ["f: 8 bytes stack frame, 8 bytes spill stores, 0 bytes spill loads"]


def compiled(job):
    nvcc, source, target = job
    code = f"arch=compute_{target},code=sm_{target}" if target != "ptx" else "arch=compute_100,code=compute_100"
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "kernel.o"
        done = subprocess.run([nvcc, *FLAGS, "-gencode", code, "-c", source, "-o", out], capture_output=True, text=True)
    text = done.stdout + done.stderr
    problems = spills(text) if done.returncode == 0 else [text[-3000:]]
    registers = [int(n) for n in re.findall(r"Used (\d+) registers", text)]
    return source.name, target, problems, registers


def main():
    assert the_test_can_fail()
    if found := atomics():
        print("atomics:", *found, sep="\n")
        return 1
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        print("nvcc isn't here: skipped")
        return SKIPPED
    sources = [KERNELS / name for name in sys.argv[1:]] or sorted(KERNELS.glob("*.cu"))
    jobs = [(nvcc, source, target) for source in sources for target in (*ARCHITECTURES, "ptx")]
    failed = False
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, target, problems, registers in pool.map(compiled, jobs):
            print(f"{name} {target}: {len(registers)} kernels, at most {max(registers, default=0)} registers", *problems, sep="\n  ")
            failed = failed or bool(problems)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
