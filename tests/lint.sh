#!/usr/bin/env bash
# clang-format over everything, clang-tidy (.clang-tidy) over rooms of src/. Needs a configured build folder. A finding ends it
# with 1; without these programs it ends with 77, which ctest shows as skipped.
#
#   tests/lint.sh                 the format only
#   tests/lint.sh base comm       also these rooms
#   tests/lint.sh all             also all rooms, with the slow checks of the analyzer
#
# Environment: BUILD_DIR (default build), CLANG_TIDY, CLANG_FORMAT.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${BUILD_DIR:-build}
tidy=${CLANG_TIDY:-clang-tidy} format=${CLANG_FORMAT:-clang-format}
say() { printf 'lint: %s\n' "$*"; }
for program in "$format" "$tidy"; do
  command -v "$program" >/dev/null || { say "no $program. Install Debian's packages clang-format and clang-tidy."; exit 77; }
done
failed=

say "format of src, include, tests"
find src include tests \( -name '*.cpp' -o -name '*.hpp' -o -name '*.cu' \) -print0 | xargs -0 "$format" --dry-run -Werror || failed+=" format"

# The compile commands are those of the build's compiler, whose warnings and precompiled headers are its own.
commands=$build/lint
mkdir -p "$commands"
sed -E 's# -include [^ ]*cmake_pch.hxx##g' "$build/compile_commands.json" >"$commands/compile_commands.json"
ours=(--extra-arg=-w --extra-arg=-Wno-unknown-warning-option)
checks=(--checks=-clang-analyzer-\*)
rooms=("$@")
if [ "${1:-}" = all ]; then
  checks=()
  mapfile -t rooms < <(cd src && find . -name '*.cpp' -printf '%h\n' | sort -u | sed 's,^\./,,')
fi
for room in "${rooms[@]}"; do
  start=$SECONDS
  find "src/$room" -maxdepth 1 -name '*.cpp' -print0 |
    xargs -0 -P "$(nproc)" -n 2 "$tidy" -p "$commands" --quiet "${ours[@]}" "${checks[@]}" 2>/dev/null || failed+=" $room"
  say "$room: $((SECONDS - start)) s"
done
[ -z "$failed" ] || { say "findings in:$failed"; exit 1; }
say "nothing found"
