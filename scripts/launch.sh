#!/usr/bin/env bash
# `gbench launch` with the command line of the GPU Golden Bench's launch.sh, unchanged.
#
#   bash scripts/launch.sh MODEL BATCH_SIZE DEVICE_COUNT PRECISION [DATABASE=false] [IGNORE_CHECK=false]
#
# Reads CONT, DATASETS, DATASETS_DIR, CNDB_DIR, CODE_LINK, RUN_MODEL_FILE, DOCKERFILE and CONFIG; further options of
# `gbench launch` may follow. Uses the `gbench` of this checkout's .venv if it exists, else the one in PATH.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
source "$here/find-gbench.sh"
exec "$gbench" launch "$@"
