#!/usr/bin/env bash
# The experiments behind docs/EVIDENCE.md, one command each: runs them, or goes on where they were interrupted, and writes what they
# decide to runs/evidence/NAME.study.md. What is compared was fixed in configs/evidence/NAME.study.yaml before.
#
#   jobs/evidence.sh walk             TD against outcomes where trajectories merge; the control
#   jobs/evidence.sh noise            few and noisy verdicts on countdown
#   jobs/evidence.sh countdown        every target in the default setting, tuned alike
#   jobs/evidence.sh smollm2          heads on SmolLM2-135M's answers to GSM8K; DATA=DIR has train.jsonl and test.jsonl
#   jobs/evidence.sh rl-critics       reinforcement learning: how many answers a problem; a critic or the group's mean
#   jobs/evidence.sh rl-baselines     reinforcement learning: the other baselines
#   jobs/evidence.sh rl-data          reinforcement learning: few problems, noisy verdicts
#   jobs/evidence.sh rl-forms         reinforcement learning: trees, forms of process reward
#   RANKS=4 jobs/evidence.sh walk     default: 2 ranks, one thread each
set -euo pipefail
cd "$(dirname "$0")/.."
. jobs/launch.sh
[ "$(id -u)" = 0 ] && export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
name=${1:-}
ranks=${RANKS:-2}

products=$(fast_products)  # the longer runs take half the time in bf16

run() {  # RUN_FILE [OPTIONS]
  # shellcheck disable=SC2046  # several words
  mpirun $(binding_options "$(physical_cores)" "$ranks") -np "$ranks" build/tdrm run "$@"
}

case $name in
  walk)
    tools/build.sh tdrm
    run configs/evidence/chain.yaml
    run configs/evidence/walk.yaml
    run configs/evidence/walk.yaml --set task.steps=8 --set run.dir=runs/evidence/walk-8
    runs=(walk-12 walk-8 chain-16)
    ;;
  noise)
    tools/build.sh tdrm
    run configs/evidence/noise.yaml
    run configs/evidence/noise.yaml --set task.numbers=5 --set run.dir=runs/evidence/noise-5
    runs=(noise-4 noise-5)
    ;;
  smollm2)
    [ -e "${DATA:-}/train.jsonl" ] && [ -e "$DATA/test.jsonl" ] ||
      { echo "evidence: smollm2 needs GSM8K (2400 solutions to learn from, 800 problems to answer). Set DATA to a folder with its train.jsonl and test.jsonl." >&2; exit 64; }
    jobs/smollm2-gsm8k.sh --dry-run >/dev/null  # makes models/smollm2
    run configs/evidence/smollm2.yaml --set "task.data=$(realpath "$DATA")" --set "run.products=$products"
    runs=(smollm2)
    ;;
  countdown | rl-critics | rl-baselines | rl-data | rl-forms)
    tools/build.sh tdrm
    run "configs/evidence/$name.yaml" --set "run.products=$products"
    runs=("$name")
    ;;
  *)
    echo "evidence: '$name' is no experiment. Choose walk, noise, countdown, smollm2, rl-critics, rl-baselines, rl-data or rl-forms." >&2
    exit 64
    ;;
esac
cd runs/evidence
../../.deps/venv/bin/python ../../tools/report "${runs[@]}" --study "../../configs/evidence/$name.study.yaml" --out .
