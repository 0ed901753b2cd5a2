#!/usr/bin/env bash
# Accepts a GPU, in under 8 minutes: kernels and bits against the emulated device, memory and races by compute-sanitizer, speeds.
# Needs build/gpu_accept and build/libtdrm_cuda.so side by side, which may come from another machine.
#
#   tests/gpu/accept.sh [FOLDER]      that holds the two; default: build
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-build}
failed=0
timeout 300 "$folder/gpu_accept" --device cuda || failed=1
for tool in memcheck racecheck; do
  if ! command -v compute-sanitizer >/dev/null; then
    echo "compute-sanitizer isn't here: no $tool"
  elif timeout 90 compute-sanitizer --tool $tool --error-exitcode 2 "$folder/gpu_accept" --device cuda --quick >"/tmp/gpu_$tool.log" 2>&1; then
    echo "$tool: clean"
  else
    echo "$tool: not clean, or not done in 90 s"
    tail -20 "/tmp/gpu_$tool.log"
    failed=1
  fi
done
exit $failed
