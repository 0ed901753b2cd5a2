#!/usr/bin/env bash
# Runs the benchmarks and prints ratios measured in one go: against TRL and transformers, against the machine's own rate of
# matrix products, and 2 ranks against 1. Let nothing else run meanwhile.
#
#   tests/bench/run.sh [engine] [search] [grpo] [ranks] [text] [language]        default: all
#
# The peers' packages are installed into .deps/peers the first time (some GB); nothing but this script uses them. PEERS=python
# names an interpreter that has them already. `language` needs SMOLLM2=DIR, a Hugging Face folder made by jobs/smollm2-gsm8k.sh;
# TOKENIZER=tokenizer.json is what `text` encodes with (default: a toy).
set -euo pipefail
cd "$(dirname "$0")/../.."
tools/build.sh tdrm benchmarks
[ "$(id -u)" = 0 ] && export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
what=${*:-engine search grpo ranks text language}

peers() {
  if [ -n "${PEERS:-}" ]; then return; fi
  PEERS=.deps/peers/bin/python
  [ -x $PEERS ] || { python3 -m venv .deps/peers && .deps/peers/bin/pip install -q torch==2.11.0 transformers==5.24.0 trl==1.16.0; }
}
mpi() { mpirun --bind-to none --oversubscribe -np "$@"; }
field() { python3 -c "import json,sys; print(json.loads(sys.argv[1])['$2'])" "$1"; }
ratio() { python3 -c "print(f'{float(\"$1\")/float(\"$2\"):.2f}')"; }

if [[ $what == *engine* ]]; then
  echo "== engine: share of the machine's rate of fp32 matrix products, one thread"
  build/tests/engine_bench
fi
if [[ $what == *search* ]]; then
  echo "== greedy search on cached segments against the same search from the start, 8 steps"
  build/tests/search_bench
  echo "== values of all states of a solution in one pass against a row of its own for each"
  build/tests/prefix_bench
fi
if [[ $what == *grpo* ]]; then
  peers
  forms=fp32
  if grep -qwE 'amx_bf16|avx512_bf16' /proc/cpuinfo; then forms="fp32 bf16"; fi
  for shape in "6 16" "128 32"; do
    echo "== GRPO update, 32 x 8, prompt and answer tokens: $shape"
    # shellcheck disable=SC2086
    theirs=$(for form in $forms; do for threads in 1 2; do "$PEERS" tests/bench/trl_grpo.py $shape $threads 6 $form 2>/dev/null | grep '"program"'; done; done)
    best=$(python3 -c "import json,sys; print(min(json.loads(line)['seconds'] for line in sys.argv[1].splitlines()))" "$theirs")
    printf '%s\n' "$theirs"
    for form in $forms; do
      # shellcheck disable=SC2086
      ours=$(PRODUCTS=$form mpi 2 build/tests/grpo_bench $shape 2>/dev/null | grep '"program"')
      echo "$form $ours"
      echo "TRL's best setting takes $(ratio "$best" "$(field "$ours" seconds)") times as long as tdrm in $form"
    done
  done
fi
if [[ $what == *ranks* ]]; then
  echo "== 2 ranks against 1, one thread each"
  one=$(mpi 1 build/tests/grpo_bench 7 19 2>/dev/null | grep '"program"')
  two=$(mpi 2 build/tests/grpo_bench 7 19 2>/dev/null | grep '"program"')
  printf '%s\n' "$one" "$two"
  echo "rollouts $(ratio "$(field "$one" batch)" "$(field "$two" batch)"), gradients $(ratio "$(field "$one" gradient)" "$(field "$two" gradient)")," \
       "update $(ratio "$(field "$one" seconds)" "$(field "$two" seconds)") times as fast"
fi
if [[ $what == *text* ]]; then
  echo "== verdicts and tokens, one core"
  text=$(mktemp)
  trap 'rm -f "$text"' EXIT
  for _ in $(seq 20); do cat data/gsm8k_sample/*.jsonl; done >"$text"
  build/tests/verify_bench 2>/dev/null
  build/tests/tokenizer_bench "${TOKENIZER:-tests/text/data/qwen/tokenizer.json}" "$text" 2>/dev/null
fi
if [[ $what == *language* && -n "${SMOLLM2:-}" ]]; then
  peers
  echo "== SmolLM2-135M, fp32, one thread: tdrm, then transformers"
  build/tests/pretrained_bench "$SMOLLM2"
  "$PEERS" tests/bench/pretrained_peer.py "$SMOLLM2" 1
  if grep -qwE 'amx_bf16|avx512_bf16' /proc/cpuinfo; then
    echo "== the same in bf16"
    PRODUCTS=bf16 build/tests/pretrained_bench "$SMOLLM2"
    "$PEERS" tests/bench/pretrained_peer.py "$SMOLLM2" 1 bf16
  fi
fi
