#!/usr/bin/env bash
# `gbench launch` with the command line of the GPU Golden Bench's launch.sh, unchanged.
#
#   bash launch.sh MODEL BATCH_SIZE DEVICE_COUNT PRECISION [DATABASE=false] [IGNORE_CHECK=false]
#
# Reads CONT, DATASETS, DATASETS_DIR, CNDB_DIR, CODE_LINK, RUN_MODEL_FILE, DOCKERFILE, CONFIG, WORK_DIR, LOG_DIR and
# RESULT_DIR; further options of `gbench launch` may follow. Uses the `gbench` of this checkout's .venv if it exists, else
# the one in PATH, so that a copy elsewhere works too.
set -euo pipefail

here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")") # absolute, and the checkout's if this is a link
gbench=$(dirname -- "$here")/.venv/bin/gbench
if [ ! -x "$gbench" ]; then
  gbench=$(command -v gbench) || {
    echo "launch.sh: error: gbench is neither in $(dirname -- "$here")/.venv nor in PATH; run 'make install' in its checkout, and link" \
      "this file from there or add the checkout's .venv/bin to PATH" >&2
    exit 4
  }
fi
exec "$gbench" launch "$@"
