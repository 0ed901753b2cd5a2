"""Reads with h5py what the C++ writers wrote, and compares the bytes that 1, 2 and 4 ranks wrote.

read_by_h5py.py WRITER MPIEXEC
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

import h5py
import numpy as np

SHAPES = {
    "embed.weight": (11, 7),
    "layers.0.conv.weight": (3, 4, 5),
    "norm.bias": (13,),
    "empty": (0, 4),
    "scalar": (1,),
}
GROUPS = ["model", "optimizer/exp_avg", "optimizer/exp_avg_sq"]


def write(writer, mpiexec, folder, ranks):
    folder.mkdir()
    command = [mpiexec, "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-np", str(ranks)]
    subprocess.run([*command, writer, str(folder), "once"], check=True)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rounded(values):
    """To bfloat16, ties to even."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)


def check_values(folder, bfloat16=False):
    """Every tensor, in its global shape, against the formula of sample_state.hpp."""
    compared = 0
    with h5py.File(folder / "checkpoint.h5") as file:
        assert set(file) == {"model", "optimizer", "layout", "progress"}, set(file)
        assert file.attrs["format"] == "tdrm checkpoint" and file.attrs["version"] == 1
        assert file["progress"].asstr()[0] == '{"update":5}'
        for which, group in enumerate(GROUPS):
            offset = 2
            assert set(file[group]) == set(SHAPES)
            for name, shape in SHAPES.items():
                size = int(np.prod(shape))
                index = np.arange(offset, offset + size, dtype=np.float32)
                expected = (np.float32(5) + index / np.float32(1024) + np.float32(1000 * which)).reshape(shape)
                found = file[group][name]
                if bfloat16 and group == "model":
                    expected = rounded(expected)
                    assert found.id.get_type().get_size() == 2, name
                assert found.dtype == np.dtype("<f4") and found.is_virtual == (size > 0), name
                np.testing.assert_array_equal(found[...], expected, err_msg=f"{group}/{name}")
                compared += size
                offset += size + 3
    assert compared == 3 * (77 + 60 + 13 + 1)


def main(writer, mpiexec):
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        for ranks in (1, 2, 4):
            write(writer, mpiexec, root / str(ranks), ranks)
        reference = contents(root / "1")
        assert len(reference) == 10 + 2 + 1 + 2 + 10 + 2, sorted(reference)  # parts, index and manifest of each checkpoint
        for ranks in (2, 4):
            assert contents(root / str(ranks)) == reference, f"{ranks} ranks wrote other bytes than one"
        shutil.move(root / "2" / "update-5", root / "moved")  # the parts are found relative to checkpoint.h5
        for folder in (root / "1" / "update-5", root / "1" / "one_part", root / "moved"):
            check_values(folder)
        check_values(root / "1" / "bfloat16", bfloat16=True)
        # The check must be able to fail.
        with h5py.File(root / "moved" / "part-0003.h5", "r+") as part:
            part["model"][7] += 1
        try:
            check_values(root / "moved")
        except AssertionError:
            print("ok")
            return
        raise SystemExit("a changed value wasn't seen")


if __name__ == "__main__":
    main(*sys.argv[1:])
