#!/usr/bin/env bash
# Installs what is missing (tools/install.sh) and builds.
#
#   tools/build.sh [TARGET...]     targets of the build, e.g. tdrm; none = everything, tests included
#
# Environment: BUILD_DIR (default build) is where; TORCH_DIR, MPI_HOME, HDF5_ROOT name libraries of your own; CMAKE_ARGS goes to
# cmake.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/install.sh
build=${BUILD_DIR:-build}
say() { printf 'build: %s\n' "$*"; }
say "configuring (log: $build/configure.log)"
mkdir -p "$build"
# shellcheck disable=SC2086  # several arguments in one variable
cmake -S . -B "$build" -G Ninja ${CMAKE_ARGS:-} >"$build/configure.log" 2>&1 ||
  { tail -20 "$build/configure.log"; say "cmake failed. The lines above say what it lacks."; exit 69; }
grep -E '^-- (NCCL|libtorch)' "$build/configure.log" | sed 's/^-- /build: /' || true
say "compiling ${*:-everything} with $(nproc) processors"
start=$SECONDS
ninja -C "$build" -j "$(nproc)" "$@" >"$build/build.log" 2>&1 ||
  { grep -m 20 -E 'error|FAILED' "$build/build.log" || tail -20 "$build/build.log"; say "the build failed (log: $build/build.log)"; exit 70; }
say "done in $((SECONDS - start)) s"
