#!/usr/bin/env bash
# Installs what tdrm needs to build and run, and says what it does. Running it again does nothing.
#
#   tools/install.sh            system packages (as root, Debian), libtorch, the Python tools
#   TDRM_SKIP_PACKAGES=1 tools/install.sh    go on without the packages that are missing: libraries of your own
#   tools/install.sh --check    only list what is missing
#   tools/install.sh --tests    also what only tests use; those that lack it are skipped
#   tools/install.sh --cuda     also what the library for GPUs is compiled and linked with: the site's CUDA 13 toolkit and
#                               NCCL where nvcc is found, else both from PyPI wheels (740 MB) into .deps/cuda
#
# libtorch comes from the PyPI wheel torch 2.11.0, of which only the headers and the CPU libraries are unpacked
# into .deps/torch. To use your own, set before building:
#   TORCH_DIR=/path/to/torch (holds include/ and lib/)   MPI_HOME=...   HDF5_ROOT=...   CUDA_HOME=...   NCCL_HOME=...
set -euo pipefail
cd "$(dirname "$0")/.."
deps=$PWD/.deps
torch_version=2.11.0
cuda_version=13.0
packages=(g++ cmake make ninja-build ccache git pkg-config python3 python3-venv
          libopenmpi-dev openmpi-bin libhdf5-dev libyaml-cpp-dev libspdlog-dev libfmt-dev libcli11-dev
          nlohmann-json3-dev libpcre2-dev libutf8proc-dev libgmp-dev libxxhash-dev zlib1g-dev libgtest-dev libgmock-dev libbenchmark-dev)
# Linters, the second compiler, and what reads manual pages and modulefiles.
test_packages=(clang clang-format clang-tidy groff-base tcl)

say() { printf 'install: %s\n' "$*"; }

missing_packages() {
  command -v dpkg-query >/dev/null || return 0
  local name
  for name in "${packages[@]}"; do
    dpkg-query -W -f='${Status}\n' "$name" 2>/dev/null | grep -q 'ok installed' || printf '%s\n' "$name"
  done
}

install_packages() {
  # Nobody knows then what is there: cmake says what it misses.
  if [ "${check_only:-}" = 1 ] && ! command -v dpkg-query >/dev/null; then
    say "no dpkg here, so see for yourself whether there are counterparts of: ${packages[*]}"
    return
  fi
  mapfile -t missing < <(missing_packages)
  if [ ${#missing[@]} -eq 0 ]; then return; fi
  if [ "${check_only:-}" = 1 ]; then say "missing Debian packages: ${missing[*]}"; return; fi
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    say "these packages are missing and need root: ${missing[*]}"
    say "ask an administrator for:  apt-get install ${missing[*]}"
    say "or load modules that provide Open MPI, HDF5 (C), yaml-cpp, spdlog, CLI11, nlohmann-json, PCRE2, utf8proc, GMP, xxHash,"
    say "zlib, Ninja, CMake >= 3.25, for the tests GoogleTest and Google Benchmark, set MPI_HOME and HDF5_ROOT, and set TDRM_SKIP_PACKAGES=1."
    [ "${TDRM_SKIP_PACKAGES:-}" = 1 ] || exit 69
    return
  fi
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$deps/apt.log" 2>&1 ||
    { tail -5 "$deps/apt.log"; say "apt-get failed (the log is $deps/apt.log). Check the package mirror and run again."; exit 69; }
}

install_python() {
  if [ -x "$deps/venv/bin/python" ] && "$deps/venv/bin/python" -c 'import h5py, numpy, matplotlib, yaml' 2>/dev/null; then return; fi
  if [ "${check_only:-}" = 1 ]; then say "missing: Python environment for the tools (.deps/venv)"; return; fi
  say "creating the Python environment of the tools (h5py, numpy, matplotlib, pyyaml) in .deps/venv"
  python3 -m venv "$deps/venv"
  "$deps/venv/bin/pip" install -q --disable-pip-version-check 'numpy<3' h5py matplotlib pyyaml
}

# pip download of wheels: FOLDER PACKAGE==VERSION...
fetch_wheels() { "$deps/venv/bin/pip" download -q --disable-pip-version-check --no-deps --only-binary=:all: -d "$@"; }

install_torch() {
  if [ -n "${TORCH_DIR:-}" ]; then say "using libtorch of TORCH_DIR=$TORCH_DIR"; return; fi
  if [ "$(cat "$deps/torch/version" 2>/dev/null)" = "$torch_version" ]; then return; fi
  if [ "${check_only:-}" = 1 ]; then say "missing: libtorch $torch_version (.deps/torch)"; return; fi
  say "fetching libtorch $torch_version (530 MB) and its CUDA runtime stubs"
  mkdir -p "$deps/wheels"
  fetch_wheels "$deps/wheels" "torch==$torch_version" &
  fetch_wheels "$deps/wheels" nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85
  wait $!
  say "unpacking headers and CPU libraries into .deps/torch"
  "$deps/venv/bin/python" tools/unpack_wheels.py torch "$deps/wheels" "$deps/torch"
  rm -rf "$deps/wheels"
  echo "$torch_version" >"$deps/torch/version"
}

# The folder of a CUDA toolkit of version 13 or later that has cuBLASLt, or nothing.
site_toolkit() {
  local nvcc
  nvcc=${CUDA_HOME:+$CUDA_HOME/bin/nvcc}
  [ -n "$nvcc" ] || nvcc=$(command -v nvcc || echo /usr/local/cuda/bin/nvcc)
  [ -x "$nvcc" ] && "$nvcc" --version | grep -qE 'release (1[3-9]|[2-9][0-9])' || return 0
  local home
  home=$(dirname "$(dirname "$(readlink -f "$nvcc")")")
  find -L "$home" -name 'libcublasLt.so' -print -quit 2>/dev/null | grep -q . && echo "$home"
}

# NCCL isn't part of toolkits: the site's, or the wheel's alone.
install_nccl() { # TOOLKIT
  local folder
  for folder in ${NCCL_HOME:+"$NCCL_HOME"} "$1" /usr /usr/local "$deps/nccl"; do
    [ -e "$folder/include/nccl.h" ] && return
  done
  if [ "${check_only:-}" = 1 ]; then say "missing: NCCL (.deps/nccl)"; return; fi
  say "fetching NCCL (200 MB)"
  mkdir -p "$deps/nccl-wheels"
  fetch_wheels "$deps/nccl-wheels" "$nccl_wheel" ||
    { say "the wheel can't be had (is PyPI reachable?). Or set NCCL_HOME to NCCL."; exit 69; }
  "$deps/venv/bin/python" tools/unpack_wheels.py cuda "$deps/nccl-wheels" "$deps/nccl"
  rm -rf "$deps/nccl-wheels"
}

nccl_wheel=nvidia-nccl-cu13==2.28.9
install_cuda() {
  local home
  home=$(site_toolkit)
  if [ -n "$home" ]; then say "using the CUDA toolkit in $home"; install_nccl "$home"; return; fi
  if [ "$(cat "$deps/cuda/version" 2>/dev/null)" = "$cuda_version" ]; then return; fi
  if [ "${check_only:-}" = 1 ]; then say "missing: a CUDA 13 toolkit (.deps/cuda)"; return; fi
  say "fetching nvcc, cuBLAS and NCCL for CUDA $cuda_version (740 MB)"
  mkdir -p "$deps/cuda-wheels"
  fetch_wheels "$deps/cuda-wheels" \
    nvidia-cuda-nvcc==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-cuda-cccl==13.0.85 nvidia-cuda-runtime==13.0.96 \
    nvidia-cublas==13.1.0.3 "$nccl_wheel" ||
    { say "the wheels can't be had (is PyPI reachable?). Or set CUDA_HOME to a CUDA 13 toolkit and NCCL_HOME to NCCL."; exit 69; }
  say "unpacking them into .deps/cuda"
  "$deps/venv/bin/python" tools/unpack_wheels.py cuda "$deps/cuda-wheels" "$deps/cuda"
  rm -rf "$deps/cuda-wheels"
  echo "$cuda_version" >"$deps/cuda/version"
}

# Without root the tests do without.
install_test_packages() {
  packages=("${test_packages[@]}")
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then install_packages; return; fi
  mapfile -t missing < <(missing_packages)
  [ ${#missing[@]} -eq 0 ] || say "some tests will be skipped, since these packages are missing: ${missing[*]}"
}

install_test_python() {
  if "$deps/venv/bin/python" -c 'import pyarrow' 2>/dev/null; then return; fi
  say "installing pyarrow, which tools/parquet_to_jsonl.py needs, in .deps/venv"
  "$deps/venv/bin/pip" install -q --disable-pip-version-check pyarrow || say "some tests will be skipped, since pyarrow is missing"
}

case ${1:-} in
  '' | --check | --tests | --cuda) ;;
  *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0"; [ "$1" = --help ] || exit 64; exit ;;
esac
[ "${1:-}" = --check ] && check_only=1
mkdir -p "$deps"
install_packages
[ "${1:-}" = --tests ] && install_test_packages
install_python
[ "${1:-}" = --tests ] && install_test_python
install_torch
[ "${1:-}" != --cuda ] || install_cuda
