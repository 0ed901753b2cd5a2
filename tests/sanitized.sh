#!/usr/bin/env bash
# Tests under AddressSanitizer (with leaks, but where libtorch is loaded) and UndefinedBehaviorSanitizer: what reads other people's
# bytes (a million mutated answers for the verifier, as many mutated safetensors headers, config.json and JSON texts, a hundred thousand
# mutated templates, reshaped tokenizers, many run files, manifests and records, tasks, the store), and what computes and communicates (base,
# rollout, train; comm on two ranks). Builds into build/sanitized. A long test.
#
#   tests/sanitized.sh [TEST...]      e.g. base_test exact_sum_test; default: all of the above
set -euo pipefail
cd "$(dirname "$0")/.."
alone=(base_test plan_test math_test text_test task_text_test task_process_test store_test)
with_torch=(stage_test model_test rollout_test train_test)
on_ranks=(communicator_test exact_sum_test checkpoint_test)
tests=("$@")
[ $# -gt 0 ] || tests=("${alone[@]}" "${with_torch[@]}" "${on_ranks[@]}")
export BUILD_DIR=build/sanitized CMAKE_ARGS="-DTDRM_SANITIZE=address,undefined ${CMAKE_ARGS:-}"
tools/build.sh "${tests[@]}"
[ "$(id -u)" = 0 ] && export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# Leaks are those of this program: tests/sanitized.supp says which libraries keep memory to the end, and why that is right.
export LSAN_OPTIONS=suppressions=$PWD/tests/sanitized.supp:print_suppressions=0
# AddressSanitizer opens modules in the program's place, and so without its run path.
export LD_LIBRARY_PATH=$PWD/$BUILD_DIR/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 TDRM_FUZZ_ROUNDS=1000000
failed=
for test in "${tests[@]}"; do
  start=()
  [[ " ${on_ranks[*]} " == *" $test "* ]] && start=(mpirun --bind-to none --oversubscribe -np 2)
  # libtorch registers its operators for good, in memory that no name of a library tells.
  [[ " ${with_torch[*]} " == *" $test "* ]] && start=(env ASAN_OPTIONS=detect_leaks=0)
  echo "sanitized: $test"
  (cd $BUILD_DIR/tests && "${start[@]}" "./$test" --gtest_brief=1) || failed+=" $test"
done
[ -z "$failed" ] || { echo "sanitized: failed:$failed"; exit 1; }
