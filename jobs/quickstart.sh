#!/usr/bin/env bash
# From a fresh machine to a finished experiment and its report: installs what is missing, builds, runs, writes the page.
# Run it again at any time: what is done stays done, and an interrupted experiment goes on.
#
#   jobs/quickstart.sh [RUN_FILE [OPTIONS OF tdrm run]]     default: configs/countdown.yaml
#   RANKS=4 jobs/quickstart.sh                              default: 2 ranks, one thread each
#   BIND=none jobs/quickstart.sh                            don't bind ranks to cores: for several runs side by side
set -euo pipefail
cd "$(dirname "$0")/.."
. jobs/launch.sh
tools/build.sh tdrm
run_file=${1:-configs/countdown.yaml}
[ $# -gt 0 ] && shift
ranks=${RANKS:-2}
# Containers and bare machines run as root, which mpirun refuses unless told that it is meant.
[ "$(id -u)" = 0 ] && export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
echo "quickstart: running $run_file on $ranks ranks"
# shellcheck disable=SC2046  # several words
mpirun $(binding_options "$(physical_cores)" "$ranks") -np "$ranks" build/tdrm run "$run_file" "$@"
[[ " $* " == *" --dry-run "* ]] && exit
folder=$(build/tdrm run "$run_file" "$@" --dry-run | sed -n 's/^run folder *//p')
.deps/venv/bin/python tools/report "$folder"
