"""Unpacks from the torch and CUDA runtime wheels just what a CPU program in C++ needs.

usage: unpack_torch.py WHEEL_DIR TARGET   -> TARGET/include, TARGET/lib
"""
import pathlib
import sys
import zipfile

TORCH_LIBRARIES = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libshm.so"}
RUNTIME_LIBRARIES = {"libcudart.so.13", "libcupti.so.13"}


def wanted(name: str) -> str | None:
    """Returns the path below TARGET for a wheel member, or None if it is not needed."""
    parts = name.split("/")
    if parts[:2] == ["torch", "include"]:
        return "/".join(parts[1:])
    if parts[:2] == ["torch", "lib"] and parts[-1] in TORCH_LIBRARIES:
        return "lib/" + parts[-1]
    if parts[-1] in RUNTIME_LIBRARIES:
        return "lib/" + parts[-1]
    return None


def main() -> None:
    wheels, target = (pathlib.Path(argument) for argument in sys.argv[1:3])
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.infolist():
                place = wanted(member.filename)
                if place is None or member.is_dir():
                    continue
                path = target / place
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, open(path, "wb") as sink:
                    while block := source.read(1 << 20):
                        sink.write(block)


if __name__ == "__main__":
    main()
