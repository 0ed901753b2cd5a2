#!/usr/bin/env bash
# Installs what is missing, builds everything, runs the tests.
#
#   tests/run.sh              the ordinary tests: within 25 minutes from nothing on 2 cores
#   tests/run.sh --long       also the long ones: Slurm, mass kills, fuzzing, a real language model
#   tests/run.sh [CTEST...]   further arguments go to ctest: tests/run.sh -R rollout
set -euo pipefail
cd "$(dirname "$0")/.."
labels=(-LE long)
if [ "${1:-}" = --long ]; then
  labels=()
  shift
fi
# Warnings are errors here, and only here: users may have other compilers.
tools/install.sh --tests
CMAKE_ARGS="-DTDRM_WERROR=ON ${CMAKE_ARGS:-}" tools/build.sh
[ "$(id -u)" = 0 ] && export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
exec ctest --test-dir build --output-on-failure --no-tests=error -j "$(nproc)" "${labels[@]}" "$@"
