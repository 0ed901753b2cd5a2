"""Unpacks from wheels just what a program in C++ needs of them.

usage: unpack_wheels.py torch|cuda WHEEL_DIR TARGET   -> TARGET/include, TARGET/lib, of cuda also TARGET/bin, TARGET/nvvm
"""

import pathlib
import sys
import zipfile

TORCH_LIBRARIES = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libshm.so", "libcudart.so.13", "libcupti.so.13"}
CUDA_LIBRARIES = {"libcudart.so.13", "libcudart_static.a", "libcudadevrt.a", "libcublasLt.so.13", "libnvvm.so.4", "libnccl.so.2"}


def of_torch(parts: list[str]) -> str | None:
    """The path below TARGET of a member of a wheel, or None if it isn't needed."""
    if parts[:2] == ["torch", "include"]:
        return "/".join(parts[1:])
    return "lib/" + parts[-1] if parts[-1] in TORCH_LIBRARIES else None


def of_cuda(parts: list[str]) -> str | None:
    """The same of a toolkit: nvidia/cu13/{bin,include,nvvm}, nvidia/nccl/include, and libraries wherever they lie."""
    if parts[0] != "nvidia" or len(parts) < 4:
        return None
    if parts[2] in ("bin", "include", "nvvm"):
        return "/".join(parts[2:])
    return "lib/" + parts[-1] if parts[-1] in CUDA_LIBRARIES else None


def main() -> None:
    wanted = {"torch": of_torch, "cuda": of_cuda}[sys.argv[1]]
    wheels, target = (pathlib.Path(argument) for argument in sys.argv[2:4])
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.infolist():
                place = wanted(member.filename.split("/"))
                if place is None or member.is_dir():
                    continue
                path = target / place
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, open(path, "wb") as sink:
                    while block := source.read(1 << 20):
                        sink.write(block)
                path.chmod(0o755 if place.startswith(("bin/", "nvvm/bin/")) else 0o644)
                name, so, version = path.name.partition(".so.")
                if so and version.isdigit() and wanted is of_cuda:  # linkers look for the bare name
                    link = path.with_name(name + ".so")
                    link.unlink(missing_ok=True)
                    link.symlink_to(path.name)


if __name__ == "__main__":
    main()
