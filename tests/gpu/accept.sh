#!/usr/bin/env bash
# Accepts a GPU, in under 8 minutes: kernels, models and bits against the emulated device and processors, speeds, memory and races by
# compute-sanitizer. Needs build/gpu_accept and build/libtdrm_cuda.so side by side, which may come from another machine if they were
# built for its processors (CMAKE_ARGS=-DTDRM_ARCH=x86-64-v3), with libcublasLt.so.13 and libnccl.so.2 on LD_LIBRARY_PATH; models and
# their speeds also build/tdrm and its libraries.
#
#   tests/gpu/accept.sh [FOLDER]      that holds them; default: build
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-build}
failed=0
if [ "$(id -u)" = 0 ]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
if "$folder/tdrm" --version >/dev/null 2>&1; then
  timeout 300 "$folder/tdrm" doctor --gpu || failed=1
else
  echo "$folder/tdrm doesn't start here: kernels alone"
  timeout 300 "$folder/gpu_accept" --device cuda || failed=1
fi
for tool in memcheck racecheck; do
  if ! command -v compute-sanitizer >/dev/null; then
    echo "compute-sanitizer isn't here: no $tool"
    continue
  fi
  code=0
  timeout 90 compute-sanitizer --tool $tool --error-exitcode 2 "$folder/gpu_accept" --device cuda --quick >"/tmp/gpu_$tool.log" 2>&1 || code=$?
  case $code in
    0 | 1)  # 1: other results than wanted, which was said above
      if grep -qi "accepted" "/tmp/gpu_$tool.log"; then echo "$tool: clean"; else echo "$tool: did not run"; tail -5 "/tmp/gpu_$tool.log"; fi
      ;;
    3) echo "$tool: did not run"; tail -5 "/tmp/gpu_$tool.log" ;;
    124) echo "$tool: not done in 90 s" ;;
    *) echo "$tool: not clean"; tail -20 "/tmp/gpu_$tool.log"; failed=1 ;;
  esac
done
exit $failed
