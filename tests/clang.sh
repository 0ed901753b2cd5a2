#!/usr/bin/env bash
# The second compiler: clang compiles everything, tests included, with warnings as errors, and a few tests run. A long test.
# Builds into build/clang; CLANG names another clang++.
set -euo pipefail
cd "$(dirname "$0")/.."
clang=${CLANG:-clang++}
command -v "$clang" >/dev/null || { echo "clang: no $clang. Install Debian's package clang."; exit 77; }
export BUILD_DIR=build/clang CMAKE_ARGS="-DCMAKE_CXX_COMPILER=$clang -DTDRM_WERROR=ON -DTDRM_WITH_CUDA=OFF ${CMAKE_ARGS:-}"
tools/build.sh
ctest --test-dir $BUILD_DIR --output-on-failure --no-tests=error -R '^(reward|eval|plan|text|model|rollout|train)_test$'
