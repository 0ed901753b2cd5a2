"""Kernels were compiled for real devices without spills and arrays in local memory, and have no atomics. docs: docs/gpu.md.

nvcc_test.py FOLDER      of the build that holds what ptxas said of each kernel file (*.ptxas); without any it is skipped,
                         unless TDRM_NEEDS_NVCC is set
"""

import os
import pathlib
import re
import sys

KERNELS = pathlib.Path(__file__).resolve().parents[2] / "src/gpu"
SKIPPED = 77
ARCHITECTURES = {"sm_80", "sm_90", "sm_100"}


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


def kernels(report):
    """(kernel, architecture, registers, what it holds in local memory) of each kernel that ptxas speaks of."""
    found, name, target, spills = [], "", "", ""
    for line in report.splitlines():
        if match := re.search(r"Compiling entry function '(\S+)' for '(\w+)'", line):
            name, target, spills = match[1], match[2], ""
        if (match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line)) and \
                match.groups() != ("0", "0", "0"):
            spills = line.strip()
        if match := re.search(r"Used (\d+) registers", line):
            found.append((name, target, int(match[1]), spills))
    return found


def the_test_can_fail():
    report = """ptxas info    : Compiling entry function 'f' for 'sm_80'
    8 bytes stack frame, 8 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 128 registers, used 1 barriers"""
    return kernels(report) == [("f", "sm_80", 128, "8 bytes stack frame, 8 bytes spill stores, 0 bytes spill loads")]


def main():
    assert the_test_can_fail()
    if found := atomics():
        print("atomics:", *found, sep="\n")
        return 1
    reports = {path.name.removesuffix(".o.ptxas"): path.read_text() for path in pathlib.Path(sys.argv[1]).glob("*.ptxas")}
    if not reports:
        print("nothing was compiled for GPUs")
        return 1 if os.environ.get("TDRM_NEEDS_NVCC") else SKIPPED
    failed = False
    for source in sorted(path.name for path in KERNELS.glob("*.cu")):
        of = kernels(reports.get(source, ""))
        for target in sorted(ARCHITECTURES):
            here = [kernel for kernel in of if kernel[1] == target]
            spilled = [f"{name}: {spills}" for name, _, _, spills in here if spills]
            most = max((registers for _, _, registers, _ in here), default=0)
            print(f"{source} {target}: {len(here)} kernels, at most {most} registers", *spilled, sep="\n  ")
            failed = failed or bool(spilled) or not here
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
