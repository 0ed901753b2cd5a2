#!/usr/bin/env bash
# Kernels under ThreadSanitizer, which takes the threads of a block for threads, and under AddressSanitizer. The machine
# under the emulator isn't instrumented: it says what a barrier orders and what a copy touches. Two planted races must be found.
# Attention and the sampler are compared with processors' code, so the build's libraries of engine, model and base are linked; nothing
# in them is instrumented.
#
#   tests/gpu/sanitized.sh [thread|address]
set -euo pipefail
cd "$(dirname "$0")/../.."
build=${BUILD_DIR:-build}
out=$build/gpu_sanitized
BUILD_DIR=$build tools/build.sh tdrm_engine
mkdir -p "$out"
flags=(-std=c++20 -march=native -ffp-contract=off -fno-strict-aliasing -Wno-unknown-pragmas -I include -g)
tests=(gpu/emulator_test gpu/head_test gpu/rows_test gpu/sums_test engine/device_attention_test engine/device_sampler_test)
# Left out: races that tests plant, and faults after which nobody unwinds the threads' stacks.
others=-Races.*:Emulator.AForgottenBarrier*:Emulator.NamesTheThread*
libraries=("$build"/src/engine/libtdrm_engine.a "$build"/src/model/libtdrm_model.a "$build"/src/base/libtdrm_base.a
           -lyaml-cpp -lspdlog -lfmt -lxxhash)
compiler=(g++)
if command -v ccache >/dev/null; then compiler=(ccache g++); fi

build() { # KIND: thread or address
  local kind=$1 define=TDRM_EMULATOR_TSAN pids=() objects=() sources=()
  [ "$kind" = thread ] || define=TDRM_EMULATOR_ASAN
  sources=(src/gpu/*.cu src/gpu/gemm_reference.cpp tests/gpu/races_test.cpp "${tests[@]/#/tests/}")
  for source in src/gpu/emulator/*.cpp; do
    "${compiler[@]}" "${flags[@]}" -O2 -D$define -c "$source" -o "$out/$kind-$(basename "$source").o"
    objects+=("$out/$kind-$(basename "$source").o")
  done
  for source in "${sources[@]}"; do
    [[ $source == *.c* ]] || source+=.cpp
    "${compiler[@]}" "${flags[@]}" -O1 -fsanitize="$kind" -c -x c++ "$source" -o "$out/$kind-$(basename "$source").o" &
    pids+=($!)
    objects+=("$out/$kind-$(basename "$source").o")
    if [ ${#pids[@]} -ge 2 ]; then wait "${pids[0]}"; pids=("${pids[@]:1}"); fi
  done
  for pid in "${pids[@]}"; do wait "$pid"; done
  g++ -fsanitize="$kind" -o "$out/$kind" "${objects[@]}" "${libraries[@]}" -lgtest -lgtest_main -lpthread
}

# Prints what is wrong. Planted races stand in tests of the suite Races, which pass as such: what finds them is TSan.
run_thread() {
  build thread
  TSAN_OPTIONS=halt_on_error=1 "$out/thread" --gtest_brief=1 --gtest_filter="$others" || { echo "a race in a kernel"; return 1; }
  local race
  for race in Barrier DoubleBuffer; do
    if TSAN_OPTIONS=halt_on_error=1 "$out/thread" --gtest_filter="Races.*$race" >"$out/$race.log" 2>&1; then
      echo "the planted race $race wasn't found"
      return 1
    fi
    grep -q "WARNING: ThreadSanitizer: data race" "$out/$race.log" || { tail -20 "$out/$race.log"; return 1; }
    echo "the planted race $race was found: $(grep -m1 '#0' "$out/$race.log" | sed 's/ *#0 //')"
  done
}

run_address() {
  build address
  ASAN_OPTIONS=detect_leaks=0 "$out/address" --gtest_brief=1 --gtest_filter="$others"
}

for kind in ${1:-thread address}; do
  echo "kernels under -fsanitize=$kind"
  "run_$kind"
done
