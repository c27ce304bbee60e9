#!/usr/bin/env bash
# RUN_MODEL_FILE of the yardstick: runs upstream's own train.py at the commit of $CODE_LINK, with this run's batch, devices and
# precision, and makes a record from its log lines. The code comes from UPSTREAM_DIR, from DATASETS_DIR, or is cloned:
# docs/yardstick.md
set -euo pipefail
exec "$PYTHON" -m gbench.upstream --run-dir "$RUN_DIR" --data-dir "$DATA_DIR"
