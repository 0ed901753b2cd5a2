#!/usr/bin/env bash
# The experiments behind docs/EVIDENCE.md, one command each: runs them, or goes on where they were interrupted, and writes what they
# decide to runs/evidence/NAME.study.md. What is compared was fixed in configs/evidence/NAME.study.yaml before.
#
#   jobs/evidence.sh walk             TD against outcomes where trajectories merge; the control; about 45 minutes on 2 cores
#   RANKS=4 jobs/evidence.sh walk     default: 2 ranks, one thread each
set -euo pipefail
cd "$(dirname "$0")/.."
. jobs/launch.sh
[ "$(id -u)" = 0 ] && export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
name=${1:-}
ranks=${RANKS:-2}

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
  *)
    echo "evidence: '$name' is no experiment. Choose walk." >&2
    exit 64
    ;;
esac
cd runs/evidence
../../.deps/venv/bin/python ../../tools/report "${runs[@]}" --study "../../configs/evidence/$name.study.yaml" --out .
