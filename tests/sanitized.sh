#!/usr/bin/env bash
# What reads other people's bytes, under AddressSanitizer and UndefinedBehaviorSanitizer: a million mutated answers for the
# verifier, a million mutated safetensors headers, and the ordinary tests of tokenizers, templates, tasks and the store.
# Builds into build/sanitized. A long test.
set -euo pipefail
cd "$(dirname "$0")/.."
tests=(math_test model_test text_test task_text_test task_process_test store_test)
export BUILD_DIR=build/sanitized CMAKE_ARGS="-DTDRM_SANITIZE=address,undefined ${CMAKE_ARGS:-}"
tools/build.sh "${tests[@]}"
# Libraries of others hold memory to the end, and MPI's finalizer is none of ours: no leak check.
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 TDRM_FUZZ_ROUNDS=1000000
failed=
for test in "${tests[@]}"; do
  echo "sanitized: $test"
  (cd $BUILD_DIR/tests && "./$test" --gtest_brief=1) || failed+=" $test"
done
[ -z "$failed" ] || { echo "sanitized: failed:$failed"; exit 1; }
